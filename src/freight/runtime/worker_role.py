"""What a server asks of its place among several workers, as a Protocol: :mod:`freight.workers` has the real one."""

from __future__ import annotations

import asyncio
from typing import Protocol

from freight.flow.counters import Counters
from freight.flow.gate import Gate
from freight.flow.limits import QueueLimits, TransferLimits
from freight.flow.poller import Poller
from freight.flow.rate_limit import RateLimiter
from freight.memory.budget import Budget
from freight.runtime.snapshots import SnapshotCollector


class WorkerRole(Protocol):
    """One worker of several: what it shares with the others."""

    @property
    def handed_over(self) -> bool:
        """Whether another server accepts connections in place of all workers."""

    def gate(
        self,
        loop: asyncio.AbstractEventLoop,
        budget: Budget,
        poller: Poller,
        counters: Counters,
        limits: QueueLimits,
    ) -> Gate:
        """Return the gate that it shares with the others."""

    def rates(self, limits: TransferLimits) -> RateLimiter:
        """Return the rate limits that it shares with the others."""

    def start(self, snapshots: SnapshotCollector) -> None:
        """Record that it serves, and answer the admin process from now on."""

    def publish(self) -> None:
        """Write its counters where the others read them."""

    def all_exhausted(self, exhausted: bool) -> bool:
        """Record whether this worker has no descriptor left to accept with. Return whether no worker has one."""

    def set_root_answers(self, answers: bool) -> None:
        """Record whether the served path's file system answers."""

    def report(self, subject: str) -> bool:
        """Note that this worker has found something to report. Return whether it is the first that has."""

    def withdraw(self, subject: str) -> bool:
        """Note that what this worker has reported is over for it. Return whether it is for every worker."""

    def set_not_ready(self) -> None:
        """Record that it is to stop. It may accept connections for --shutdown-delay."""
