"""Workers' counts and looks, added up. Pure: rows are sequences of whole numbers.

A worker's counters stand in its row, times in nanoseconds, and whoever has the row after it goes on from there: so no
sum ever goes back, whoever dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import replace

from freight.flow.meter import OTHER, REASONS, REFUSED_FOR, Counts
from freight.model import ConnectionsUse, GateUse, LogUse, MemoryUse, Snapshot, TimeUse, TransfersUse, WorkersUse

_SECOND = 1_000_000_000
_FIXED = 8
_ABORTED = {reason: _FIXED + at for at, reason in enumerate(REASONS)}
_REFUSED = {reason: _FIXED + len(REASONS) + at for at, reason in enumerate(REFUSED_FOR)}

COUNTERS = _FIXED + len(REASONS) + len(REFUSED_FOR)
"""How many numbers a worker's counters are."""


def written(counts: Counts) -> list[int]:
    """Counters as numbers of a row."""
    aborted = [counts.aborted[reason] for reason in REASONS]
    refused = [counts.refused[reason] for reason in REFUSED_FOR]
    seconds = (counts.blocked_on_client_seconds, counts.blocked_on_disk_seconds, counts.waiting_seconds)
    fixed = (counts.completed, counts.expired, counts.sent_bytes, counts.zero_copy_bytes)
    return [*fixed, *(int(each * _SECOND) for each in seconds), counts.log_lost, *aborted, *refused]


def add_cut(counters: MutableSequence[int] | memoryview[int], count: int) -> None:
    """So many downloads were cut by their worker's death."""
    counters[_ABORTED[OTHER]] += count


def total(rows: Iterable[Sequence[int]]) -> Counts:
    """The counters of all rows together."""
    sums = [sum(column) for column in zip(*(row[:COUNTERS] for row in rows), strict=True)]
    aborted: Mapping[str, int] = {reason: sums[at] for reason, at in _ABORTED.items()}
    refused: Mapping[str, int] = {reason: sums[at] for reason, at in _REFUSED.items()}
    client, disk, waiting = (each / _SECOND for each in sums[4:7])
    return Counts(sums[0], aborted, refused, sums[1], sums[2], sums[3], client, disk, waiting, sums[7])


def add_up(
    said: Mapping[int, Snapshot],
    blank: Snapshot,
    counts: Counts,
    workers: WorkersUse,
    http2: ConnectionsUse,
    *,
    draining: bool,
    besides_bytes: int,
    most: int,
) -> Snapshot:
    """What workers have ``said``, by pid, and counted together, as one server's; ``most`` running downloads of it, and
    as many waiting requests.

    ``http2`` is what their rows say of it: a worker that does nothing does not look at what the others have.
    ``besides_bytes``: memory of processes that serve nobody; whatever they take, it is not for clients.
    """
    each = list(said.values()) or [blank]
    running = [replace(one, worker=pid) for pid, look in said.items() for one in look.transfers.running]
    waiting = [replace(one, worker=pid) for pid, look in said.items() for one in look.waiting]
    waiting.sort(key=lambda one: (one.place, -one.seconds))
    waits = sum(one.gate.waiting for one in each)
    return Snapshot(
        version=blank.version,
        started_at=blank.started_at,
        draining=draining,
        memory=MemoryUse(
            budget_bytes=each[0].memory.budget_bytes,
            process_bytes=besides_bytes + sum(one.memory.process_bytes for one in each),
            baseline_bytes=besides_bytes + sum(one.memory.baseline_bytes for one in each),
            kernel_send_bytes=sum(one.memory.kernel_send_bytes for one in each),
        ),
        connections=replace(http2, open=sum(one.connections.open for one in each)),
        gate=GateUse(
            slots=each[0].gate.slots,
            running=sum(one.gate.running for one in each),
            express_running=sum(one.gate.express_running for one in each),
            waiting=waits,
            oldest_wait_seconds=max(one.gate.oldest_wait_seconds for one in each),
            refused_total=counts.refused_total,
            expired_total=counts.expired,
            waiting_by_reason=_sums(one.gate.waiting_by_reason for one in each),
            refused_by_reason_total=counts.refused,
        ),
        transfers=replace(
            as_transfers(counts),
            running=tuple(running[:most]),
            running_omitted=sum(one.transfers.running_omitted for one in each) + max(0, len(running) - most),
        ),
        time=as_time(counts),
        log=LogUse(counts.log_lost),
        workers=workers,
        identity=blank.identity,
        waiting=tuple(waiting[:most]),
        waiting_omitted=max(0, waits - len(waiting[:most])),
    )


def _sums(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Numbers by name, added up."""
    sums: dict[str, int] = {}
    for one in each:
        for name, number in one.items():
            sums[name] = sums.get(name, 0) + number
    return sums


def as_transfers(counts: Counts) -> TransfersUse:
    """What is counted of downloads, without those that run."""
    fixed = (counts.completed, counts.aborted, counts.sent_bytes, counts.zero_copy_bytes)
    return TransfersUse(*fixed, running=())


def as_time(counts: Counts) -> TimeUse:
    """What is counted of waits."""
    return TimeUse(counts.blocked_on_client_seconds, counts.blocked_on_disk_seconds, counts.waiting_seconds)
