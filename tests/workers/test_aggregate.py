"""The sums over several workers: of counters in rows, and of snapshots."""

from __future__ import annotations

from dataclasses import replace

from freight.flow.counters import ABORT_REASONS, REJECT_REASONS
from freight.model import (
    AdmissionStats,
    ConnectionStats,
    Counts,
    MemoryStats,
    Snapshot,
    TransferStats,
    WaitingStatus,
    WaitReason,
    WorkerStats,
)
from freight.workers.aggregate import COUNTER_COLUMNS, aggregate, count_aborted, to_row, total
from support.snapshots import SNAPSHOT


def counts(times: int) -> Counts:
    """Return ``times`` as much of every counter, which all differ."""
    return Counts(
        completed=3 * times,
        aborted={reason: at * times for at, reason in enumerate(ABORT_REASONS, 20)},
        sent_bytes=700 * times,
        zero_copy_bytes=600 * times,
        rejected=8 * times,
        expired=5 * times,
        rejected_by_reason={reason: at * times for at, reason in enumerate(REJECT_REASONS, 40)},
        blocked_on_client_seconds=1.5 * times,
        blocked_on_disk_seconds=2.5 * times,
        waiting_seconds=3.5 * times,
        disk_timeouts=5 * times,
        log_lost=4 * times,
    )


def snapshot(running: int, wait: float) -> Snapshot:
    """Return the snapshot of a worker with ``running`` downloads."""
    rows = tuple(replace(SNAPSHOT.transfers.running[0], id=at) for at in range(running))
    return replace(
        SNAPSHOT,
        memory=MemoryStats(100, 30, 20, 7),
        connections=ConnectionStats(6),
        admission=AdmissionStats(9, running, 1, 4, wait, {"slots": 3, "per-client": 1}),
        transfers=TransferStats(rows, 1),
        counts=counts(0),
        waiting=tuple(WaitingStatus("::1", "/w", wait + at, at, WaitReason.SLOTS) for at in (1, 2, 3)),
        waiting_omitted=1,
    )


def test_counters_of_rows_are_added_up() -> None:
    rows = [to_row(counts(1)), to_row(counts(2))]
    assert len(rows[0]) == COUNTER_COLUMNS
    assert total(rows) == counts(3)


def test_downloads_of_a_dead_worker_count_as_aborted() -> None:
    row = to_row(counts(1))
    count_aborted(row, 40)
    before = counts(1)
    assert total([row]) == replace(before, aborted={**before.aborted, "error": before.aborted["error"] + 40})


def test_the_budget_is_one_and_everything_else_is_a_sum() -> None:
    workers = WorkerStats(2, 2, 0)
    server = replace(
        snapshot(0, 0), draining=True, connections=ConnectionStats(0, 3, 5), counts=counts(1), workers=workers
    )
    shown = aggregate({11: snapshot(2, 1.5), 12: snapshot(3, 0.5)}, server, extra_bytes=1000, most=4)
    assert shown.memory == MemoryStats(100, 1060, 1040, 14)
    assert shown.admission == AdmissionStats(9, 5, 2, 8, 1.5, {"slots": 6, "per-client": 2})
    assert shown.connections == ConnectionStats(12, 3, 5)
    assert [each.worker for each in shown.transfers.running] == [11, 11, 12, 12]
    assert shown.transfers.running_omitted == 3
    assert [(each.worker, each.place) for each in shown.waiting] == [(11, 1), (12, 1), (11, 2), (12, 2)]
    assert shown.waiting_omitted == 4  # two of them are in no snapshot
    assert shown.identity == SNAPSHOT.identity
    assert (shown.counts, shown.draining, shown.workers) == (counts(1), True, workers)


def test_without_an_answer_of_any_worker_the_blank_snapshot_is_shown() -> None:
    shown = aggregate({}, snapshot(0, 0), extra_bytes=0, most=4)
    assert (shown.admission.slots, shown.admission.running) == (9, 0)
