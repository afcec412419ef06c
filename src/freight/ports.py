"""The edges of the house, as Protocols: where bytes come from, where they go, what time it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from freight.account import Account
from freight.model import Absence, Level, Plan, Request, Resource, Span

Say = Callable[[Level, str], None]
"""Logs a message to the operator."""


class Reader(Protocol):
    """An open representation. A context manager: leaving it closes what it holds.

    Two kinds, told apart by ``fileno()``. One with a descriptor is read at offsets, by the kernel (``sendfile``) or by
    us (``preadv``); ``size`` is then its length in bytes. One without is a producer: ``read()`` gives its next piece
    and may block, so it is called in the pool, one call at a time; ``size`` is None.
    """

    size: int | None
    device: int
    """``st_dev`` of what it reads: the pool has threads for each file system."""

    def fileno(self) -> int | None:
        """The descriptor to read at offsets, or None for a producer."""

    def check(self) -> None:
        """Raise :class:`~freight.errors.Changed` when this is no longer the representation that was located."""

    def read(self) -> bytes:
        """A producer's next piece, at most 64 KiB; b"" at its end. May block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Source(Protocol):
    """Where representations come from."""

    async def locate(self, target: str, client: str) -> Resource | Absence:
        """What is at a request target: a stat, never an open; never blocks the loop on a disk.

        ``client`` is the address of the client that asks: look-ups that wait for a disk take turns by client.
        """

    async def open(self, resource: Resource, media_type: str, client: str) -> Reader | Absence:
        """Open what was located. Raises :class:`~freight.errors.Changed` when it is no longer that.

        An :class:`Absence` (unreadable, say) is for what only an open can tell.
        """


class Sink(Protocol):
    """One answer's way out: a wire's framing over a socket. Nothing here waits or buffers.

    ``account`` is the connection's with the budget; ``taken`` counts the bytes the kernel took, of all its exchanges.
    ``zero_copy``: what is sent of a file is never in the process; ``wire``: what is spoken, as ``/status`` names it.
    """

    account: Account
    taken: int
    zero_copy: bool
    wire: str

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """The answer's head and body in order: literal bytes, and spans of the representation (``size`` bytes long).

        None is empty, and no two literals are neighbours.
        """

    def piece(self, data: bytes) -> bytes:
        """A producer's piece as it goes out within a span whose end is not known."""

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """Hand bytes to the kernel; how many it took. ``more``: others follow at once. Raises BlockingIOError."""

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Hand bytes of a file to the kernel; how many it took, 0 at the file's end. Raises BlockingIOError."""

    def bound(self, mark: int | None) -> None:
        """From now on the kernel's memory for the connection counts as full at ``mark`` bytes, sent and unsent.

        The socket can take more when a third of that is free. None: the kernel decides.
        """

    def held(self) -> int:
        """How many bytes of its memory the kernel has in the send queue: sent, unsent, and its own bookkeeping."""

    def path(self) -> tuple[float, int, int]:
        """What is known of the way to the peer: its least round trip in seconds; twice what the path takes at a time;
        and what the peer has room for, beyond all that it has acknowledged. The last two are bytes of the kernel's
        memory.
        """

    def acknowledged(self) -> int:
        """How many bytes the peer itself has taken, of all that this connection was given. It never goes back."""

    def behind(self) -> bool:
        """Whether, since this was last asked, others of its connection went first that it shares with."""

    def fileno(self) -> int:
        """The socket's descriptor, or what stands for a part of it in the rounds."""


class Responder(Protocol):
    """Who answers requests."""

    async def respond(self, request: Request, sink: Sink) -> None:
        """Answer one request. Raises a TransferError, or OSError, when the answer cannot be finished."""


class Clock(Protocol):
    """What time it is."""

    def now(self) -> float:
        """Seconds since the epoch, for Date and logs."""

    def monotonic(self) -> float:
        """Seconds that never go back, for waits and rates."""
