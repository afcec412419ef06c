"""fsspec: glob, find, ls and walk of a tree. Arguments: the URL of the site, its directory; names come from stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote

import fsspec

url, folder = sys.argv[1], Path(sys.argv[2])
names = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
files = fsspec.filesystem("http")

for place in ("", "sub/", "sub/deeper/"):
    found = {each["name"]: each["size"] for each in files.ls(url + place) if each["type"] == "file"}
    assert len(found) == len(names), (place, sorted(found))
    assert {files.cat_file(name) for name in found} == {(folder / place / name).read_bytes() for name in names}
    # In what fsspec finds, as in a listing, a name is percent-encoded.
    csv = [name for name in names if name.endswith(".csv")]
    found_csv = [unquote(name) for name in files.glob(f"{url}{place}*.csv")]
    assert sorted(found_csv) == sorted(url + place + name for name in csv), place
assert len(files.find(url)) == 3 * len(names)
assert len(files.glob(url + "**/*.csv")) == 3 * len(csv)
walked = [(root, sorted(directories), len(found)) for root, directories, found in files.walk(url)]
assert [count for _, _, count in walked] == [len(names)] * 3, walked
