"""The live stream at /events: one look at the server a tick, shared by all who watch.

Looking begins with the first viewer and goes on for as long as a sample is kept after the last has gone: who lost the
line finds what was meanwhile, and a server that nobody watches does nothing. A viewer is given an event when the kernel
has all of the one before; what came meanwhile it gets as history. So one that reads slowly skips frames, holds no more
than one, and is let go by the sweep when it takes nothing for the idle timeout. A browser then comes back by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from freight.core.decide import refuse
from freight.model import Plan, Request, Snapshot, Span
from freight.observe.outlet import VIEWERS
from freight.observe.samples import KEPT, Ring
from freight.ports import Clock, Sink

TICK_SECONDS = 1.0

_KEPT_SECONDS = KEPT * TICK_SECONDS
_MARK_BYTES = 4 * 1024  # at which the kernel calls a viewer's send buffer full
_RETRY_MS = 1000  # how soon a browser comes back that has lost the stream
_PLAN = Plan(
    200,
    (
        ("Content-Type", "text/event-stream"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Accel-Buffering", "no"),  # nginx would keep events to itself for a while
    ),
    (Span(0, None),),
    None,
    close=True,
)


class Events:
    """Tells viewers what the server does. ``look`` takes a snapshot, ``write`` hands bytes to a viewer's socket."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Snapshot]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._look = look
        self._write = write
        self._clock = clock
        self._origin = clock.now() - clock.monotonic()  # so that times never go back
        self._ring = Ring()
        self._viewers = 0
        self._left_at = 0.0
        self._ticked = asyncio.Event()
        self._sampler: asyncio.Task[None] | None = None
        self._closed = False

    async def respond(self, request: Request, sink: Sink) -> Plan | None:
        """Stream to a viewer until it goes, or :meth:`close`; or else the plan of another answer."""
        accept = request.field("accept")
        if request.field("sec-fetch-site") in ("cross-site", "same-site"):
            return refuse(403, "A page of another server may not watch this one.", accept)
        if self._viewers >= VIEWERS:
            return refuse(503, f"{VIEWERS} watch already, and no more may. /status says the same once.", accept)
        if request.method == "HEAD":
            return _PLAN
        self._viewers += 1
        try:
            if not self._closed and (self._sampler is None or self._sampler.done()):
                self._sampler = asyncio.get_running_loop().create_task(self._sample())
            await self._stream(_known(request), sink)
        finally:
            self._viewers -= 1
            self._left_at = self._clock.monotonic()
        return None

    def close(self) -> None:
        """End all streams, each behind a whole event."""
        self._closed = True
        self._ticked.set()
        if self._sampler is not None:
            self._sampler.cancel()

    async def _stream(self, known_ms: int, sink: Sink) -> None:
        sink.bound(_MARK_BYTES)
        for segment in sink.segments(_PLAN, None):
            if isinstance(segment, bytes):
                await self._write(segment, sink)
                continue
            await self._write(sink.piece(b"retry: %d\n\n" % _RETRY_MS), sink)
            while not self._closed:
                found = self._ring.after(known_ms)
                if found is None:
                    await self._ticked.wait()
                    continue
                known_ms, event = found
                await self._write(sink.piece(event), sink)
                del event, found  # not to be kept until the next

    async def _sample(self) -> None:
        while self._viewers or self._clock.monotonic() - self._left_at < _KEPT_SECONDS:
            snapshot = await self._look()
            self._ring.add(round((self._origin + self._clock.monotonic()) * 1000), snapshot)
            del snapshot
            self._ticked.set()
            self._ticked.clear()
            await asyncio.sleep(TICK_SECONDS)
        self._ring.clear()


def _known(request: Request) -> int:
    """Until when a viewer knows all, in milliseconds since the epoch; -1: it knows nothing.

    By Last-Event-ID, or by ``after`` in the query, which a script can set where it cannot set a field.
    """
    text = request.field("last-event-id") or parse_qs(request.target.partition("?")[2]).get("after", [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
