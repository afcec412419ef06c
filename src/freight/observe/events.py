"""The live stream at /events: one snapshot of the server each tick, shared by all viewers.

Sampling starts with the first viewer. It stops ten minutes after the last one, so that a viewer that reconnects gets
what it missed, and a server without viewers does no work.

A viewer is sent an event when the kernel has all of the one before, and gets what it missed as history. A viewer that
reads slowly skips frames and holds at most one. The sweep aborts one that stalls for the idle timeout; a browser then
reconnects by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from freight.http.error_response import plan_error
from freight.model import Plan, Request, Snapshot, Span
from freight.observe.samples import SAMPLES_KEPT, SampleBuffer
from freight.observe.stream_writer import MAX_VIEWERS
from freight.protocols import Clock, Sink

TICK_SECONDS = 1.0

_KEPT_SECONDS = SAMPLES_KEPT * TICK_SECONDS
_SEND_BUFFER_BYTES = 4 * 1024  # of a viewer's socket
_RETRY_MS = 1000  # how soon a browser reconnects
_PLAN = Plan(
    200,
    (
        ("Content-Type", "text/event-stream"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Accel-Buffering", "no"),  # nginx would buffer and delay events
    ),
    (Span(0, None),),
    None,
    close=True,
)


class Events:
    """Streams what the server does to viewers. ``write`` sends bytes to a viewer's socket."""

    def __init__(
        self,
        snapshot: Callable[[], Awaitable[Snapshot]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._snapshot = snapshot
        self._write = write
        self._clock = clock
        self._origin = clock.now() - clock.monotonic()  # added to monotonic times: event times never go back
        self._samples = SampleBuffer()
        self._viewers = 0
        self._last_left_at = 0.0
        self._ticked = asyncio.Event()
        self._sampler: asyncio.Task[None] | None = None
        self._closed = False

    async def respond(self, request: Request, sink: Sink) -> Plan | None:
        """Stream to a viewer until it disconnects, or :meth:`close`; return None, or the plan of another answer."""
        accept = request.field("accept")
        if request.field("sec-fetch-site") in ("cross-site", "same-site"):
            return plan_error(403, "Pages of other servers may not read this stream.", accept)
        if self._viewers >= MAX_VIEWERS:
            detail = f"All {MAX_VIEWERS} event streams are in use. /status has the same data once."
            return plan_error(503, detail, accept)
        if request.method == "HEAD":
            return _PLAN
        self._viewers += 1
        try:
            if not self._closed and (self._sampler is None or self._sampler.done()):
                self._sampler = asyncio.get_running_loop().create_task(self._sample())
            await self._stream(_known(request), sink)
        finally:
            self._viewers -= 1
            self._last_left_at = self._clock.monotonic()
        return None

    def close(self) -> None:
        """End all streams, each after a whole event."""
        self._closed = True
        self._ticked.set()
        if self._sampler is not None:
            self._sampler.cancel()

    async def _stream(self, known_ms: int, sink: Sink) -> None:
        sink.set_send_buffer(_SEND_BUFFER_BYTES)
        for segment in sink.segments(_PLAN, None):
            if isinstance(segment, bytes):
                await self._write(segment, sink)
                continue
            await self._write(sink.encode_chunk(b"retry: %d\n\n" % _RETRY_MS), sink)
            while not self._closed:
                found = self._samples.after(known_ms)
                if found is None:
                    await self._ticked.wait()
                    continue
                known_ms, event = found
                await self._write(sink.encode_chunk(event), sink)
                del event, found  # free the event's memory while waiting for the next

    async def _sample(self) -> None:
        while self._viewers or self._clock.monotonic() - self._last_left_at < _KEPT_SECONDS:
            snapshot = await self._snapshot()
            self._samples.add(round((self._origin + self._clock.monotonic()) * 1000), snapshot)
            del snapshot
            self._ticked.set()
            self._ticked.clear()
            await asyncio.sleep(TICK_SECONDS)
        self._samples.clear()


def _known(request: Request) -> int:
    """Return the time of a viewer's last event, in milliseconds since the epoch; 0: it has had none.

    It is in Last-Event-ID, or in ``after`` of the query: a script cannot set the field of an EventSource.
    """
    text = request.field("last-event-id") or parse_qs(request.target.partition("?")[2]).get("after", [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
