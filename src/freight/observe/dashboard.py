"""The dashboard: a page of the admin listener, what it loads, and the stream that it listens to.

Nobody imports this before a browser asks. Its files are read whenever they are asked for, and not held: most servers
are looked at by one browser, which keeps them and asks whether they have changed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from freight import __version__
from freight.core import conditions
from freight.core.decide import refuse
from freight.model import Plan, Request, Snapshot
from freight.observe.events import Events
from freight.observe.outlet import run_here
from freight.ports import Clock, Sink

_FOLDER = Path(__file__).with_name("assets")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE = "dashboard.html"
_OWN = ("charts.js", "dashboard.css", "dashboard.js", "icon.svg", "queue.js", "table.js", "words.js")
_FILES = {
    "/": _PAGE,
    "/favicon.ico": "icon.svg",  # which browsers ask for beside /status and /metrics
    **{f"/dashboard/{name}": name for name in _OWN},
    **{f"/dashboard/{name}": f"uplot/{name}" for name in ("uPlot.iife.min.js", "uPlot.min.css")},
}
# All is ours and from here. What clients choose (targets) is shown as text; should it ever not be, it runs nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_FIXED = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),  # kept, and asked about: page and scripts are always of one version
)
_OF_PAGE = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Vary", "Accept"),
)
_AT_ONCE = 4  # files on their way: each is held until the kernel has it


class Dashboard:
    """Answers what a browser asks for. ``send`` sends a plan without spans, ``run`` reads files; for the others see
    Events.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Snapshot]],
        send: Callable[[Plan, Sink], Awaitable[None]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]] = run_here,
    ) -> None:
        self.events = Events(look, write, clock)
        self._send = send
        self._clock = clock
        self._run = run
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def respond(self, request: Request, sink: Sink) -> None:
        """Answer one request (:class:`freight.ports.Responder`)."""
        path = request.target.partition("?")[0]
        if path == "/events":
            plan = await self.events.respond(request, sink)
            if plan is not None:
                await self._send(without_content(request, plan), sink)
            return
        name = _FILES.get(path)
        if name is None:
            plan = refuse(404, "There is nothing here; / lists what there is.", request.field("accept"))
            await self._send(without_content(request, plan), sink)
            return
        async with self._turns:
            plan = await self._run(partial(_read, name, request, self._clock.now()))
            await self._send(without_content(request, plan), sink)

    def close(self) -> None:
        """End all streams."""
        self.events.close()


def without_content(request: Request, plan: Plan) -> Plan:
    """The plan as HEAD has it, where the request is one."""
    if request.method != "HEAD":
        return plan
    return Plan(plan.status, plan.fields, (), plan.length, content=False, close=plan.close)


def _read(name: str, request: Request, now: float) -> Plan:
    """The answer with one of the files. Blocks. Raises OSError."""
    with (_FOLDER / name).open("rb") as file:
        found = os.fstat(file.fileno())
        # The version is in it as installers give all files of a package one time.
        etag = f'"{__version__}-{found.st_size:x}-{found.st_mtime_ns:x}"'
        fields = (*_FIXED, ("ETag", etag), *(_OF_PAGE if name == _PAGE else ()))
        if conditions.evaluate(request, etag, None, now) is conditions.Outcome.NOT_MODIFIED:
            return Plan(304, fields, (), found.st_size, content=False)
        content = file.read()
    return Plan(200, (("Content-Type", _TYPES[Path(name).suffix]), *fields), (content,), len(content))
