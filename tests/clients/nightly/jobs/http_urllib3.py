"""``urllib3``: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import urllib3

url, out = sys.argv[1], Path(sys.argv[2])

with urllib3.PoolManager(timeout=30, retries=False, maxsize=20, ca_certs=os.environ["SSL_CERT_FILE"]) as pool:

    def get(name: str, **fields: str) -> urllib3.BaseHTTPResponse:
        return pool.request("GET", url + name, headers={key.replace("_", "-"): value for key, value in fields.items()})

    with pool.request("GET", url + "large.bin", preload_content=False) as response, (out / "whole").open("wb") as file:
        shutil.copyfileobj(response, file)
        tag = response.headers["ETag"]
    middle, suffix = get("large.bin", Range="bytes=1000-70000"), get("large.bin", Range="bytes=-1000")
    (out / "middle").write_bytes(middle.data)
    (out / "suffix").write_bytes(suffix.data)

    with pool.request("GET", url + "large.bin", preload_content=False) as response:
        first = response.read(100_000)
        response.close()
    rest = get("large.bin", Range=f"bytes={len(first)}-", If_Range=tag)
    (out / "resumed").write_bytes(first + rest.data)

    unchanged = get("large.bin", If_None_Match=tag)
    (out / "odd").write_bytes(get("odd%20%23name.bin").data)
    length = pool.request("HEAD", url + "large.bin").headers["Content-Length"]
    with ThreadPoolExecutor(20) as threads:
        for number, answer in enumerate(threads.map(get, ["small.bin"] * 20)):
            (out / f"many-{number}").write_bytes(answer.data)

print("HTTP/1.1", middle.status, suffix.status, rest.status, unchanged.status, length)
