"""Waiting for a socket: what pumps and writers share, and the writer, which sends one literal."""

from __future__ import annotations

import asyncio

from freight.errors import PeerGone, Stalled, TooSlow, TransferError
from freight.flow.budget import Budget
from freight.flow.rounds import FAILED, Rounds
from freight.ports import Sink

# A socket that says that it can take bytes, and takes none: the host's TCP has no memory left (tcp_mem in tcp(7)). It
# would say so for ever.
_IN_VAIN_MOST, _STARVED_SECONDS = 8, 0.01


class Waiting:
    """Waits for a socket, ends once, and is looked at for progress.

    A subclass has ``step() -> bool``: hand the kernel what it takes now, True when all is handed over; it raises
    BlockingIOError when the kernel takes nothing at all, and a TransferError or OSError when it cannot go on.
    """

    __slots__ = ("_done", "_in_vain", "_rounds", "_seen", "_since", "_start_seen", "_start_since", "began", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._done: asyncio.Future[None] | None = None
        self._rounds: Rounds | None = None
        self._in_vain = 0  # times in a row
        self.began = 0.0
        self._seen = -1  # bytes that the peer had taken
        self._since = 0.0  # when that last changed
        self._start_seen = -1  # the same where the average begins
        self._start_since = 0.0

    def step(self) -> bool:
        raise NotImplementedError

    def start(self) -> bool:
        """Hand over what goes at once. True: that was all. Raises a TransferError."""
        try:
            return self.step()
        except BlockingIOError:
            return False
        except OSError as error:
            raise surprise(error) from error

    def begin(self, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> asyncio.Future[None]:
        """Go on whenever the socket can take bytes. The future has the end: nothing, a TransferError, or an OSError."""
        self._done, self._rounds = loop.create_future(), rounds
        self.began = self._since = self._start_since = loop.time()
        rounds.watch(self.sink.fileno(), self)
        return self._done

    def leave(self) -> None:
        """Wait no more: to be called once, after :meth:`begin`, before the socket is closed."""
        if self._rounds is not None:
            self._rounds.forget(self.sink.fileno())
            self._rounds = None
        self._done = None  # its exception's traceback leads back here: without the cycle memory comes back at once

    @property
    def waits(self) -> bool:
        """Whether it has begun and has not been left."""
        return self._rounds is not None

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
            self._in_vain = 0
        except BlockingIOError:
            self._in_vain += 1
            if self._in_vain % _IN_VAIN_MOST == 0 and self._rounds is not None:
                self._rounds.rest(self.sink.fileno(), _STARVED_SECONDS)
        except TransferError as error:
            self.end(error)
        except OSError as error:
            self.end(surprise(error))
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

    def held_up(self) -> bool:
        """Whether it is us, and not the peer, that keeps it waiting: our disk, or a rate of ours."""
        return False

    def recent_rate(self, now: float) -> float:
        """Bytes a second that the peer has taken since the average was last begun; 0.0 before anything is known."""
        if self._start_seen < 0 or now <= self._start_since:
            return 0.0
        return max(0, self.sink.acknowledged() - self._start_seen) / (now - self._start_since)

    @property
    def seen(self) -> int:
        """How many bytes the peer had taken when it was last looked at; -1 before that."""
        return self._seen

    def judge(self, now: float, patience_seconds: float, least_rate: float) -> TransferError | None:
        """What is to be said of its progress: what the *peer* has taken counts, not what the kernel holds for it.

        Stalled when nothing was taken for ``patience_seconds``; TooSlow when over as long a time less than
        ``least_rate`` bytes a second were; None when it may go on. Time in which we kept it waiting does not count.
        """
        taken = self.sink.acknowledged()
        if self.sink.behind() or self.held_up():
            self._seen = self._start_seen = taken
            self._since = self._start_since = now
            return None
        if self._start_seen < 0:  # the average is of what was seen: from here on
            self._start_seen, self._start_since = taken, now
        if taken != self._seen:
            self._seen, self._since = taken, now
        elif now - self._since >= patience_seconds:
            return Stalled("the client took nothing for the idle timeout")
        seconds = now - self._start_since
        if seconds >= patience_seconds:
            if taken - self._start_seen < least_rate * seconds:
                return TooSlow("the client took less than the least rate")
            self._start_seen, self._start_since = taken, now
        return None


class Writer(Waiting):
    """Sends one literal."""

    __slots__ = ("_budget", "_data")

    def __init__(self, data: bytes, sink: Sink, budget: Budget) -> None:
        super().__init__(sink)
        self._data = data
        self._budget = budget

    def step(self) -> bool:
        """See :class:`Waiting`."""
        before = len(self._data)
        try:
            while self._data:
                self._data = self._data[self.sink.send(self._data, False) :]
        except BlockingIOError:
            if len(self._data) == before:
                raise
            return False
        finally:
            self._budget.note(self.sink, self.sink.held())
        return True


def surprise(error: OSError) -> Exception:
    """A socket's error is the peer's going; what else fails (a disk, say) is reported as it is."""
    return PeerGone("the client closed the connection") if isinstance(error, ConnectionError) else error
