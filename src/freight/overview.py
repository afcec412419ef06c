"""What a server does at this moment, gathered from those who know into one immutable :class:`~freight.model.Snapshot`.

Gathering is done in slices, so that the loop can turn between them however many downloads run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from freight import __version__
from freight.flow.budget import Budget
from freight.flow.gate import Gate, Waiter
from freight.flow.meter import Counts, Meter
from freight.flow.pump import Pump
from freight.flow.transfer import Transfers
from freight.model import (
    ConnectionsUse,
    GateUse,
    Identity,
    LogUse,
    MemoryUse,
    Running,
    Snapshot,
    TimeUse,
    TransfersUse,
    Waiting,
)
from freight.ports import Sink
from freight.server.connection import Connection
from freight.server.house import Exchange
from freight.server.listener import Listener

SHOWN = 1000
"""How many running downloads, and how many waiting requests, are listed; of more only the number."""

_AT_ONCE = 500  # a slice: half a millisecond


@dataclass(slots=True)
class _Sums:
    """What the running downloads have come to, all together."""

    kernel_bytes: int = 0
    sent_bytes: int = 0
    zero_copy_bytes: int = 0
    client_seconds: float = 0.0
    disk_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Overview:
    """Takes snapshots. ``baseline_bytes``: the process's own memory before the first client, and what it has grown by
    since for the sake of none; ``log_lost``: lines that the log has lost.
    """

    loop: asyncio.AbstractEventLoop
    budget: Budget
    gate: Gate
    transfers: Transfers
    meter: Meter
    listener: Listener
    identity: Identity
    process_bytes: Callable[[], int]
    baseline_bytes: Callable[[], int]
    started_at: float
    draining: Callable[[], bool]
    log_lost: Callable[[], int] = lambda: 0

    async def look(self) -> Snapshot:
        """A snapshot, of about this moment."""
        pumps = {waiter.sink: waiter for waiter in self.transfers.rounds if isinstance(waiter, Pump)}
        waiters = {waiter.sink: waiter for waiter in self.gate.waiters(SHOWN)}
        sums, rows, waiting = _Sums(), [], []
        connections = iter(self.listener)
        while batch := list(islice(connections, _AT_ONCE)):
            now = self.loop.time()
            for connection in batch:
                waiting += _waiting(connection, waiters)
                rows += self._rows(connection, pumps, sums, now)
            await asyncio.sleep(0)
        return self._snapshot(sums, rows, waiting)

    def counts(self) -> Counts:
        """The counters, those that run included, without a look at any socket."""
        sums, now = _Sums(), self.loop.time()
        for waiter in self.transfers.rounds:
            if isinstance(waiter, Pump):
                _add(waiter, sums, now)
        return self._counts(sums, self.gate.waiting_seconds())

    def _counts(self, sums: _Sums, waiting_seconds: float) -> Counts:
        return self.meter.statistics(
            sums.sent_bytes,
            sums.zero_copy_bytes,
            sums.client_seconds,
            sums.disk_seconds,
            waiting_seconds,
            self.log_lost(),
        )

    def _rows(self, connection: Connection, pumps: dict[Sink, Pump], sums: _Sums, now: float) -> list[Running]:
        """Add one connection up, and describe the downloads it runs."""
        if connection.sink.fileno() < 0:
            return []  # it has closed since
        held = connection.sink.held()
        sums.kernel_bytes += held
        rows = [self._row(exchange, pumps, sums, held, now) for exchange in connection.exchanges()]
        return [row for row in rows if row is not None]

    def _row(self, exchange: Exchange, pumps: dict[Sink, Pump], sums: _Sums, held: int, now: float) -> Running | None:
        pump = pumps.get(exchange.sink)
        if pump is None:
            return None
        seconds = _add(pump, sums, now)
        return Running(
            client=exchange.client,
            target=exchange.target,
            sent_bytes=pump.moved,
            of_bytes=exchange.sink.promised,
            rate_bytes_per_second=pump.recent_rate(now),
            window_bytes=max(0, pump.window) or None,
            kernel_queue_bytes=held,
            seconds=seconds,
            blocked_on="disk" if pump.fetching else "client",
            began=pump.began,
            wire=exchange.sink.wire,
        )

    def _snapshot(self, sums: _Sums, rows: list[Running], waiting: list[Waiting]) -> Snapshot:
        gate = self.gate.statistics()
        counts = self._counts(sums, self.gate.waiting_seconds())
        waiting.sort(key=lambda each: (each.place, -each.seconds))
        return Snapshot(
            version=__version__,
            started_at=self.started_at,
            draining=self.draining(),
            memory=MemoryUse(
                budget_bytes=self.budget.memory_bytes,
                process_bytes=self.process_bytes(),
                baseline_bytes=self.baseline_bytes(),
                kernel_send_bytes=sums.kernel_bytes,
            ),
            connections=ConnectionsUse(
                open=len(self.listener), http2=self.budget.multiplexed, streams=self.budget.streams
            ),
            gate=GateUse(
                slots=gate.slots,
                running=gate.running,
                express_running=gate.express_running,
                waiting=gate.waiting,
                oldest_wait_seconds=gate.oldest_wait_seconds,
                refused_total=counts.refused_total,
                expired_total=counts.expired,
                waiting_by_reason=gate.waiting_by_reason,
                refused_by_reason_total=counts.refused,
            ),
            transfers=TransfersUse(
                completed_total=counts.completed,
                aborted_total=counts.aborted,
                bytes_total=counts.sent_bytes,
                zero_copy_bytes_total=counts.zero_copy_bytes,
                running=tuple(rows[:SHOWN]),
                running_omitted=max(0, len(rows) - SHOWN),
            ),
            time=TimeUse(
                blocked_on_client_seconds=counts.blocked_on_client_seconds,
                blocked_on_disk_seconds=counts.blocked_on_disk_seconds,
                waiting_seconds=counts.waiting_seconds,
            ),
            identity=self.identity,
            log=LogUse(counts.log_lost),
            waiting=tuple(waiting[:SHOWN]),
            waiting_omitted=max(0, gate.waiting - len(waiting[:SHOWN])),
        )


def _waiting(connection: Connection, waiters: dict[Sink, Waiter]) -> list[Waiting]:
    """Describe the requests of one connection that wait for a slot."""
    if not waiters:
        return []
    found = [(exchange, waiters.get(exchange.sink)) for exchange in connection.exchanges()]
    return [
        Waiting(exchange.client, exchange.target, waiter.seconds, waiter.place, waiter.reason)
        for exchange, waiter in found
        if waiter is not None
    ]


def _add(pump: Pump, sums: _Sums, now: float) -> float:
    """Add one running download up; for how many seconds it has run."""
    seconds = max(0.0, now - pump.began)
    sums.sent_bytes += pump.moved
    sums.zero_copy_bytes += pump.moved if pump.sink.zero_copy else 0
    sums.client_seconds += max(0.0, seconds - pump.disk_seconds)
    sums.disk_seconds += pump.disk_seconds
    return seconds
