"""obstore (object_store of Rust): whole objects, ranges, streams, conditions. Arguments: the URL, its directory."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import obstore
from obstore.store import HTTPStore

url, folder = sys.argv[1], Path(sys.argv[2])
content = random.Random(1).randbytes(20_000_000)
(folder / "object.bin").write_bytes(content)
store = HTTPStore.from_url(url, client_options={"allow_http": True})

about = obstore.head(store, "object.bin")
assert about["size"] == len(content)
assert bytes(obstore.get(store, "object.bin").bytes()) == content
assert b"".join(map(bytes, obstore.get(store, "object.bin").stream(min_chunk_size=1 << 20))) == content
assert bytes(obstore.get_range(store, "object.bin", start=1000, length=70_000)) == content[1000:71_000]
starts = [random.Random(2).randrange(19_000_000) for _ in range(50)]
pieces = obstore.get_ranges(store, "object.bin", starts=starts, lengths=[5000] * 50)
assert [bytes(piece) for piece in pieces] == [content[start : start + 5000] for start in starts]
suffix = obstore.get(store, "object.bin", options={"range": {"suffix": 1000}})
assert bytes(suffix.bytes()) == content[-1000:]
try:
    obstore.get(store, "object.bin", options={"if_none_match": about["e_tag"]})
except obstore.exceptions.NotModifiedError:
    pass
else:
    raise AssertionError("an object that has not changed came again")
assert bytes(obstore.get(store, "object.bin", options={"if_match": about["e_tag"]}).bytes()) == content
