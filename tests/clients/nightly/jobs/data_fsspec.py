"""fsspec: a file of each kind of cache, ranges, whole files. Arguments: the URL of the site, its directory."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import fsspec

url, folder = sys.argv[1], Path(sys.argv[2])
content = random.Random(1).randbytes(5_000_000)
(folder / "file.bin").write_bytes(content)
files = fsspec.filesystem("http")

for kind in ("none", "readahead", "blockcache", "bytes", "background", "first", "all"):
    with files.open(url + "file.bin", block_size=1 << 16, cache_type=kind) as file:
        assert file.size == len(content), kind
        picks = random.Random(2)
        for _ in range(40):
            start = picks.randrange(len(content))
            file.seek(start)
            count = picks.randrange(200_000)
            assert file.read(count) == content[start : start + count], (kind, start, count)

assert files.cat_file(url + "file.bin") == content
assert files.cat_file(url + "file.bin", start=-1000) == content[-1000:]
starts = list(range(0, 4_000_000, 40_000))
pieces = files.cat_ranges([url + "file.bin"] * len(starts), starts, [start + 999 for start in starts])
assert pieces == [content[start : start + 999] for start in starts]
with fsspec.open(f"simplecache::{url}file.bin") as file:
    assert file.read() == content
assert files.info(url + "file.bin")["size"] == len(content)
assert not files.exists(url + "none.bin")
