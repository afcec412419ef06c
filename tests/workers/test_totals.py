"""Counters of workers in rows: added up, carried on by who comes after, never going back."""

from __future__ import annotations

from freight.flow.meter import REASONS, REFUSED_FOR, Counts
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
    WaitReason,
    WorkersUse,
)
from freight.workers.totals import COUNTERS, add_cut, add_up, as_time, as_transfers, total, written

COUNTS = Counts(3, dict.fromkeys(REASONS, 2), dict.fromkeys(REFUSED_FOR, 1), 5, 700, 600, 1.5, 2.5, 3.5, 4)


def look(running: int, wait: float) -> Snapshot:
    """What a worker says that runs so many."""
    rows = tuple(Running("::1", f"/{at}", at, None, 0.0, None, 0, 0.0, "client") for at in range(running))
    transfers = TransfersUse(1, dict.fromkeys(REASONS, 0), 1, 1, rows, 1)
    memory, gate = MemoryUse(100, 30, 20, 7), GateUse(9, running, 1, 4, wait, 0, 0, {"slots": 3, "per-client": 1})
    waiting = tuple(Waiting("::1", "/w", wait + at, at, WaitReason.SLOTS) for at in (1, 2, 3))
    time, identity = TimeUse(0.0, 0.0, 0.0), Identity(7, "/srv", ("http://[::]:80/",), 2)
    return Snapshot("1", 5.0, False, memory, ConnectionsUse(6), gate, transfers, time, None, identity, waiting, 1)


def test_counters_of_rows_are_added_up() -> None:
    rows = [written(COUNTS), written(COUNTS)]
    assert len(rows[0]) == COUNTERS
    assert total(rows) == Counts(
        6, dict.fromkeys(REASONS, 4), dict.fromkeys(REFUSED_FOR, 2), 10, 1400, 1200, 3.0, 5.0, 7.0, 8
    )


def test_what_a_dead_worker_ran_has_ended_early() -> None:
    row = written(COUNTS)
    add_cut(row, 40)
    assert total([row]).aborted == dict.fromkeys(REASONS, 2) | {"error": 42}


def test_there_is_one_budget_and_all_else_is_a_sum() -> None:
    workers, http2 = WorkersUse(2, 2, 0), ConnectionsUse(0, 3, 5)
    shown = add_up(
        {11: look(2, 1.5), 12: look(3, 0.5)},
        look(0, 0),
        COUNTS,
        workers,
        http2,
        draining=True,
        besides_bytes=1000,
        most=4,
    )
    assert shown.memory == MemoryUse(100, 1060, 1040, 14)
    assert shown.log == LogUse(4)
    assert shown.gate == GateUse(
        9, 5, 2, 8, 1.5, len(REFUSED_FOR), 5, {"slots": 6, "per-client": 2}, dict.fromkeys(REFUSED_FOR, 1)
    )
    assert shown.connections == ConnectionsUse(12, 3, 5)
    assert [each.worker for each in shown.transfers.running] == [11, 11, 12, 12]
    assert shown.transfers.running_omitted == 3
    assert [(each.worker, each.place) for each in shown.waiting] == [(11, 1), (12, 1), (11, 2), (12, 2)]
    assert shown.waiting_omitted == 4  # two are not among those that the workers told of, either
    assert shown.identity.pid == 7
    assert (shown.transfers.completed_total, shown.time) == (as_transfers(COUNTS).completed_total, as_time(COUNTS))
    assert (shown.draining, shown.workers) == (True, workers)


def test_before_any_worker_has_said_anything_it_is_blank() -> None:
    shown = add_up(
        {}, look(0, 0), COUNTS, WorkersUse(2, 0, 0), ConnectionsUse(0), draining=False, besides_bytes=0, most=4
    )
    assert (shown.gate.slots, shown.gate.running) == (9, 0)
