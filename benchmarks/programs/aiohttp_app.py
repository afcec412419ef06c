"""aiohttp's ``FileResponse``, as its documentation uses it. Arguments: address, port, directory."""

import sys
from pathlib import Path

from aiohttp import web

ROOT = Path(sys.argv[3])


async def answer(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(ROOT / request.path.lstrip("/"))


app = web.Application()
app.router.add_get("/{name}", answer)
web.run_app(app, host=sys.argv[1], port=int(sys.argv[2]), print=lambda *_: None, access_log=None)
