"""Downloads in WSGI applications: an application for a directory, and a response for one file.

::

    application = freight.wsgi.Files("/srv/files")                    # gunicorn module:application

    @app.get("/exports/<int:number>")                                  # Flask, after the user was authorised
    def export(number):
        return FileResponse(f"/srv/exports/{number}.csv", filename=f"export-{number}.csv")

Each running download occupies a thread or a process of the server, which is what bounds them first. All with equal
limits share one budget in a process (:class:`Limits`); the server's own timeouts end clients that take nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from freight.embedded.engine import Answer
from freight.embedded.engines import LOOP_THREAD, engine_of
from freight.embedded.limits import Limits
from freight.embedded.places import Chosen, Folder, Place
from freight.model import Fields, Plan

__all__ = ["Body", "FileResponse", "Files", "Limits"]

Environ = Mapping[str, Any]
StartResponse = Callable[..., object]


class Body:
    """The content of one response: an iterator. ``close()`` ends the download; servers and frameworks call it."""

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = answer
        self._loop = loop
        self._pieces = answer.blocking_pieces()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next piece. Raise a TransferError or OSError when the content cannot be finished."""
        return next(self._pieces)

    def close(self) -> None:
        """Close the file and let the next request run. May be called again, in any thread."""
        # The generator needs no close: it owns nothing, and another thread may be in it.
        self._loop.call_soon_threadsafe(self._answer.close)

    def __del__(self) -> None:
        if self._answer.reader is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._answer.close)


class Files:
    """A WSGI application that serves the files below ``root``, or mounted in another application.

    ``PATH_INFO`` is the path. Directories are listed with ``listings``, and absent otherwise. The limits are those of
    :class:`Limits`. Raise ConfigurationError if ``root`` is no directory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        memory: int | str = "64MiB",
        download_memory: int | str = "128KiB",
        queue_size: int = 1000,
        queue_timeout: float = 30.0,
        trusted_proxies: Iterable[str] = (),
        listings: bool = False,
    ) -> None:
        self._folder = Folder.of(root, listings)
        proxies = tuple(trusted_proxies)
        self._limits = Limits(
            memory, queue_size, queue_timeout, trusted_proxies=proxies, download_memory=download_memory
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        plan, body = _answer(environ, self._limits, self._folder)
        start_response(_status(plan), _fields(plan))
        return body


class FileResponse:
    """A response with one file: a WSGI application for one request, which Flask and Werkzeug take from a view.

    - ``path``: the file. The application chooses it: links are followed anywhere. A missing file is a 404.
    - ``filename``: the name to save it under. With one, browsers save the file, unless ``inline``.
    - ``media_type``: by default that of the name.
    - ``etag``: an entity tag with its quotes, in place of one of size and time. It must change with the content.
    - ``headers``: more fields.
    - ``limits``: equal limits share one budget.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        media_type: str | None = None,
        etag: str | None = None,
        inline: bool = False,
        headers: Iterable[tuple[str, str]] = (),
        limits: Limits | None = None,
    ) -> None:
        self._chosen = Chosen.of(path, filename, media_type, etag, inline)
        self._limits = limits or _DEFAULT
        self.headers = list(headers)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request."""
        status, fields, body = self.parts(environ)
        start_response(status, fields)
        return body

    def parts(self, environ: Environ) -> tuple[str, list[tuple[str, str]], Body]:
        """Return the status line's text, the fields and the content, for frameworks with responses of their own."""
        plan, body = _answer(environ, self._limits, self._chosen)
        fields = _fields(plan)
        own = {name.lower() for name, _ in fields}
        return _status(plan), fields + [each for each in self.headers if each[0].lower() not in own], body


_DEFAULT = Limits()


def _answer(environ: Environ, limits: Limits, served: Folder | Chosen) -> tuple[Plan, Body]:
    loop = LOOP_THREAD.loop()
    path = str(environ.get("PATH_INFO", "")).encode("latin-1")
    query = str(environ.get("QUERY_STRING") or "")
    target = (quote(path) or "/") + (f"?{query}" if query else "")
    fields: Fields = tuple(_request_fields(environ))
    digits = str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")).partition("/")[2].split(".")
    version = (int(digits[0]), int(digits[1])) if len(digits) == 2 else (1, 1)
    peer = str(environ.get("REMOTE_ADDR") or "unix")

    async def begin() -> Answer:
        engine = engine_of(limits)
        request = engine.request(str(environ["REQUEST_METHOD"]), target, fields, version, peer)
        place: Place
        if isinstance(served, Chosen):
            place = await engine.file(served)
        elif not path and environ.get("SCRIPT_NAME"):
            place = served.without_slash(f"{quote(str(environ['SCRIPT_NAME']).encode('latin-1'))}/")
        else:
            place = await engine.tree(served)
        return await engine.begin(request, place)

    answer = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    return answer.plan, Body(answer, loop)


def _request_fields(environ: Environ) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-").lower(), str(value)


def _status(plan: Plan) -> str:
    return f"{plan.status} {HTTPStatus(plan.status).phrase}"


def _fields(plan: Plan) -> list[tuple[str, str]]:
    fields = list(plan.fields)
    if plan.length is not None and plan.status not in (204, 304):
        fields.append(("Content-Length", str(plan.length)))
    return fields
