"""The dashboard: a page of the admin listener, the files that it loads, and its event stream.

The module is imported at a browser's first request. Its files are read for each request and not kept in memory: most
servers are watched by one browser, which caches and revalidates them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from freight import __version__
from freight.http import conditions
from freight.http.error_response import for_method, plan_error
from freight.model import Plan, Request, Snapshot
from freight.observe.events import Events
from freight.observe.stream_writer import run_inline
from freight.protocols import Clock, Remember, Sink

_FOLDER = Path(__file__).with_name("assets")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE = "dashboard.html"
_OWN = ("charts.js", "dashboard.css", "dashboard.js", "format.js", "icon.svg", "queue.js", "table.js")
_FILES = {
    "/": _PAGE,
    "/favicon.ico": "icon.svg",  # browsers request it with /status and /metrics
    **{f"/dashboard/{name}": name for name in _OWN},
    **{f"/dashboard/{name}": f"uplot/{name}" for name in ("uPlot.iife.min.js", "uPlot.min.css")},
}
# All files come from this server. Targets, which clients choose, are shown as text; if not, the policy stops scripts.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_FIXED = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),  # revalidated, so that page and scripts are always of one version
)
_OF_PAGE = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Vary", "Accept"),
)
_FILES_AT_ONCE = 4  # each is in memory until the kernel has all of it


class Dashboard:
    """Answers a browser's requests. ``send`` sends a plan without spans; ``run`` calls a function that reads a file.

    ``snapshot`` and ``write`` are those of :class:`Events`.
    """

    def __init__(
        self,
        snapshot: Callable[[], Awaitable[Snapshot]],
        send: Callable[[Plan, Sink], Awaitable[None]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]] = run_inline,
    ) -> None:
        self.events = Events(snapshot, write, clock)
        self._send = send
        self._clock = clock
        self._run = run
        self._reading = asyncio.Semaphore(_FILES_AT_ONCE)

    async def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> bool:
        """Answer one request (:class:`freight.protocols.Responder`)."""
        path = request.target.partition("?")[0]
        if path == "/events":
            plan = await self.events.respond(request, sink)
            if plan is not None:
                await self._send(for_method(request.method, plan), sink)
            return False
        name = _FILES.get(path)
        if name is None:
            plan = plan_error(404, "The dashboard has no such file; / lists what there is.", request.field("accept"))
            await self._send(for_method(request.method, plan), sink)
            return False
        async with self._reading:
            plan = await self._run(partial(_read, name, request, self._clock.now()))
            await self._send(for_method(request.method, plan), sink)
        return False

    def close(self) -> None:
        """End all streams."""
        self.events.close()


def _read(name: str, request: Request, now: float) -> Plan:
    """Return the plan that answers with one of the files. Blocks on the disk. Raises OSError."""
    with (_FOLDER / name).open("rb") as file:
        found = os.fstat(file.fileno())
        # With the version: installers may give the files of every version the same time.
        etag = f'"{__version__}-{found.st_size:x}-{found.st_mtime_ns:x}"'
        fields = (*_FIXED, ("ETag", etag), *(_OF_PAGE if name == _PAGE else ()))
        if conditions.evaluate(request, etag, None, now) is conditions.Precondition.NOT_MODIFIED:
            return Plan(304, fields, (), found.st_size, content=False)
        content = file.read()
    return Plan(200, (("Content-Type", _TYPES[Path(name).suffix]), *fields), (content,), len(content))
