"""The applications that :mod:`benchmarks.embedded_matrix` compares with. Only the chosen one is made."""

from __future__ import annotations

import os
from typing import Any

ROOT = os.environ["ROOT"]


def _starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import FileResponse
    from starlette.routing import Route

    async def send(request: Request) -> FileResponse:
        path = os.path.join(ROOT, request.path_params["name"])
        if not os.path.isfile(path):  # noqa: ASYNC240
            raise HTTPException(404)
        return FileResponse(path)

    return Starlette(routes=[Route("/{name:path}", send)])


def _django() -> Any:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import re_path
    from django.views.static import serve

    routes = (re_path(r"^(?P<path>.*)$", serve, {"document_root": ROOT}),)
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=routes)
    django.setup()
    return get_wsgi_application()


def _aiohttp(_: list[str]) -> Any:
    from aiohttp import web

    async def send(request: web.Request) -> web.StreamResponse:
        path = os.path.join(ROOT, request.match_info["name"])
        if not os.path.isfile(path):  # noqa: ASYNC240
            raise web.HTTPNotFound
        return web.FileResponse(path)

    app = web.Application()
    app.router.add_get("/{name:.*}", send)
    return app


def __getattr__(name: str) -> Any:
    made = {"starlette_app": _starlette, "django_app": _django, "aiohttp_app": lambda: _aiohttp}
    if name not in made:
        raise AttributeError(name)
    return made[name]()
