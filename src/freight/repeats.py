"""An answer that can be sent again, for another range of the same file: without a plan, and without waiting.

**Goal.** Clients that read a file by thousands of small ranges cost as little as possible.

**Invariant.** What is sent is, byte for byte, what :class:`freight.fileserver.FileServer` would send for the request.
Where that is not certain, :meth:`Repeatable.send` sends nothing and says so.

**Rules.**

1. Each time the path is looked up again, and must name the same file with the same size and time of modification.
2. The rules of the server must be those by which the first answer was planned.
3. The answer must not have to wait: for a slot, for the disk, or for memory.
4. What cannot be sent at once goes on in a coroutine, as for any other answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from freight.errors import FileChanged
from freight.flow.gate import Gate
from freight.flow.slot import Slot, lane_of
from freight.flow.transfers import MOST_AT_ONCE, Transfers, cost_at_once
from freight.http import dates, etags
from freight.memory.budget import Lane
from freight.model import Plan, Request, Resource, Span
from freight.protocols import KeptOpen, SharedReader, Sink

_DATED = frozenset({"if-modified-since", "if-unmodified-since"})


class Repeatable:
    """An answer with one range of a file, and what sends another range of it. ``plan`` is that of the first range.

    ``is_valid`` returns whether the server would still plan it so, for the same file.
    """

    __slots__ = ("_gate", "_is_valid", "_kept", "_transfers", "plan", "size")

    def __init__(
        self, plan: Plan, size: int, kept: KeptOpen, gate: Gate, transfers: Transfers, is_valid: Callable[[], bool]
    ) -> None:
        self.plan = plan
        self.size = size
        self._kept = kept
        self._gate = gate
        self._transfers = transfers
        self._is_valid = is_valid

    def send(
        self, make_head: Callable[[int, int], bytes], first: int, last: int | None, sink: Sink, client: str | bytes
    ) -> Coroutine[Any, Any, bool] | bool:
        """Send the bytes ``first`` to ``last`` of the file (None: to its end) after ``make_head(first, length)``.

        The sink must have nothing queued. Return True if all was sent, and False if nothing was: then the responder
        must answer. Otherwise return a coroutine, which the caller must run to its end. It sends the rest, or raises as
        :meth:`freight.protocols.Responder.respond` does.
        """
        transfers, length = self._transfers, self._length(first, last)
        if not length:
            return False
        if length > MOST_AT_ONCE or not self._gate.may_send(sink, cost_at_once(length)):
            return self.send_in_slot(make_head, first, last, sink, client)
        head = make_head(first, length)
        try:
            rest = transfers.send_at_once(self._kept, head, first, length, sink)
        except FileChanged as error:
            return transfers.fail(error)
        if not rest:
            return rest is not None
        slot = Slot(client, Lane.EXPRESS, sink)
        self._gate.grant(slot)
        return self._transfer(rest, slot)

    def _length(self, first: int, last: int | None) -> int:
        """Return how many bytes are to be sent. 0: none, as it is for the responder to answer."""
        if self._transfers.rates.is_limited or not self._is_valid():
            return 0
        return max(0, (self.size if last is None else min(last + 1, self.size)) - first)

    def send_in_slot(
        self, make_head: Callable[[int, int], bytes], first: int, last: int | None, sink: Sink, client: str | bytes
    ) -> Coroutine[Any, Any, bool] | bool:
        """Send as :meth:`send` does, but always in a slot. The sink may have something queued."""
        length = self._length(first, last)
        if not length or self._kept.fileno() is None or not self._kept.is_current():
            return False
        slot = Slot(client, lane_of(length, False), sink)
        if not self._gate.take_slot(slot):
            return False
        try:
            head = make_head(first, length)
        except BaseException:
            self._gate.give_back(slot)
            raise
        span = Span(first, first + length)
        return self._transfer((head, span) if head else (span,), slot)

    def _transfer(self, segments: tuple[bytes | Span, ...], slot: Slot) -> Coroutine[Any, Any, bool] | bool:
        """Send what an answer consists of, as any other transfer does."""
        sink, client, reader = slot.sink, slot.key, self._kept.share()
        rest = self._transfers.send_file(reader, iter(segments), sink, client)
        if rest is not None:
            return self._finish(reader, slot, rest)
        self._gate.give_back(slot)
        reader.close()
        return True

    async def _finish(self, reader: SharedReader, slot: Slot, rest: Coroutine[Any, Any, None]) -> bool:
        try:
            await rest
        finally:
            self._gate.give_back(slot)
            reader.close()
        return True


def is_repeatable(request: Request, resource: Resource, plan: Plan) -> bool:
    """Return whether the plan for another range of the resource differs from ``plan`` in the range alone, at any time.

    It does if nothing in it depends on the time, and the resource is one whose validators tell its versions apart.
    """
    if plan.status not in (200, 206) or len(plan.parts) != 1 or not plan.length:
        return False
    if (request.field("range") is None) != (plan.status == 200):
        return False  # the range was ignored, and another one may not be
    if resource.produced or resource.coding or resource.ctime_ns is not None or resource.mtime_ns is None:
        return False
    modified = ("Last-Modified", dates.format(resource.mtime_ns // 1_000_000_000))
    if plan.close or modified not in plan.fields:  # a time in the future is replaced by the present
        return False
    condition = request.field("if-range")
    return not any(name in _DATED for name, _ in request.fields) and (condition is None or etags.is_tag(condition))
