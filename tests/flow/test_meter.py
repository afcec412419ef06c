"""The counters: they grow, by what they are told, and what they give out does not."""

from __future__ import annotations

import pytest

from freight import errors
from freight.flow.meter import REASONS, Counts, Meter

NOTHING = Counts(0, dict.fromkeys(REASONS, 0), 0, 0, 0, 0.0, 0.0, 0.0)


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
    meter.refused()
    assert meter.statistics() == Counts(1, NOTHING.aborted | {"stalled": 1}, 1, 1010, 900, 61.5, 0.25, 2.5)


def test_totals_grow_while_a_download_runs_and_do_not_jump_when_it_ends() -> None:
    meter = Meter()
    meter.ended(None, 1000, 900, 1.5, 0.25)
    running = meter.statistics(500, 400, 3.0, 1.0)
    meter.ended(None, 500, 400, 3.0, 1.0)
    ended = meter.statistics()
    assert (running.completed, ended.completed) == (1, 2)
    assert (running.sent_bytes, running.zero_copy_bytes) == (ended.sent_bytes, ended.zero_copy_bytes) == (1500, 1300)
    assert running.blocked_on_client_seconds == ended.blocked_on_client_seconds == 4.5
    assert running.blocked_on_disk_seconds == ended.blocked_on_disk_seconds == 1.25


def test_what_was_given_out_stays_what_it_was() -> None:
    meter = Meter()
    before = meter.statistics()
    meter.ended("stalled", 1, 1, 1.0, 1.0)
    assert before == NOTHING
