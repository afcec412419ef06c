"""aiohttp's ``FileResponse``, as its documentation uses it. Arguments: address, port, directory, certificate and key.

With ``BENCH_LOG``, it writes its access log to standard error.
"""

import logging
import os
import ssl
import sys
from pathlib import Path

from aiohttp import web

ROOT = Path(sys.argv[3])
LOG = logging.getLogger("aiohttp.access") if "BENCH_LOG" in os.environ else None


async def answer(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(ROOT / request.path.lstrip("/"))


def secure(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


logging.basicConfig(level=logging.INFO)
app = web.Application()
app.router.add_get("/{name}", answer)
tls = secure(*sys.argv[4:]) if sys.argv[4:] else None
web.run_app(app, host=sys.argv[1], port=int(sys.argv[2]), print=lambda *_: None, access_log=LOG, ssl_context=tls)
