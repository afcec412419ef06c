"""PURE: the sums over several workers. A row is a sequence of whole numbers.

The counters of a worker are in its row, seconds as nanoseconds. The next worker of a row carries them on, so no sum
ever decreases, even when workers die.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import replace
from typing import Any

from freight.flow.counters import OTHER_ERROR, Counters
from freight.model import (
    COUNTERS,
    AdmissionStats,
    Counter,
    Counts,
    FileSystemStatus,
    MemoryStats,
    Snapshot,
    TransferStats,
)

_NANOSECONDS = 1_000_000_000


def _columns() -> list[tuple[str, str | None]]:
    """Return the field of each column, and its reason if the field has a count for each."""

    def reasons(counter: Counter) -> Iterable[str | None]:
        value = counter.value_of(Counters().statistics())
        return value if isinstance(value, Mapping) else (None,)

    return [(counter.name, reason) for counter in COUNTERS for reason in reasons(counter)]


_COLUMNS = _columns()

COUNTER_COLUMNS = len(_COLUMNS)
"""How many columns the counters of a worker take."""


def to_row(counts: Counts) -> list[int]:
    """Return counters as the columns of a row."""
    row = []
    for name, reason in _COLUMNS:
        value = getattr(counts, name)
        if reason is not None:
            value = value[reason]
        row.append(int(value * _NANOSECONDS) if name.endswith("_seconds") else value)
    return row


def count_aborted(row: MutableSequence[int] | memoryview[int], count: int) -> None:
    """Count the downloads that a dead worker was running as aborted."""
    row[_COLUMNS.index(("aborted", OTHER_ERROR))] += count


def total(rows: Iterable[Sequence[int]]) -> Counts:
    """Return the sums of the counters of all rows. What follows them in a row is ignored."""
    values: dict[str, Any] = {}
    for (name, reason), numbers in zip(
        _COLUMNS, zip(*(row[:COUNTER_COLUMNS] for row in rows), strict=True), strict=True
    ):
        number = sum(numbers)
        if reason is not None:
            values.setdefault(name, {})[reason] = number
        else:
            values[name] = number / _NANOSECONDS if name.endswith("_seconds") else number
    return Counts(**values)


def aggregate(snapshots: Mapping[int, Snapshot], server: Snapshot, extra_bytes: int, most: int) -> Snapshot:
    """Return ``server`` with the sums over the ``snapshots`` of all workers, by pid.

    Its counters, HTTP/2 connections and streams are kept. They are from the rows, because an idle worker does not know
    what the others have. At most ``most`` running downloads are listed, and as many waiting requests. ``extra_bytes``
    is the memory of processes that serve no client, so all of it counts as baseline.
    """
    each = list(snapshots.values()) or [server]
    running = [replace(row, worker=pid) for pid, one in snapshots.items() for row in one.transfers.running]
    waiting = [replace(row, worker=pid) for pid, one in snapshots.items() for row in one.waiting]
    waiting.sort(key=lambda row: (row.place, -row.seconds))
    waiting_count = sum(one.admission.waiting for one in each)
    omitted = sum(one.transfers.running_omitted for one in each) + max(0, len(running) - most)
    return replace(
        server,
        memory=MemoryStats(
            budget_bytes=each[0].memory.budget_bytes,
            process_bytes=extra_bytes + sum(one.memory.process_bytes for one in each),
            baseline_bytes=extra_bytes + sum(one.memory.baseline_bytes for one in each),
            kernel_send_bytes=sum(one.memory.kernel_send_bytes for one in each),
        ),
        connections=replace(server.connections, open=sum(one.connections.open for one in each)),
        admission=AdmissionStats(
            slots=each[0].admission.slots,
            running=sum(one.admission.running for one in each),
            express_running=sum(one.admission.express_running for one in each),
            waiting=waiting_count,
            oldest_wait_seconds=max(one.admission.oldest_wait_seconds for one in each),
            waiting_by_reason=_sums(one.admission.waiting_by_reason for one in each),
        ),
        transfers=TransferStats(tuple(running[:most]), omitted),
        waiting=tuple(waiting[:most]),
        waiting_omitted=max(0, waiting_count - len(waiting[:most])),
        unresponsive=_unresponsive(each),
    )


def _unresponsive(each: Iterable[Snapshot]) -> tuple[FileSystemStatus, ...]:
    """Return the file systems that do not answer some worker: the longest wait, and the sum of the calls that hang."""
    found: dict[str, FileSystemStatus] = {}
    for status in (status for one in each for status in one.unresponsive):
        known = found.get(status.path, replace(status, hung_calls=0))
        seconds, calls = max(known.seconds, status.seconds), known.hung_calls + status.hung_calls
        found[status.path] = replace(known, seconds=seconds, hung_calls=calls)
    return tuple(found.values())


def _sums(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums by name."""
    sums: dict[str, int] = {}
    for one in each:
        for name, number in one.items():
            sums[name] = sums.get(name, 0) + number
    return sums
