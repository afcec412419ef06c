"""``requests``: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

LIMIT = 30
url, out = sys.argv[1], Path(sys.argv[2])

with requests.Session() as session:

    def get(name: str, **fields: str) -> requests.Response:
        return session.get(
            url + name, headers={key.replace("_", "-"): value for key, value in fields.items()}, timeout=LIMIT
        )

    with session.get(url + "large.bin", stream=True, timeout=LIMIT) as response, (out / "whole").open("wb") as file:
        for piece in response.iter_content(1 << 16):
            file.write(piece)
        tag = response.headers["ETag"]
    middle, suffix = get("large.bin", Range="bytes=1000-70000"), get("large.bin", Range="bytes=-1000")
    (out / "middle").write_bytes(middle.content)
    (out / "suffix").write_bytes(suffix.content)

    with session.get(url + "large.bin", stream=True, timeout=LIMIT) as response:
        first = response.raw.read(100_000)
    rest = get("large.bin", Range=f"bytes={len(first)}-", If_Range=tag)
    (out / "resumed").write_bytes(first + rest.content)

    unchanged = get("large.bin", If_None_Match=tag)
    (out / "odd").write_bytes(get("odd%20%23name.bin").content)
    length = session.head(url + "large.bin", timeout=LIMIT).headers["Content-Length"]
    with ThreadPoolExecutor(20) as pool:
        for number, answer in enumerate(pool.map(get, ["small.bin"] * 20)):
            (out / f"many-{number}").write_bytes(answer.content)

print("HTTP/1.1", middle.status_code, suffix.status_code, rest.status_code, unchanged.status_code, length)
