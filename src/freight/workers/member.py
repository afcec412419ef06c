"""What makes a server one of several workers: its row, and what it says when the desk asks."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from dataclasses import dataclass, field

from freight.flow.budget import Budget
from freight.flow.gate import Gate, Terms
from freight.flow.meter import Meter
from freight.flow.rates import Rates
from freight.flow.rounds import Rounds
from freight.flow.rows import EXHAUSTED, METER, PID, READY, SUCCEEDED, Rows
from freight.flow.shared_budget import SharedBudget
from freight.flow.shared_gate import SharedGate
from freight.flow.shared_rates import SharedRates
from freight.overview import Overview
from freight.workers.totals import COUNTERS, written

ASKED_BYTES = 8
"""How long a question is, and its answer: a number that is never asked twice."""


@dataclass(slots=True)
class Member:
    """Worker ``number`` (from 0). ``asked`` is where the desk asks."""

    rows: Rows
    number: int
    asked: socket.socket
    _past: list[int] = field(default_factory=list)  # what those before us had counted
    _overview: Overview | None = None
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def succeeded(self) -> bool:
        """Whether another server accepts in our place."""
        return bool(self.rows.common[SUCCEEDED])

    def budget(self, memory_bytes: int, largest: int, besides: int) -> SharedBudget:
        """Its share in the budget of all."""
        return SharedBudget(memory_bytes, largest, besides, self.rows, self.number)

    def gate(self, loop: asyncio.AbstractEventLoop, budget: Budget, rounds: Rounds, meter: Meter, terms: Terms) -> Gate:
        """Its gate."""
        assert isinstance(budget, SharedBudget)
        return SharedGate(loop, budget, rounds, meter, terms, self.rows, self.number)

    def rates(self, terms: Terms) -> Rates:
        """What bounds all downloads, and those of a client, in all workers."""
        return SharedRates(terms.rate, terms.client_rate, self.rows)

    def begin(self, overview: Overview) -> None:
        """It serves from now on."""
        row = self.rows.row(self.number)
        self._past = list(row[METER : METER + COUNTERS])
        self._overview = overview
        self.asked.setblocking(False)
        overview.loop.add_reader(self.asked.fileno(), self._hear)
        row[PID], row[READY] = os.getpid(), 1

    def publish(self) -> None:
        """Write down what it has counted. About once a second: that is what is lost when it is killed."""
        if self._overview is not None:
            row, counters = self.rows.row(self.number), written(self._overview.counts())
            for at, (past, own) in enumerate(zip(self._past, counters, strict=True)):
                row[METER + at] = past + own

    def all_exhausted(self, exhausted: bool) -> bool:
        """Whether no worker can accept for want of descriptors. ``exhausted``: this one cannot."""
        self.rows.row(self.number)[EXHAUSTED] = exhausted
        return exhausted and all(row[EXHAUSTED] for row in self.rows.others(self.number) if row[READY])

    def cease(self) -> None:
        """It accepts no more."""
        self.rows.row(self.number)[READY] = 0

    def _hear(self) -> None:
        assert self._overview is not None
        try:
            question, files, _, _ = socket.recv_fds(self.asked, ASKED_BYTES, 1)
        except OSError:
            return
        if files:
            task = self._overview.loop.create_task(self._answer(self._overview, question, files[0]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, overview: Overview, question: bytes, file: int) -> None:
        """Write a snapshot to the desk's file, and say that it is there."""
        try:
            os.pwrite(file, pickle.dumps(await overview.look()), 0)
            self.publish()
            self.asked.send(question)
        except OSError:
            pass  # the desk has gone, or has so many answers to read: it asks again
        finally:
            os.close(file)
