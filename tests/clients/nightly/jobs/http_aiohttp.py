"""``aiohttp``: the jobs of test_http_libraries.py. Arguments: the URL of the site, the directory for the results."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path

import aiohttp
from yarl import URL

url, out = sys.argv[1], Path(sys.argv[2])


async def main() -> None:
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:

        async def get(name: str, **fields: str) -> tuple[int, bytes]:
            headers = {key.replace("_", "-"): value for key, value in fields.items()}
            async with session.get(URL(url + name, encoded=True), headers=headers) as response:
                return response.status, await response.read()

        async with session.get(url + "large.bin") as response:
            with (out / "whole").open("wb") as file:
                async for piece in response.content.iter_chunked(1 << 16):
                    file.write(piece)
            tag = response.headers["ETag"]
        statuses = []
        for name, wanted in (("middle", "bytes=1000-70000"), ("suffix", "bytes=-1000")):
            status, content = await get("large.bin", Range=wanted)
            (out / name).write_bytes(content)
            statuses.append(status)

        async with session.get(url + "large.bin") as response:
            first = await response.content.readexactly(100_000)
            response.close()
        status, rest = await get("large.bin", Range=f"bytes={len(first)}-", If_Range=tag)
        (out / "resumed").write_bytes(first + rest)

        unchanged, _ = await get("large.bin", If_None_Match=tag)
        (out / "odd").write_bytes((await get("odd%20%23name.bin"))[1])
        async with session.head(url + "large.bin") as response:
            length = response.headers["Content-Length"]
        for number, (_, content) in enumerate(await asyncio.gather(*(get("small.bin") for _ in range(20)))):
            (out / f"many-{number}").write_bytes(content)
    print("HTTP/1.1", *statuses, status, unchanged, length)


asyncio.run(main())
