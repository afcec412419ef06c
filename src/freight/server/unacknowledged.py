"""Answers that were sent and are not acknowledged: each is logged once its client has all of it, or cannot get it.

**Goal.** No answer is called complete that its client may lack. What the kernel has accepted may still be lost: a send
queue has up to megabytes, and a reset, or a client that dies, drops them.

**Invariant.** Each answer that is added is recorded once: as complete, or as aborted when its connection ends first.

**Rules.**

1. Acknowledgements are cumulative. The mark of an answer is where its last byte is in the bytes of its connection. The
   answers of a connection are therefore recorded in the order in which they ended.
2. Acknowledgements are read when an answer is added, when the next request arrives, and when the connection ends.
   Meanwhile a timer reads them after 10 ms, 20 ms, 40 ms and so on, at least once a second.
3. The first answer of a connection takes the memory that its request had. The budget counts the others. A connection
   with MAX_ANSWERS, or one that the budget cannot pay for, must wait before its next request is answered.

**Left out.** What a client's program has read: TCP shows what its kernel has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple, Protocol

from freight.errors import ClientDisconnected, Stalled, TransferError
from freight.flow.counters import reason_of
from freight.flow.transfers import Transfers
from freight.memory.budget import Budget
from freight.model import COMPLETE, Entry
from freight.protocols import Clock

MAX_ANSWERS = 256
"""How many answers of a connection may be unacknowledged: 2,560 requests per second with a round trip of 100 ms."""

_FIRST_CHECK_SECONDS, _LAST_CHECK_SECONDS = 0.01, 1.0
_TICK_SECONDS = 0.001  # checks that are due within the same millisecond are made together
_CHECKED_PER_STEP = 500  # connections: a millisecond


class ConnectionSink(Protocol):
    """What is asked of a connection's sink. ``is_reset``: the connection has ended, and nothing more can arrive."""

    def acknowledged(self) -> int:
        """Return how many bytes of the connection the client has acknowledged."""

    @property
    def is_reset(self) -> bool: ...


class _Answer(NamedTuple):
    mark: int
    entry: Entry
    is_download: bool


class _Queue:
    """The unacknowledged answers of one connection.

    ``seconds`` lie between its last check and its next. ``acknowledged`` is the number at the last check, and
    ``moved_at`` when that was seen to change, by the loop's clock. It stays for its next check when it is empty: most
    connections have another answer by then.
    """

    __slots__ = ("acknowledged", "answers", "moved_at", "seconds")

    def __init__(self, acknowledged: int, now: float) -> None:
        self.answers: list[_Answer] = []
        self.seconds = _FIRST_CHECK_SECONDS
        self.acknowledged = acknowledged
        self.moved_at = now


class UnacknowledgedAnswers:
    """Keeps the unacknowledged answers of all connections of an event loop. ``record`` logs an answer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        budget: Budget,
        transfers: Transfers,
        record: Callable[[Entry], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._budget = budget
        self._transfers = transfers
        self._log = record
        self._queues: dict[ConnectionSink, _Queue] = {}
        # A heap of checks: the time, a number that orders equal times, and what to check unless it is gone.
        self._due: list[tuple[float, int, ConnectionSink, _Queue]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, sink: ConnectionSink) -> bool:
        """Return whether a connection has unacknowledged answers."""
        queue = self._queues.get(sink)
        return queue is not None and bool(queue.answers)

    def __len__(self) -> int:
        return sum(len(queue.answers) for queue in self._queues.values())

    def add(self, sink: ConnectionSink, mark: int, entry: Entry, is_download: bool) -> None:
        """Add an answer that has been sent up to ``mark``, in bytes of the connection. Record it if it has arrived."""
        queue = self._queues.get(sink)
        if queue is not None and queue.answers:
            self._budget.answer_kept()
        elif (acknowledged := sink.acknowledged()) >= mark:
            self._record(entry, is_download)
            return
        elif queue is not None and queue.seconds == _FIRST_CHECK_SECONDS:
            queue.acknowledged, queue.moved_at = acknowledged, self._loop.time()
        else:
            queue = self._queues[sink] = _Queue(acknowledged, self._loop.time())
            self._check_later(sink, queue)
        queue.answers.append(_Answer(mark, entry, is_download))

    def must_wait(self, sink: ConnectionSink) -> bool:
        """Return whether the next request of a connection must wait. Record what has arrived."""
        queue = self._check(sink)
        return queue is not None and (len(queue.answers) >= MAX_ANSWERS or not self._budget.can_keep_answer())

    def stalled_seconds(self, sink: ConnectionSink) -> float:
        """Return for how long the client of a connection has acknowledged nothing, to the second. 0.0 if it has all."""
        queue = self._queues.get(sink)
        return self._loop.time() - queue.moved_at if queue is not None and queue.answers else 0.0

    def has_all(self, sink: ConnectionSink) -> bool:
        """Return whether the client of a connection has all answers. Record what has arrived."""
        return self._check(sink) is None

    def confirm(self, sink: ConnectionSink) -> None:
        """Record all answers of a connection as complete: its client has everything."""
        for answer in self._take(sink):
            self._record(answer.entry, answer.is_download)

    def abandon(self, sink: ConnectionSink, error: BaseException | None) -> None:
        """Record what has arrived as complete and the rest as aborted, before the connection is closed by ``error``.

        None: the server closes it because the client acknowledged nothing for too long.
        """
        if self._check(sink) is None:
            self._queues.pop(sink, None)
            return
        reason, acknowledged = _reason(sink, error), sink.acknowledged()
        for answer in self._take(sink):
            entry, missing = answer.entry, answer.mark - acknowledged
            seconds = max(entry.seconds, self._clock.now() - entry.at)
            aborted = replace(entry, ended=reason, sent=max(0, entry.sent - missing), seconds=seconds)
            self._record(aborted, answer.is_download)

    def _record(self, entry: Entry, is_download: bool) -> None:
        if is_download:
            self._transfers.count(None if entry.ended == COMPLETE else entry.ended)
        self._log(entry)

    def _take(self, sink: ConnectionSink) -> list[_Answer]:
        queue = self._queues.pop(sink, None)
        if queue is None:
            return []
        self._free(len(queue.answers), 0)
        return queue.answers

    def _free(self, before: int, after: int) -> None:
        """Free what the budget counts, where a connection had ``before`` answers and has ``after``."""
        if before > 1:
            self._budget.answer_kept(max(1, after) - before)

    def _check(self, sink: ConnectionSink) -> _Queue | None:
        """Record the answers of a connection that have arrived. Return the others, or None."""
        queue = self._queues.get(sink)
        if queue is None or not queue.answers:
            return None
        answers, acknowledged = queue.answers, sink.acknowledged()
        if acknowledged != queue.acknowledged:
            queue.acknowledged, queue.moved_at = acknowledged, self._loop.time()
        arrived = next((at for at, answer in enumerate(answers) if answer.mark > acknowledged), len(answers))
        arrived_answers = answers[:arrived]
        del answers[:arrived]
        self._free(len(answers) + arrived, len(answers))
        for answer in arrived_answers:
            self._record(answer.entry, answer.is_download)
        return queue if answers else None

    def _check_later(self, sink: ConnectionSink, queue: _Queue) -> None:
        heappush(self._due, (self._loop.time() + queue.seconds, next(self._numbers), sink, queue))
        if self._timer is None:
            self._timer = self._loop.call_at(self._due[0][0], self._check_due)
        elif self._due[0][0] < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due[0][0], self._check_due)

    def _check_due(self) -> None:
        self._timer, until = None, self._loop.time() + _TICK_SECONDS
        for _ in range(_CHECKED_PER_STEP):
            if not self._due or self._due[0][0] > until:
                break
            _, _, sink, queue = heappop(self._due)
            if self._queues.get(sink) is not queue:
                continue
            if self._check(sink) is queue:
                queue.seconds = min(2 * queue.seconds, _LAST_CHECK_SECONDS)
                self._check_later(sink, queue)
            else:
                del self._queues[sink]
        if self._due and self._timer is None:
            self._timer = self._loop.call_at(self._due[0][0], self._check_due)


def _reason(sink: ConnectionSink, error: BaseException | None) -> str:
    """Return the log's word for answers that were not acknowledged when ``error`` ended their connection."""
    if sink.is_reset:
        return ClientDisconnected.reason
    return reason_of(error) if isinstance(error, (TransferError, asyncio.CancelledError)) else Stalled.reason
