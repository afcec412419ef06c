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
        # What players, package managers and download tools ask for.
        ("live.m3u8", "application/vnd.apple.mpegurl"),
        ("live.mpd", "application/dash+xml"),
        ("part.ts", "video/mp2t"),
        ("film.vtt", "text/vtt"),
        ("film.srt", "application/x-subrip"),
        ("photo.heic", "image/heic"),
        ("photo.heif", "image/heif"),
        ("font.woff", "font/woff"),
        ("font.woff2", "font/woff2"),
        ("map.pmtiles", "application/vnd.pmtiles"),
        ("tool.rpm", "application/x-rpm"),
        ("tool.apk", "application/vnd.android.package-archive"),
        ("image.iso.torrent", "application/x-bittorrent"),
        ("image.iso.meta4", "application/metalink4+xml"),
        # What the pages of a site load.
        ("favicon.ico", "image/vnd.microsoft.icon"),
        ("font.ttf", "font/ttf"),
        ("font.otf", "font/otf"),
        ("app.webmanifest", "application/manifest+json"),
        ("page.xhtml", "application/xhtml+xml"),
        ("scene.glb", "model/gltf-binary"),
        # A compressed file has its own type, whatever its content.
        ("lotsofdata.csv.gz", "application/gzip"),
        ("backup.tar.zst", "application/zstd"),
        ("backup.tar", "application/x-tar"),
        # Without a known suffix the type is unknown.
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
