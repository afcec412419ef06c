"""The counters: they grow, by what they are told, and what they give out does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight import errors
from freight.flow.meter import REASONS, REFUSED_FOR, Counts, Meter
from freight.model import Refusal, WaitReason

NOTHING = Counts(0, dict.fromkeys(REASONS, 0), dict.fromkeys(REFUSED_FOR, 0), 0, 0, 0, 0.0, 0.0, 0.0)


def test_at_first_all_is_0_and_every_reason_is_there() -> None:
    assert Meter().statistics() == NOTHING


def test_every_way_that_a_transfer_can_fail_is_a_reason_of_its_own() -> None:
    failures = [each for each in vars(errors).values() if isinstance(each, type)]
    failures = [each for each in failures if issubclass(each, errors.TransferError) and each.reason != "failed"]
    assert {each.reason for each in failures} | {"error"} == set(REASONS)
    assert len(REASONS) == len(failures) + 1


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
def test_an_end_is_counted_once_by_a_reason_of_a_bounded_number(
    reason: str | None, completed: int, aborted: str | None
) -> None:
    meter = Meter()
    meter.ended(reason, 0, 0, 0.0, 0.0)
    counts = meter.statistics()
    assert counts.completed == completed
    assert {name: count for name, count in counts.aborted.items() if count} == ({aborted: 1} if aborted else {})
    assert counts.aborted.keys() == set(REASONS)


def test_bytes_and_seconds_add_up_however_downloads_end() -> None:
    meter = Meter()
    meter.ended(None, 1000, 900, 1.5, 0.25)
    meter.ended("stalled", 10, 0, 60.0, 0.0)
    meter.waited(2.0)
    meter.waited(0.5)
    assert meter.statistics() == replace(
        NOTHING,
        completed=1,
        aborted={**NOTHING.aborted, "stalled": 1},
        sent_bytes=1010,
        zero_copy_bytes=900,
        blocked_on_client_seconds=61.5,
        blocked_on_disk_seconds=0.25,
        waiting_seconds=2.5,
    )


def test_a_refusal_is_counted_once_by_its_reason_and_those_that_waited_too_long_apart() -> None:
    meter = Meter()
    meter.refused(Refusal.FULL, WaitReason.PER_CLIENT)
    meter.refused(Refusal.LATE, WaitReason.PER_CLIENT)
    meter.refused(Refusal.CROWDED, WaitReason.CONNECTIONS)
    meter.refused(Refusal.DRAINING, None)
    counts = meter.statistics()
    assert {name: count for name, count in counts.refused.items() if count} == {
        "per-client": 2,
        "connections": 1,
        "draining": 1,
    }
    assert (counts.refused_total, counts.expired) == (4, 1)
    assert set(counts.refused) == {each.value for each in WaitReason} | {"draining"}


def test_totals_grow_while_a_download_runs_and_do_not_jump_when_it_ends() -> None:
    meter = Meter()
    meter.ended(None, 1000, 900, 1.5, 0.25)
    meter.waited(2.0)
    running = meter.statistics(500, 400, 3.0, 1.0, 5.0)
    meter.ended(None, 500, 400, 3.0, 1.0)
    meter.waited(5.0)
    ended = meter.statistics()
    assert (running.completed, ended.completed) == (1, 2)
    assert (running.sent_bytes, running.zero_copy_bytes) == (ended.sent_bytes, ended.zero_copy_bytes) == (1500, 1300)
    assert running.blocked_on_client_seconds == ended.blocked_on_client_seconds == 4.5
    assert running.blocked_on_disk_seconds == ended.blocked_on_disk_seconds == 1.25
    assert running.waiting_seconds == ended.waiting_seconds == 7.0


def test_what_was_given_out_stays_what_it_was() -> None:
    meter = Meter()
    before = meter.statistics()
    meter.ended("stalled", 1, 1, 1.0, 1.0)
    assert before == NOTHING
