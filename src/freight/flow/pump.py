"""The innermost step: what happens when a socket can take bytes. No coroutine runs here and nothing is held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

from freight.errors import PeerGone, ShortRead, TransferError
from freight.flow.budget import WINDOW_MIN
from freight.flow.gate import Slot
from freight.flow.rounds import FAILED, Rounds
from freight.flow.warm import Warmer, resident
from freight.model import Span
from freight.ports import Reader, Sink

CHUNK_BYTES = 8 * 1024 * 1024
"""The most one turn hands to the kernel, in bytes: more than a send queue takes (4 MiB by default), so that the kernel
stops at its own bound. docs/decisions/001 has the measurement."""

_SHORT_BYTES = 1024 * 1024  # the most of a bounded or a cold transfer: half a millisecond, as it need not be fast
_FETCH_BYTES = 4 * 1024 * 1024  # the most a thread fetches at a time: others wait for it meanwhile
_CHECK_BYTES = 1024 * 1024  # how far a file is sent between two looks whether it is still the same

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

    def begin(self, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> asyncio.Future[None]:
        """Go on whenever the socket can take bytes. The future has the end: nothing, a TransferError, or an OSError."""
        self._done, self._rounds, self._since = loop.create_future(), rounds, loop.time()
        rounds.watch(self.sink.fileno(), self)
        return self._done

    def leave(self) -> None:
        """Wait no more: to be called once, after :meth:`begin`, before the socket is closed."""
        if self._rounds is not None:
            self._rounds.forget(self.sink.fileno())
            self._rounds = None
        self._done = None  # its exception's traceback leads back here: without the cycle memory comes back at once

    def pause(self) -> None:
        """No readiness for now, only failure."""
        if self._rounds is not None:
            self._rounds.pause(self.sink.fileno())

    def resume(self) -> None:
        """End a pause, unless the transfer has been left in it."""
        if self._rounds is not None:
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
        "_check_at",
        "_cold",
        "_fd",
        "_fetching",
        "_literal",
        "_moved",
        "_reader",
        "_segments",
        "_slot",
        "_start",
        "_stop",
        "_warm_at",
        "_warm_stop",
        "_warmer",
        "_window",
    )

    def __init__(
        self, fd: int, reader: Reader, segments: Iterator[bytes | Span], sink: Sink, slot: Slot, warmer: Warmer
    ) -> None:
        super().__init__(sink)
        self._fd = fd
        self._reader = reader
        self._segments = segments
        self._slot = slot
        self._warmer = warmer
        self._literal = b""  # what goes next,
        self._start = self._stop = 0  # and the span behind it
        self._warm_stop, self._warm_at = 0, 0.0  # up to there the span was in memory at that time
        self._check_at = 0
        self._fetching = False
        self._cold = False  # what was asked for last was not in memory
        self._moved = 0  # bytes of spans
        self._window: int | None = WINDOW_MIN

    def step(self) -> bool:
        """See :class:`Waiting`. Raises Changed and ShortRead: what was promised is no longer there."""
        if self._fetching:
            raise BlockingIOError
        self._window = self._slot.window(self._moved)
        self.sink.bound(self._window)
        left = most = CHUNK_BYTES if self._window is None and not self._cold else _SHORT_BYTES
        while left > 0:
            if self._literal:
                # A span behind it shares its packet; nothing behind it, and the kernel would hold it back.
                self._literal = self._literal[self.sink.send(self._literal, self._start < self._stop) :]
            elif self._start < self._stop:
                ahead = min(self._stop - self._start, most)
                if not self._is_warm(ahead):
                    self._fetch()
                    raise BlockingIOError
                count = min(ahead, left, self._room(), self._warm_stop - self._start)
                if count <= 0:
                    return False  # the window is full
                taken = self._hand_over(count)
                if taken < count:
                    return False  # the kernel is full
                left -= taken
            elif not self._next():
                return self._settled()
        return False

    def _room(self) -> int:
        """How much of the window is free. Never more is offered: what the kernel declines, of a call that said more
        would come, is held back by it as the beginning of a segment, and on loopback segments are larger than windows.
        """
        if self._window is None:
            return CHUNK_BYTES
        if self._moved == 0 and self._window > WINDOW_MIN:
            return self._window - WINDOW_MIN  # as much as the exchange before may have left, see _settled
        room = self._window - self.sink.unsent()
        return room if 2 * room > self._window else 0  # as epoll sees it: tcp(7), TCP_NOTSENT_LOWAT

    def begin(self, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> asyncio.Future[None]:
        """See :class:`Waiting`."""
        done = super().begin(loop, rounds)
        if self._fetching:
            self.pause()
        return done

    def _settled(self) -> bool:
        """Whether the kernel holds no more than the connection may keep when the slot is given back."""
        if self._window == WINDOW_MIN or self.sink.unsent() <= WINDOW_MIN:
            return True
        self.sink.bound(WINDOW_MIN)
        return False

    def _next(self) -> bool:
        """Take the next literal and the span behind it, or either. False: there is no more."""
        segment = next(self._segments, None)
        if isinstance(segment, bytes):
            self._literal = segment
            segment = next(self._segments, None)
        if isinstance(segment, Span):
            assert segment.stop is not None  # a file's size is known, and the wire resolved the span by it
            self._start, self._stop = segment.start, segment.stop
            self._warm_stop = self._check_at = segment.start
        return bool(self._literal) or self._start < self._stop

    def _hand_over(self, count: int) -> int:
        # Looked at now and then, before the last bytes, and behind them: a file rewritten meanwhile must not end whole.
        if self._start >= self._check_at or self._start + count == self._stop:
            self._reader.check()
            self._check_at = self._start + _CHECK_BYTES
        taken = self.sink.sendfile(self._fd, self._start, count)
        if taken == 0:
            raise ShortRead("the file ended before its length")
        self._start += taken
        self._moved += taken
        if self._start == self._stop:
            self._reader.check()
        return taken

    def _is_warm(self, count: int) -> bool:
        stop, now = self._start + count, monotonic()
        if now - self._warm_at > _WARM_SECONDS:
            self._warm_stop, self._warm_at = self._start, now
        known = max(self._start, self._warm_stop)
        # A new look when half of what the last one saw is used up: not one for each small window.
        if known < stop and (known - self._start < count // 2 or stop == self._stop):
            if not resident(self._fd, known, stop):
                return False
            self._warm_stop, self._cold = stop, False
        return True

    def _fetch(self) -> None:
        # Should the transfer end meanwhile, the thread reads on, and what it reads goes nowhere.
        self._fetching = self._cold = True
        stop = min(self._stop, self._start + _FETCH_BYTES)
        self._warmer.fetch(self._fd, self._start, stop, lambda error: self._fetched(stop, error))
        self.pause()

    def stands_still(self, now: float, idle_seconds: float) -> bool:
        """See :class:`Waiting`: not while it is our disk that keeps the client waiting."""
        if self._fetching:
            self._since = now
        return super().stands_still(now, idle_seconds)

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
