"""The innermost step: what happens when a socket can take bytes. No coroutine runs here and nothing is held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

from freight.errors import PeerGone, ShortRead, TransferError
from freight.flow.budget import Budget
from freight.flow.rounds import FAILED, Rounds
from freight.flow.warm import Warmer, resident
from freight.model import Span
from freight.ports import Reader, Sink

CHUNK_BYTES = 4 * 1024 * 1024
"""The most one turn hands to the kernel, in bytes. Fewer, larger calls win; see docs/decisions."""

_WARM_SECONDS = 1.0  # how long a look into the page cache is believed


class Waiting:
    """What a pump and a writer share: waiting for the socket, ending once, and the look for progress.

    A subclass has ``step() -> bool``: hand the kernel what it takes now, True when all is handed over; it raises
    BlockingIOError when the kernel takes nothing, and a TransferError or OSError when it cannot go on.
    """

    __slots__ = ("_done", "_rounds", "_seen", "_since", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._done: asyncio.Future[None] | None = None
        self._rounds: Rounds | None = None
        self._seen = -1
        self._since = 0.0

    def step(self) -> bool:
        raise NotImplementedError

    def start(self) -> bool:
        """Hand over what goes at once. True: that was all. Raises a TransferError."""
        try:
            return self.step()
        except BlockingIOError:
            return False
        except OSError as error:
            raise _surprise(error) from error

    async def run(self, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> None:
        """Go on whenever the socket can take bytes, until the end. Raises a TransferError, or a disk's OSError."""
        self._done, self._rounds, self._since = loop.create_future(), rounds, loop.time()
        rounds.watch(self.sink.fileno(), self.ready)
        try:
            self.watched()
            await self._done
        finally:
            rounds.forget(self.sink.fileno())

    def watched(self) -> None:
        """Called once the socket is watched."""

    def pause(self) -> None:
        """No readiness for now, only failure."""
        if self._rounds is not None:
            self._rounds.pause(self.sink.fileno())

    def resume(self) -> None:
        """End a pause, unless the transfer has ended in it."""
        if self._rounds is not None and self._done is not None and not self._done.done():
            self._rounds.resume(self.sink.fileno())

    def ready(self, events: int) -> None:
        """The socket can take bytes, or has failed: the readiness callback."""
        try:
            if events & FAILED:
                raise PeerGone("the client closed the connection")
            if self.step():
                self.end(None)
        except BlockingIOError:
            pass
        except TransferError as error:
            self.end(error)
        except OSError as error:
            self.end(_surprise(error))
        except Exception as error:  # a fault of ours ends this transfer and not the loop's turn
            self.end(error)

    def end(self, error: Exception | None) -> None:
        """End it, well or with an error, from inside or outside. What comes after the first time changes nothing."""
        if self._done is None or self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    def stands_still(self, now: float, idle_seconds: float) -> bool:
        """Whether the *peer* has taken nothing for ``idle_seconds``: what the kernel holds for it does not count."""
        taken = self.sink.acknowledged()
        if taken != self._seen:
            self._seen, self._since = taken, now
        return now - self._since >= idle_seconds


class Writer(Waiting):
    """Sends one literal."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes, sink: Sink) -> None:
        super().__init__(sink)
        self._data = data

    def step(self) -> bool:
        """See :class:`Waiting`."""
        while self._data:
            self._data = self._data[self.sink.send(self._data, False) :]
        return True


class Pump(Waiting):
    """Sends literals and spans of a file, a bounded chunk per readiness."""

    __slots__ = (
        "_budget",
        "_fd",
        "_fetching",
        "_literal",
        "_reader",
        "_segments",
        "_start",
        "_stop",
        "_warm_at",
        "_warm_stop",
        "_warmer",
    )

    def __init__(
        self, fd: int, reader: Reader, segments: Iterator[bytes | Span], sink: Sink, budget: Budget, warmer: Warmer
    ) -> None:
        super().__init__(sink)
        self._fd = fd
        self._reader = reader
        self._segments = segments
        self._budget = budget
        self._warmer = warmer
        self._literal = b""  # what goes next,
        self._start = self._stop = 0  # and the span behind it
        self._warm_stop, self._warm_at = 0, 0.0  # up to there the span was in memory at that time
        self._fetching = False

    def step(self) -> bool:
        """See :class:`Waiting`. Raises Changed and ShortRead: what was promised is no longer there."""
        if self._fetching:
            raise BlockingIOError
        self.sink.bound(self._budget.window)
        left = CHUNK_BYTES
        while left > 0:
            if self._literal:
                # A span behind it shares its packet; nothing behind it, and the kernel would hold it back.
                self._literal = self._literal[self.sink.send(self._literal, self._start < self._stop) :]
            elif self._start < self._stop:
                count = min(self._stop - self._start, left)
                if not self._is_warm(count):
                    self._fetch(count)
                    raise BlockingIOError
                taken = self._hand_over(count)
                if taken < count:
                    return False  # the kernel is full
                left -= taken
            elif not self._next():
                return True
        return False

    def watched(self) -> None:
        """See :class:`Waiting`: a fetch that began before that need not be interrupted by readiness."""
        if self._fetching:
            self.pause()

    def _next(self) -> bool:
        """Take the next literal and the span behind it, or either. False: there is no more."""
        segment = next(self._segments, None)
        if isinstance(segment, bytes):
            self._literal = segment
            segment = next(self._segments, None)
        if isinstance(segment, Span):
            assert segment.stop is not None  # a file's size is known, and the wire resolved the span by it
            self._start, self._stop = segment.start, segment.stop
            self._warm_stop = 0
        return bool(self._literal) or self._start < self._stop

    def _hand_over(self, count: int) -> int:
        # Looked at before, and once more behind the last byte: a file rewritten meanwhile must not end as whole.
        self._reader.check()
        taken = self.sink.sendfile(self._fd, self._start, count)
        if taken == 0:
            raise ShortRead("the file ended before its length")
        self._start += taken
        if self._start == self._stop:
            self._reader.check()
        return taken

    def _is_warm(self, count: int) -> bool:
        stop, now = self._start + count, monotonic()
        if stop <= self._warm_stop and now - self._warm_at < _WARM_SECONDS:
            return True
        if not resident(self._fd, self._start, stop):
            return False
        self._warm_stop, self._warm_at = stop, now
        return True

    def _fetch(self, count: int) -> None:
        self._fetching = True
        stop = self._start + count
        self._warmer.fetch(self._fd, self._start, stop, lambda error: self._fetched(stop, error))
        self.pause()

    def _fetched(self, stop: int, error: OSError | None) -> None:
        self._fetching = False
        if error is not None:
            self.end(error)
            return
        # Believed without asking: under memory pressure it may be gone again, and asking would go round for ever.
        self._warm_stop, self._warm_at = stop, monotonic()
        self.resume()


def _surprise(error: OSError) -> Exception:
    """A socket's error is the peer's going; what else fails (a disk, say) is reported as it is."""
    return PeerGone("the client closed the connection") if isinstance(error, ConnectionError) else error
