"""``httpx``: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path

import httpx

url, out = sys.argv[1], Path(sys.argv[2])


async def main() -> None:
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    async with httpx.AsyncClient(http2=True, timeout=30, verify=context, base_url=url) as client:
        async with client.stream("GET", "large.bin") as response:
            with (out / "whole").open("wb") as file:
                async for piece in response.aiter_bytes():
                    file.write(piece)
            tag = response.headers["ETag"]
        middle = await client.get("large.bin", headers={"Range": "bytes=1000-70000"})
        suffix = await client.get("large.bin", headers={"Range": "bytes=-1000"})
        (out / "middle").write_bytes(middle.content)
        (out / "suffix").write_bytes(suffix.content)

        first = b""
        async with client.stream("GET", "large.bin") as response:
            async for piece in response.aiter_bytes():
                first += piece
                if len(first) >= 100_000:
                    break
        rest = await client.get("large.bin", headers={"Range": f"bytes={len(first)}-", "If-Range": tag})
        (out / "resumed").write_bytes(first + rest.content)

        unchanged = await client.get("large.bin", headers={"If-None-Match": tag})
        (out / "odd").write_bytes((await client.get("odd%20%23name.bin")).content)
        length = (await client.head("large.bin")).headers["Content-Length"]
        for number, answer in enumerate(await asyncio.gather(*(client.get("small.bin") for _ in range(20)))):
            (out / f"many-{number}").write_bytes(answer.content)
    statuses = (answer.status_code for answer in (middle, suffix, rest, unchanged))
    print(middle.http_version, *statuses, length)


asyncio.run(main())
