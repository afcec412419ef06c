"""PURE. One node: slots, a queue, a page cache, a link and a disk. The time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from freight.fleet.simulate.cache import Cache, key_of
from freight.fleet.simulate.sharing import Stream, share


@dataclass(frozen=True, slots=True)
class Machine:
    """The properties of every node. ``room[waiting]``: how many run while that many wait; its length limits the queue.

    ``link`` and ``disk`` in bytes per second. ``client_rates``: speed of each kind of client, in bytes per second.
    ``chunk_bytes``: size of the pieces that are read and cached, in a page cache of ``cache_bytes``.
    """

    room: Sequence[int]
    max_wait_seconds: float
    link: float
    disk: float
    cache_bytes: int
    chunk_bytes: int
    client_rates: Sequence[float]


class Request:
    """One download: its file, its kind of client, its arrival, and how far it is."""

    __slots__ = ("at", "began", "file", "kind", "since", "size")

    def __init__(self, file: int, size_bytes: int, kind: int, since: float) -> None:
        self.file = file
        self.size = size_bytes
        self.kind = kind
        self.since = since
        self.began = -1.0
        self.at = 0


class Outcome(Enum):
    """How a request ends at a node."""

    SERVED = "served"
    FULL = "full"
    LATE = "late"


class Node:
    """The state of a node. ``sent``: bytes sent; ``read``: bytes from the disk; ``touched``: bytes looked up in the
    page cache; ``missed``: those of them that it did not have. Requests that end are in ``ended`` until taken out.
    """

    __slots__ = (
        *("_at", "_from_disk", "_machine", "_streams", "_together", "_waiting"),
        *("cache", "ended", "missed", "read", "running", "sent", "touched"),
    )

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._at = 0.0
        self._together = self._from_disk = 0.0  # bytes per second
        self._waiting: deque[Request] = deque()
        self._streams: list[Stream[Request]] = [
            Stream(rate, cold) for cold in (False, True) for rate in machine.client_rates
        ]
        self.cache = Cache(machine.cache_bytes)
        self.ended: list[tuple[Request, Outcome]] = []
        self.running = 0
        self.sent = self.read = 0.0
        self.touched = self.missed = 0

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._waiting)

    def arrive(self, request: Request) -> None:
        """Let a request arrive at ``request.since``: it runs, waits, or is refused."""
        self.run_until(request.since)
        room = self._machine.room
        if not self._waiting and self.running < room[0]:
            self._begin(request)
            self._share()
        elif len(self._waiting) < len(room) - 1:
            self._waiting.append(request)
        else:
            self.ended.append((request, Outcome.FULL))

    def go_on(self, request: Request, left_bytes: int) -> bool:
        """Continue a download that has this much left. Return False if it has nothing left, or there is no slot."""
        if not left_bytes or self.running >= self._machine.room[0]:
            return False
        request.at = max(0, request.size - left_bytes)
        self._begin(request)
        self._share()
        return True

    def turn(self, now: float) -> None:
        """Handle what is due: chunks that are complete, requests that get a slot, requests that waited too long."""
        self.run_until(now)
        changed = False
        for stream in self._streams:
            while (request := stream.done(now)) is not None:
                changed = True
                if request.at < request.size:
                    self._read_on(request)
                else:
                    self.running -= 1
                    self.ended.append((request, Outcome.SERVED))
        waiting, machine = self._waiting, self._machine
        while waiting and self.running < machine.room[len(waiting) - 1]:
            self._begin(waiting.popleft())
            changed = True
        while waiting and waiting[0].since + machine.max_wait_seconds <= now:
            self.ended.append((waiting.popleft(), Outcome.LATE))
        if changed:
            self._share()

    def next_turn(self) -> float:
        """The time of the next event."""
        left = float("inf")
        for stream in self._streams:
            if len(stream):
                left = min(left, stream.seconds_left())
        soon = self._at + left
        if self._waiting:
            return min(soon, self._waiting[0].since + self._machine.max_wait_seconds)
        return soon

    def run_until(self, now: float) -> None:
        """Let bytes flow until now."""
        seconds = now - self._at
        if seconds > 0:
            for stream in self._streams:
                stream.run(seconds)
            self.sent += self._together * seconds
            self.read += self._from_disk * seconds
        self._at = now

    def _begin(self, request: Request) -> None:
        self.running += 1
        request.began = self._at
        self._read_on(request)

    def _read_on(self, request: Request) -> None:
        """Begin the next chunk, from memory or from the disk."""
        chunk_bytes = self._machine.chunk_bytes
        size = min(chunk_bytes - request.at % chunk_bytes, request.size - request.at)
        cold = not self.cache.touch(key_of(request.file, request.at // chunk_bytes), size)
        request.at += size
        self.touched += size
        self.missed += size * cold
        self._streams[request.kind + cold * len(self._machine.client_rates)].join(request, size)

    def _share(self) -> None:
        self._together, self._from_disk = share(self._streams, self._machine.link, self._machine.disk)
