"""Wait for a socket and send whenever it can take bytes.

**Goal.** A waiting transfer costs one future and one entry in the poller. Its coroutine runs again only at the end.

**Invariant.** A transfer finishes once. Whatever happens after that, from inside or outside, changes nothing.

**Rules.**

1. A subclass sends in :meth:`SocketWriter.step`. Only the poller calls it after registration, so that steps never nest.
2. Only the client's acknowledgements count as progress, and only while the client is what the transfer waits for
   (:mod:`freight.flow.progress`).
3. A socket may be reported writable and refuse every byte, when the host's TCP memory is exhausted (tcp_mem in tcp(7)).
   After eight such reports in a row the transfer pauses for 10 ms. Otherwise the loop would spin.

**Left out.** No timer belongs to a transfer: the sweep in :mod:`freight.flow.transfers` checks all of them.
"""

from __future__ import annotations

import asyncio

from freight.errors import ClientDisconnected, TransferError
from freight.flow.poller import FAILED, Poller
from freight.flow.progress import ProgressMonitor
from freight.memory.budget import Budget
from freight.protocols import Sink

_MAX_REFUSALS = 8
_STARVED_SECONDS = 0.01


class SocketWriter(ProgressMonitor):
    """Sends to ``sink``, waiting for its socket.

    It is a ProgressMonitor and does not have one: ten thousand of them run at once, and each object costs 64 bytes.
    ``started_at`` is the loop's time at registration.
    """

    __slots__ = ("_done", "_poller", "_refusals", "sink", "started_at")

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink
        self.started_at = 0.0
        self._done: asyncio.Future[None] | None = None
        self._poller: Poller | None = None
        self._refusals = 0  # in a row

    def step(self) -> bool:
        """Hand the kernel what it takes now. Return True when everything has been handed over.

        Raise BlockingIOError when the kernel takes nothing at all, and a TransferError or OSError when the transfer
        cannot continue.
        """
        raise NotImplementedError

    async def run(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> None:
        """Send everything. Return when the kernel has all of it; raise a TransferError or OSError otherwise."""
        if not self.send_now():
            await self.send_rest(loop, poller)

    async def send_rest(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> None:
        """Send what :meth:`send_now` has left, as :meth:`run` does."""
        try:
            await self.register(loop, poller)
        finally:
            self.unregister()

    def send_now(self) -> bool:
        """Take one step without waiting. Return True when that was all. Raise a TransferError or OSError."""
        try:
            return self.step()
        except BlockingIOError:
            return False
        except OSError as error:
            raise to_transfer_error(error) from error

    def register(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> asyncio.Future[None]:
        """Take steps whenever the socket can take bytes. Return a future of the end: None, a TransferError or OSError.

        The caller must call :meth:`unregister` before it closes the socket.
        """
        self._done, self._poller = loop.create_future(), poller
        self.started_at = loop.time()
        poller.register(self.sink.fileno(), self)
        return self._done

    def unregister(self) -> None:
        """Stop waiting for the socket."""
        if self._poller is not None:
            self._poller.unregister(self.sink.fileno())
            self._poller = None
        # Its exception's traceback refers to this object. Breaking that cycle frees the memory at once.
        self._done = None

    @property
    def is_registered(self) -> bool:
        """Whether it waits for the socket."""
        return self._poller is not None

    def pause(self) -> None:
        """Wait only for failures."""
        if self._poller is not None:
            self._poller.pause(self.sink.fileno())

    def resume(self) -> None:
        """End a pause, unless the transfer has ended during it."""
        if self._poller is not None:
            self._poller.resume(self.sink.fileno())

    def handle_events(self, events: int) -> None:
        try:
            if events & FAILED:
                raise ClientDisconnected("the client closed the connection")
            if self.step():
                self.finish(None)
            self._refusals = 0
        except BlockingIOError:
            self._refusals += 1
            if self._refusals % _MAX_REFUSALS == 0 and self._poller is not None:
                self._poller.pause_for(self.sink.fileno(), _STARVED_SECONDS)
        except Exception as error:  # a bug too ends this transfer, and not the poller's batch
            self.finish(to_transfer_error(error))

    def finish(self, error: Exception | None) -> None:
        """End the transfer, completely (None) or with an error. Later calls have no effect."""
        if self._done is None or self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    def blocked_by_us(self) -> bool:
        """Return whether the server, and not the client, delays the transfer: by its disk, a rate or its budget."""
        return False

    def recent_rate(self, now: float) -> float:
        """Return how many bytes a second the client has acknowledged recently; 0.0 before the first check."""
        return self.acknowledged_rate(now, self.sink.acknowledged())

    def check_progress(
        self, now: float, idle_seconds: float, min_rate: float, pause_seconds: float = 0.0
    ) -> TransferError | None:
        """Return why the client is too slow, or None: see :meth:`ProgressMonitor.judge_progress`.

        Time in which other streams of the connection, or the server, delayed the transfer does not count.
        """
        acknowledged = self.sink.acknowledged()
        if self.sink.yielded_to_others() or self.blocked_by_us():
            self.restart_progress(now, acknowledged)
            return None
        return self.judge_progress(now, acknowledged, idle_seconds, min_rate, pause_seconds)


class BufferWriter(SocketWriter):
    """Sends ``data``, which stays in memory until the kernel has taken it."""

    __slots__ = ("_budget", "_data")

    def __init__(self, data: bytes, sink: Sink, budget: Budget) -> None:
        super().__init__(sink)
        self._data = data
        self._budget = budget

    @property
    def unsent_bytes(self) -> int:
        """How many bytes the kernel has not taken yet."""
        return len(self._data)

    def step(self) -> bool:
        before = len(self._data)
        try:
            while self._data:
                self._data = self._data[self.sink.send(self._data, False) :]
        except BlockingIOError:
            if len(self._data) == before:
                raise
            return False
        finally:
            self.sink.account.peer_window -= before - len(self._data)
            self._budget.record(self.sink, self.sink.queued_bytes())
        return True


def to_transfer_error(error: Exception) -> Exception:
    """Return ClientDisconnected for a socket's error, and any other error (a disk's, say) as it is."""
    return ClientDisconnected("the client closed the connection") if isinstance(error, ConnectionError) else error
