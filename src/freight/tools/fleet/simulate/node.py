"""PURE. One node: slots, a queue, a page cache, a link and a disk. The time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from freight.tools.fleet.simulate.cache import Cache, key_of
from freight.tools.fleet.simulate.sharing import Flow, share


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """The properties of a node. ``slots_by_waiting[n]``: slots while ``n`` requests wait; its length limits the queue.

    ``link`` and ``disk`` in bytes per second. ``client_rates``: speed of each kind of client, in bytes per second.
    ``chunk_bytes``: size of the pieces that are read and cached, in a page cache of ``cache_bytes``.
    """

    slots_by_waiting: Sequence[int]
    queue_timeout_seconds: float
    link: float
    disk: float
    cache_bytes: int
    chunk_bytes: int
    client_rates: Sequence[float]


class Request:
    """One download: its file, the kind of its client, its arrival, and its position in the file."""

    __slots__ = ("file", "kind", "position", "since", "size", "started_at")

    def __init__(self, file: int, size_bytes: int, kind: int, arrived_at: float) -> None:
        self.file = file
        self.size = size_bytes
        self.kind = kind
        self.since = arrived_at
        self.started_at = -1.0
        self.position = 0


class RequestResult(Enum):
    """How a request ends at a node."""

    SERVED = "served"
    FULL = "full"
    LATE = "late"


class Node:
    """The state of a node.

    Bytes: ``sent``; ``read`` from the disk; ``touched``, looked up in the page cache; ``missed``, not found there.
    ``ended`` collects requests that end; the caller removes them.
    """

    __slots__ = (
        *("_at", "_disk_rate", "_spec", "_flows", "_link_rate", "_waiting"),
        *("cache", "ended", "missed", "read", "running", "sent", "touched"),
    )

    def __init__(self, spec: NodeSpec) -> None:
        self._spec = spec
        self._at = 0.0
        self._link_rate = self._disk_rate = 0.0  # bytes per second
        self._waiting: deque[Request] = deque()
        self._flows: list[Flow[Request]] = [Flow(rate, cold) for cold in (False, True) for rate in spec.client_rates]
        self.cache = Cache(spec.cache_bytes)
        self.ended: list[tuple[Request, RequestResult]] = []
        self.running = 0
        self.sent = self.read = 0.0
        self.touched = self.missed = 0

    @property
    def waiting(self) -> int:
        """Return the number of waiting requests."""
        return len(self._waiting)

    def arrive(self, request: Request) -> None:
        """Run, queue or reject a request that arrives at ``request.since``."""
        self.advance_to(request.since)
        slots = self._spec.slots_by_waiting
        if not self._waiting and self.running < slots[0]:
            self._start(request)
            self._share()
        elif len(self._waiting) < len(slots) - 1:
            self._waiting.append(request)
        else:
            self.ended.append((request, RequestResult.FULL))

    def resume(self, request: Request, left_bytes: int) -> bool:
        """Resume a download with this much left. Return False if nothing is left, or there is no slot."""
        if not left_bytes or self.running >= self._spec.slots_by_waiting[0]:
            return False
        request.position = max(0, request.size - left_bytes)
        self._start(request)
        self._share()
        return True

    def handle_due(self, now: float) -> None:
        """Handle what is due: complete chunks, requests that get a slot, requests that waited too long."""
        self.advance_to(now)
        changed = False
        for flow in self._flows:
            while (request := flow.pop_complete(now)) is not None:
                changed = True
                if request.position < request.size:
                    self._read_on(request)
                else:
                    self.running -= 1
                    self.ended.append((request, RequestResult.SERVED))
        waiting, spec = self._waiting, self._spec
        while waiting and self.running < spec.slots_by_waiting[len(waiting) - 1]:
            self._start(waiting.popleft())
            changed = True
        while waiting and waiting[0].since + spec.queue_timeout_seconds <= now:
            self.ended.append((waiting.popleft(), RequestResult.LATE))
        if changed:
            self._share()

    def next_event_at(self) -> float:
        """Return the time of the next event."""
        left = float("inf")
        for flow in self._flows:
            if len(flow):
                left = min(left, flow.seconds_left())
        soon = self._at + left
        if self._waiting:
            return min(soon, self._waiting[0].since + self._spec.queue_timeout_seconds)
        return soon

    def advance_to(self, now: float) -> None:
        """Count the bytes that flow until ``now``."""
        seconds = now - self._at
        if seconds > 0:
            for flow in self._flows:
                flow.advance(seconds)
            self.sent += self._link_rate * seconds
            self.read += self._disk_rate * seconds
        self._at = now

    def _start(self, request: Request) -> None:
        self.running += 1
        request.started_at = self._at
        self._read_on(request)

    def _read_on(self, request: Request) -> None:
        """Begin the next chunk, from the page cache or from the disk."""
        chunk_bytes = self._spec.chunk_bytes
        size = min(chunk_bytes - request.position % chunk_bytes, request.size - request.position)
        cold = not self.cache.touch(key_of(request.file, request.position // chunk_bytes), size)
        request.position += size
        self.touched += size
        self.missed += size * cold
        self._flows[request.kind + cold * len(self._spec.client_rates)].join(request, size)

    def _share(self) -> None:
        self._link_rate, self._disk_rate = share(self._flows, self._spec.link, self._spec.disk)
