"""Starlette's ``FileResponse``, as its documentation uses it. The directory comes from ``BENCH_ROOT``."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

ROOT = Path(os.environ["BENCH_ROOT"])


async def answer(request: Request) -> FileResponse:
    return FileResponse(ROOT / request.path_params["name"])


app = Starlette(routes=[Route("/{name}", answer)])
