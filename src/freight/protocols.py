"""The edges of the server as Protocols: readers and sources, sinks, responders, clocks; and the account of a sink."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from freight.model import Level, NotFound, Plan, Request, Resource, Span

LogNotice = Callable[[Level, str], None]
"""A function that logs a message to the operator."""

MoreMemory = Callable[[], int]
"""A function that asks for more memory. It returns the number of bytes granted, 0 if none."""


class SendAccount:
    """One connection's share of the budget, in bytes of kernel memory, never less than the kernel really holds.

    The budget owns it. ``reserved`` is a window of WINDOW_MIN bytes for each running transfer, and ``borrowed`` is what
    the kernel holds beyond that. ``piece_bytes`` are bytes that the process has read, or is reading, for the connection
    and the kernel has not taken yet: they count as if it held them. ``peer_window`` is what a near client can still
    receive, as last measured. The sender of a file lowers it by what it sends. For a far client it is 0.
    """

    __slots__ = ("borrowed", "peer_window", "piece_bytes", "reserved")

    def __init__(self) -> None:
        self.reserved = 0
        self.borrowed = 0
        self.peer_window = 0
        self.piece_bytes = 0


class Reader(Protocol):
    """An open representation. Leaving the context closes it.

    ``fileno()`` distinguishes its two kinds. A reader with a descriptor is read at offsets, by ``sendfile`` or
    ``preadv``; its ``size`` is in bytes. A reader without one is a producer: ``read()`` returns its next piece, and
    ``size`` is None. ``read()`` may block, so call it in the disk pool, one call at a time.
    """

    size: int | None
    device: int
    """``st_dev`` of the file system: the disk pool has threads for each."""
    in_pieces: bool
    """Whether only threads may read, because the file system is remote or has no sendfile(2)."""

    def fileno(self) -> int | None:
        """Return the descriptor to read at offsets, or None for a producer."""

    def check(self) -> None:
        """Raise :class:`~freight.errors.FileChanged` if this is no longer the representation that was located."""

    def read(self, more_memory: MoreMemory) -> bytes:
        """Return a producer's next piece, at most 64 KiB, or b"" at its end. May block.

        ``more_memory`` is valid during this call, in its thread.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@runtime_checkable
class LoopProducer(Protocol):
    """A producer whose pieces are made by code of an application. Call it on the event loop, in place of ``read``."""

    async def produce(self, most_bytes: int) -> bytes:
        """Return the next piece, of 1 to ``most_bytes`` bytes, or b"" at its end. If cancelled, make no more."""

    def start_close(self) -> None:
        """Begin to end the application's code. A second call does nothing."""

    async def aclose(self) -> None:
        """End the application's code, and wait until it has ended. A second call only waits."""


class SharedReader(Reader, Protocol):
    """A reader with a descriptor, and with several users."""

    def close(self) -> None:
        """Leave the context."""


class KeptOpen(Protocol):
    """A file that stays open for a while, to be read again without waiting."""

    def fileno(self) -> int | None:
        """Return its descriptor, which may be used before anything else runs. None: it is not open any more."""

    def is_current(self) -> bool:
        """Return whether its target names it, unchanged, as far as the kernel knows without a disk."""

    def check(self) -> None:
        """Raise :class:`~freight.errors.FileChanged` if the open file has changed, as :meth:`Reader.check` does."""

    def share(self) -> SharedReader:
        """Return a reader that keeps it open until it is closed. It must be open."""


class Source(Protocol):
    """A place where representations are found and opened."""

    @property
    def only_file(self) -> str:
        """The name of the one file that it has, which is at ``/`` too; "" if it has a directory."""

    async def locate(self, target: str, client: str | bytes, *, revealed: bool = False) -> Resource | NotFound:
        """Find what is at a request target, and keep nothing open. Never block the event loop on a disk.

        ``client`` is the key of the client: look-ups that wait for a disk are queued fairly by client. ``revealed``: a
        rule allows the names in the path that begin with a dot.
        """

    async def locate_encoded(
        self, resource: Resource, codings: tuple[str, ...], most: int, client: str | bytes
    ) -> tuple[Resource, ...]:
        """Find forms of a located file that are compressed by one of these content codings, in their order.

        At most the first ``most`` that exist. Called only for a resource whose ``coding`` is "identity".
        """

    async def open(self, resource: Resource, media_type: str, client: str | bytes) -> Reader | NotFound:
        """Open what was located. Raise :class:`~freight.errors.FileChanged` if it has been replaced since.

        Return :class:`~freight.model.NotFound` for what only an open can find out, such as a missing permission.
        """

    def keep_open(self, resource: Resource) -> KeptOpen | None:
        """Keep what was located, and is open now, open for some seconds after each use. None: that is not possible."""


class Sink(Protocol):
    """The framing of one answer over a socket. No method waits or buffers.

    ``account`` is the connection's share of the budget. ``accepted_bytes`` counts the bytes that the kernel accepted,
    in all exchanges of the connection. ``zero_copy``: a file's bytes never enter the process. ``protocol`` is the
    name that ``/status`` shows.
    """

    account: SendAccount
    accepted_bytes: int
    zero_copy: bool
    protocol: str

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        """Return the answer's head and body: literal bytes, and spans of the representation of ``size`` bytes.

        No segment is empty, and no literal follows another.
        """

    def encode_chunk(self, data: bytes) -> bytes:
        """Return a producer's piece in the framing of a body whose length is unknown."""

    def send(self, data: bytes | memoryview, more: bool) -> int:
        """Send bytes and return how many the kernel accepted. ``more``: others follow at once.

        Raise BlockingIOError when the kernel accepts none.
        """

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        """Send bytes of a file and return how many the kernel accepted, 0 at the file's end.

        Raise BlockingIOError when the kernel accepts none.
        """

    def send_piece(self, data: memoryview) -> int:
        """Send bytes for which the caller has checked that there is space, as for :meth:`sendfile`."""

    def set_send_buffer(self, limit: int | None) -> None:
        """Limit the kernel's memory for the connection to ``limit`` bytes, sent and unsent. None: the kernel decides.

        The socket becomes writable again when a third of that is free.
        """

    def queued_bytes(self) -> int:
        """Return the bytes of kernel memory in the send queue: sent, unsent, and the kernel's own bookkeeping."""

    def path_info(self) -> tuple[float, int, int]:
        """Return what TCP knows of the path to the client, as three numbers.

        They are the least round trip in seconds, twice the congestion window, and the client's receive window beyond
        what it has acknowledged. Both windows are in bytes of kernel memory.
        """

    def acknowledged(self) -> int:
        """Return how many bytes of this connection the client has acknowledged. The number never falls."""

    def yielded_to_others(self) -> bool:
        """Return whether other streams of the connection were sent since the last call, while this one waited."""

    def fileno(self) -> int:
        """Return the socket's descriptor, or the stream's virtual descriptor in the poller."""


class ReadFailed(OSError):
    """The disk failed before anything was sent. ``plan`` is the answer that says so."""

    def __init__(self, error: OSError, plan: Plan) -> None:
        super().__init__(error.errno, error.strerror)
        self.plan = plan


class RepeatableAnswer(Protocol):
    """An answer that can be sent again: :class:`freight.repeats.Repeatable`. ``plan`` is that of the first request."""

    plan: Plan

    def send(
        self, make_head: Callable[[int, int], bytes], first: int, last: int | None, sink: Sink, client: str | bytes
    ) -> Coroutine[Any, Any, bool] | bool:
        """Send the bytes ``first`` to ``last``, both included (None: to the end), after ``make_head(first, length)``.

        Return True if all was sent, False if nothing was, and otherwise a coroutine that sends the rest.
        """

    def send_in_slot(
        self, make_head: Callable[[int, int], bytes], first: int, last: int | None, sink: Sink, client: str | bytes
    ) -> Coroutine[Any, Any, bool] | bool:
        """Send it as :meth:`send` does, but always in a slot. The sink may have something queued."""


Remember = Callable[[RepeatableAnswer], None]
"""A function that is called with each answer that can be sent again, before it is sent."""


class Responder(Protocol):
    """Answers requests."""

    async def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> bool:
        """Answer one request. Return whether that was a download, to be counted when the client has all of it.

        ``remember`` may be called with an answer to equal requests, or to those that differ in their range alone.

        Raise a TransferError, or OSError, when the answer cannot be finished. :class:`ReadFailed`: it was not begun.
        """


class Clock(Protocol):
    """The time of day and a monotonic time."""

    def now(self) -> float:
        """Return the seconds since the epoch, for Date fields and logs."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for waits and rates."""
