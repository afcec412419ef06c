"""Media types by name: one table, the same on every machine."""

from __future__ import annotations

import pytest

from freight.sources.types import UNKNOWN, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lotsofdata.csv", "text/csv"),
        ("TABLE.CSV", "text/csv"),
        ("events.jsonl", "application/x-ndjson"),
        ("part-0.parquet", "application/vnd.apache.parquet"),
        ("page.html", "text/html"),
        ("notes.md", "text/markdown"),
        ("photo.JPG", "image/jpeg"),
        # A compressed file is itself, whatever is in it.
        ("lotsofdata.csv.gz", "application/gzip"),
        ("backup.tar.zst", "application/zstd"),
        ("backup.tar", "application/x-tar"),
        # Without a suffix we know nothing.
        ("csv", UNKNOWN),
        ("README", UNKNOWN),
        ("trailing.", UNKNOWN),
        ("model.safetensors", UNKNOWN),
        ("x.neverheardof", UNKNOWN),
        ("bad\udcff.\udcff", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_the_last_suffix_decides_in_any_case(name: str, expected: str) -> None:
    assert media_type(name) == expected
