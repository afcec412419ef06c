"""One worker of several: its row in the shared state, and its answers to the admin process."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from dataclasses import dataclass, field

from freight.flow.counters import Counters
from freight.flow.gate import Gate
from freight.flow.limits import QueueLimits, TransferLimits
from freight.flow.poller import Poller
from freight.flow.rate_limit import RateLimiter
from freight.memory.budget import Budget
from freight.runtime.snapshots import SnapshotCollector
from freight.workers.aggregate import COUNTER_COLUMNS, to_row
from freight.workers.shared.budget import SharedBudget
from freight.workers.shared.gate import SharedGate
from freight.workers.shared.rate_limit import SharedRateLimiter
from freight.workers.shared.state import Column, GlobalColumn, SharedState

REQUEST_BYTES = 8
"""Length of a request of the admin process, and of the reply: a number that is never used twice."""


@dataclass(slots=True)
class Worker:
    """Worker ``number``, from 0. Requests of the admin process arrive at ``requests``."""

    state: SharedState
    number: int
    requests: socket.socket
    _inherited: list[int] = field(default_factory=list)  # the counters of earlier workers with this row
    _snapshots: SnapshotCollector | None = None
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def handed_over(self) -> bool:
        return bool(self.state.global_row[GlobalColumn.HANDED_OVER])

    def budget(self, memory_bytes: int, max_queue: int, extra_cost: int) -> SharedBudget:
        """Return the budget that it shares with the others."""
        return SharedBudget(memory_bytes, max_queue, extra_cost, self.state, self.number)

    def gate(
        self,
        loop: asyncio.AbstractEventLoop,
        budget: Budget,
        poller: Poller,
        counters: Counters,
        limits: QueueLimits,
    ) -> Gate:
        assert isinstance(budget, SharedBudget)
        return SharedGate(loop, budget, poller, counters, limits)

    def rates(self, limits: TransferLimits) -> RateLimiter:
        return SharedRateLimiter(limits.rate, limits.client_rate, self.state)

    def start(self, snapshots: SnapshotCollector) -> None:
        row = self.state.row(self.number)
        self._inherited = list(row[Column.COUNTERS : Column.COUNTERS + COUNTER_COLUMNS])
        self._snapshots = snapshots
        self.requests.setblocking(False)
        snapshots.loop.add_reader(self.requests.fileno(), self._receive_request)
        row[Column.PID], row[Column.READY] = os.getpid(), 1

    def publish(self) -> None:
        """Write its counters to its row. Call it about once a second: a worker that is killed loses what came since."""
        if self._snapshots is not None:
            row, counters = self.state.row(self.number), to_row(self._snapshots.counts())
            for at, (inherited, own) in enumerate(zip(self._inherited, counters, strict=True), Column.COUNTERS):
                row[at] = inherited + own

    def all_exhausted(self, exhausted: bool) -> bool:
        self.state.row(self.number)[Column.EXHAUSTED] = exhausted
        others = self.state.others(self.number)
        return exhausted and all(row[Column.EXHAUSTED] for row in others if row[Column.READY])

    def set_root_answers(self, answers: bool) -> None:
        self.state.row(self.number)[Column.ROOT_HANGS] = not answers

    def report(self, subject: str) -> bool:
        return self.state.report(self.number, subject)

    def withdraw(self, subject: str) -> bool:
        return self.state.withdraw(self.number, subject)

    def set_not_ready(self) -> None:
        self.state.row(self.number)[Column.READY] = 0

    def _receive_request(self) -> None:
        assert self._snapshots is not None
        try:
            request, files, _, _ = socket.recv_fds(self.requests, REQUEST_BYTES, 1)
        except OSError:
            return
        if files:
            task = self._snapshots.loop.create_task(self._answer(self._snapshots, request, files[0]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, snapshots: SnapshotCollector, request: bytes, file: int) -> None:
        """Write a snapshot to the file of the admin process, then send its request back."""
        try:
            os.pwrite(file, pickle.dumps(await snapshots.snapshot()), 0)
            self.publish()
            self.requests.send(request)
        except OSError:
            pass  # the admin process has ended, or has many replies to read: it will ask again
        finally:
            os.close(file)
