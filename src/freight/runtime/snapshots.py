"""Snapshots: what a server does at one moment, collected into one immutable :class:`~freight.model.Snapshot`.

A snapshot is collected in slices, so that the event loop runs between them however many downloads run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from freight import __version__
from freight.flow.counters import Counters, Sums
from freight.flow.file_sender import FileSender
from freight.flow.gate import Gate, QueuedRequestInfo
from freight.flow.transfers import Transfers
from freight.memory.budget import Budget
from freight.model import (
    ConnectionStats,
    Counts,
    DownloadStatus,
    Identity,
    MemoryStats,
    Snapshot,
    TransferStats,
    WaitingStatus,
)
from freight.protocols import Sink
from freight.runtime.file_system_watch import FileSystemWatch
from freight.server.connection import Connection
from freight.server.context import Exchange
from freight.server.listener import Listener

SHOWN = 1000
"""The most running downloads, and the most waiting requests, that are listed. The others are only counted."""

_CONNECTIONS_AT_ONCE = 500  # a slice: half a millisecond


@dataclass(slots=True)
class _Found:
    """What a walk through the connections has found so far: ``kernel_bytes`` are in their send queues."""

    sums: Sums = field(default_factory=Sums)
    kernel_bytes: int = 0
    rows: list[DownloadStatus] = field(default_factory=list)
    waiting: list[WaitingStatus] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SnapshotCollector:
    """Takes snapshots.

    ``baseline_bytes``: the process's own memory before the first client, and its growth since that no client caused.
    ``log_lost``: the lines that the log has lost. ``file_systems``: those that are served.
    """

    loop: asyncio.AbstractEventLoop
    budget: Budget
    gate: Gate
    transfers: Transfers
    counters: Counters
    listener: Listener
    identity: Identity
    process_bytes: Callable[[], int]
    baseline_bytes: Callable[[], int]
    started_at: float
    draining: Callable[[], bool]
    log_lost: Callable[[], int] = lambda: 0
    file_systems: FileSystemWatch | None = None

    async def snapshot(self) -> Snapshot:
        """Return a snapshot. It takes several steps of the loop, so its parts may differ by milliseconds."""
        found = _Found()
        for _ in self._gather(found):
            await asyncio.sleep(0)
        return self._snapshot(found)

    def snapshot_now(self) -> Snapshot:
        """Return a snapshot in one step. It holds the loop for a millisecond for each thousand connections."""
        found = _Found()
        for _ in self._gather(found):
            pass
        return self._snapshot(found)

    def _gather(self, found: _Found) -> Iterator[None]:
        """Add what the connections do to ``found``, in slices."""
        senders = {each.sink: each for each in self.transfers.poller if isinstance(each, FileSender)}
        waiters = {waiter.sink: waiter for waiter in self.gate.queued_requests(SHOWN)}
        connections = iter(self.listener)
        while batch := list(islice(connections, _CONNECTIONS_AT_ONCE)):
            now = self.loop.time()
            for connection in batch:
                found.waiting += _waiting(connection, waiters)
                self._visit(connection, senders, found, now)
            yield

    def counts(self) -> Counts:
        """Return the counters, with those of running downloads. Costs no system call."""
        sums, now = Sums(), self.loop.time()
        for each in self.transfers.poller:
            if isinstance(each, FileSender):
                _add(each, sums, now)
        return self._counts(sums)

    def _counts(self, sums: Sums) -> Counts:
        sums.waiting_seconds = self.gate.waiting_seconds()
        timeouts = 0 if self.file_systems is None else self.file_systems.timeouts
        return self.counters.statistics(sums, self.log_lost(), timeouts)

    def _visit(self, connection: Connection, senders: dict[Sink, FileSender], found: _Found, now: float) -> None:
        """Add one connection and its running downloads."""
        if connection.sink.fileno() < 0:
            return  # it has closed meanwhile
        queued_bytes = connection.sink.queued_bytes()
        found.kernel_bytes += queued_bytes
        rows = [self._row(exchange, senders, found.sums, queued_bytes, now) for exchange in connection.exchanges()]
        found.rows += [row for row in rows if row is not None]

    def _row(
        self, exchange: Exchange, senders: dict[Sink, FileSender], sums: Sums, queued_bytes: int, now: float
    ) -> DownloadStatus | None:
        sender = senders.get(exchange.sink)
        if sender is None:
            return None
        seconds = _add(sender, sums, now)
        return DownloadStatus(
            client=exchange.client,
            target=exchange.target,
            sent_bytes=sender.sent_bytes,
            total_bytes=exchange.sink.promised,
            rate_bytes_per_second=sender.recent_rate(now),
            window_bytes=sender.window,
            kernel_queue_bytes=queued_bytes,
            seconds=seconds,
            blocked_on="disk" if sender.is_fetching else "client",
            began=sender.started_at,
            protocol=exchange.sink.protocol,
            id=sender.id,
        )

    def _snapshot(self, found: _Found) -> Snapshot:
        rows, waiting = found.rows, found.waiting
        admission = self.gate.statistics()
        waiting.sort(key=lambda each: (each.place, -each.seconds))
        return Snapshot(
            version=__version__,
            started_at=self.started_at,
            draining=self.draining(),
            memory=MemoryStats(
                budget_bytes=self.budget.memory_bytes,
                process_bytes=self.process_bytes(),
                baseline_bytes=self.baseline_bytes(),
                kernel_send_bytes=found.kernel_bytes,
            ),
            connections=ConnectionStats(
                open=len(self.listener), http2=self.budget.http2_connections, streams=self.budget.streams
            ),
            admission=admission,
            transfers=TransferStats(tuple(rows[:SHOWN]), max(0, len(rows) - SHOWN)),
            counts=self._counts(found.sums),
            identity=self.identity,
            waiting=tuple(waiting[:SHOWN]),
            waiting_omitted=max(0, admission.waiting - len(waiting[:SHOWN])),
            unresponsive=() if self.file_systems is None else self.file_systems.statuses(),
        )


def _waiting(connection: Connection, waiters: dict[Sink, QueuedRequestInfo]) -> list[WaitingStatus]:
    """Return the requests of one connection that wait for a slot."""
    if not waiters:
        return []
    found = [(exchange, waiters.get(exchange.sink)) for exchange in connection.exchanges()]
    return [
        WaitingStatus(exchange.client, exchange.target, waiter.seconds, waiter.position, waiter.reason)
        for exchange, waiter in found
        if waiter is not None
    ]


def _add(sender: FileSender, sums: Sums, now: float) -> float:
    """Add one running download to the sums; return for how many seconds it has run."""
    seconds = max(0.0, now - sender.started_at)
    sums.sent_bytes += sender.sent_bytes
    sums.zero_copy_bytes += sender.zero_copy_bytes
    sums.client_seconds += max(0.0, seconds - sender.disk_seconds)
    sums.disk_seconds += sender.disk_seconds
    return seconds
