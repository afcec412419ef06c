"""Counters only grow, and the statistics that they return never change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight import errors
from freight.flow.counters import ABORT_REASONS, REJECT_REASONS, Counters, Sums
from freight.model import Counts, RejectReason, WaitReason

NOTHING = Counts(0, dict.fromkeys(ABORT_REASONS, 0), 0, 0, 0, 0, dict.fromkeys(REJECT_REASONS, 0), 0.0, 0.0, 0.0, 0, 0)


def test_at_first_every_reason_is_there_and_all_counts_are_0() -> None:
    assert Counters().statistics() == NOTHING


def test_every_transfer_error_is_a_reason_of_its_own() -> None:
    failures = [each for each in vars(errors).values() if isinstance(each, type)]
    failures = [each for each in failures if issubclass(each, errors.TransferError) and each.reason != "failed"]
    assert {each.reason for each in failures} | {"error"} == set(ABORT_REASONS)
    assert len(ABORT_REASONS) == len(failures) + 1


@pytest.mark.parametrize(
    ("reason", "completed", "aborted"),
    [
        (None, 1, None),
        ("peer-gone", 0, "peer-gone"),
        ("drained", 0, "drained"),
        ("error", 0, "error"),
        ("error: No space left on device", 0, "error"),
        ("failed", 0, "error"),
        ("", 0, "error"),
    ],
)
def test_an_aborted_transfer_is_counted_once_by_one_of_the_fixed_reasons(
    reason: str | None, completed: int, aborted: str | None
) -> None:
    counters = Counters()
    counters.transfer_ended(reason)
    counts = counters.statistics()
    assert counts.completed == completed
    assert {name: count for name, count in counts.aborted.items() if count} == ({aborted: 1} if aborted else {})
    assert counts.aborted.keys() == set(ABORT_REASONS)


def test_bytes_and_seconds_add_up_however_downloads_end() -> None:
    counters = Counters()
    counters.transfer_sent(1000, 900, 1.5, 0.25)
    counters.transfer_ended(None)
    counters.transfer_sent(10, 0, 60.0, 0.0)
    counters.transfer_ended("stalled")
    counters.request_waited(2.0)
    counters.request_waited(0.5)
    assert counters.statistics() == replace(
        NOTHING,
        completed=1,
        aborted={**NOTHING.aborted, "stalled": 1},
        sent_bytes=1010,
        zero_copy_bytes=900,
        blocked_on_client_seconds=61.5,
        blocked_on_disk_seconds=0.25,
        waiting_seconds=2.5,
    )


def test_a_rejection_is_counted_by_its_reason_and_timeouts_separately_too() -> None:
    counters = Counters()
    counters.request_rejected(RejectReason.FULL, WaitReason.PER_CLIENT)
    counters.request_rejected(RejectReason.LATE, WaitReason.PER_CLIENT)
    counters.request_rejected(RejectReason.CROWDED, WaitReason.CONNECTIONS)
    counters.request_rejected(RejectReason.DRAINING, None)
    counts = counters.statistics()
    assert {name: count for name, count in counts.rejected_by_reason.items() if count} == {
        "max-per-client": 2,
        "connections": 1,
        "draining": 1,
    }
    assert (counts.rejected, counts.expired) == (4, 1)
    assert set(counts.rejected_by_reason) == {each.value for each in WaitReason} | {"draining"}


def test_totals_grow_while_a_download_runs_and_do_not_jump_when_it_ends() -> None:
    counters = Counters()
    counters.transfer_sent(1000, 900, 1.5, 0.25)
    counters.request_waited(2.0)
    running = counters.statistics(Sums(500, 400, 3.0, 1.0, 5.0))
    counters.transfer_sent(500, 400, 3.0, 1.0)
    counters.request_waited(5.0)
    ended = counters.statistics()
    assert (running.sent_bytes, running.zero_copy_bytes) == (ended.sent_bytes, ended.zero_copy_bytes) == (1500, 1300)
    assert running.blocked_on_client_seconds == ended.blocked_on_client_seconds == 4.5
    assert running.blocked_on_disk_seconds == ended.blocked_on_disk_seconds == 1.25
    assert running.waiting_seconds == ended.waiting_seconds == 7.0


def test_returned_statistics_do_not_change() -> None:
    counters = Counters()
    before = counters.statistics()
    counters.transfer_sent(1, 1, 1.0, 1.0)
    counters.transfer_ended("stalled")
    assert before == NOTHING
