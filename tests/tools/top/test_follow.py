"""Two snapshots give rates, stalls and ETAs; an id identifies a download."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statuses import parsed_status, running

from freight.tools.top.follow import STALLED_SECONDS, View, follow


def views(*steps: list[dict[str, Any]], seconds: float = 1.0) -> View:
    """Return the last view of snapshots at these intervals."""
    view = None
    for number, rows in enumerate(steps):
        view = follow(view, parsed_status(*rows), number * seconds)
    assert view is not None
    return view


def test_the_first_look_has_the_servers_rates() -> None:
    view = views([running(rate=100), running(rate=50)])
    assert [each.rate for each in view.downloads] == [100, 50]
    assert (view.rate, view.blocked_on_clients) == (150, None)


def test_a_rate_follows_what_was_sent_and_has_left_the_kernel() -> None:
    before = running(id=1, sent=0, kernel_queue=0, rate=0, seconds=10)
    after = running(id=1, sent=90_000, kernel_queue=30_000, rate=0, seconds=40)
    (each,) = views([before], [after], seconds=30.0).downloads
    assert each.rate == pytest.approx(60_000 / 30, rel=0.01)


def test_a_client_that_reads_nothing_is_stalled_only_after_a_while() -> None:
    steps = [[running(id=1, sent=500, kernel_queue=100, rate=100, seconds=10 + at)] for at in range(6)]
    still = [views(*steps[: number + 1]).downloads[0].stalled_seconds for number in range(6)]
    assert still == [0, 1, 2, 3, 4, 5]
    assert [views(*steps[: n + 1]).downloads[0].stalled for n in range(6)] == [s >= STALLED_SECONDS for s in still]
    assert views(*steps).downloads[0].eta_seconds == math.inf


def test_a_slow_client_of_a_full_queue_is_not_stalled() -> None:
    """The server hands it nothing for long, but its queue shrinks."""
    steps = [[running(id=1, sent=500, kernel_queue=100 - at, seconds=10 + at)] for at in range(9)]
    assert not views(*steps).downloads[0].stalled


def test_a_download_that_waits_for_the_disk_is_not_stalled() -> None:
    steps = [[running(id=1, blocked_on="disk", seconds=10 + at)] for at in range(9)]
    assert not views(*steps).downloads[0].stalled


def test_one_that_never_took_anything_is_stalled_in_the_first_look() -> None:
    assert views([running(rate=0, seconds=60)]).downloads[0].stalled
    assert not views([running(rate=0, seconds=0.5)]).downloads[0].stalled


@pytest.mark.parametrize(
    ("row", "part", "eta"),
    [
        (running(sent=400, total_bytes=1000, rate=100), 0.4, 6),
        (running(sent=400, total_bytes=None, rate=100), None, math.inf),
        (running(sent=400, total_bytes=1000, rate=0, seconds=1), 0.4, math.inf),
        (running(sent=1000, total_bytes=1000, rate=100), 1, 0),
        (running(sent=0, total_bytes=0, rate=100), 1, 0),
        (running(sent=1001, total_bytes=1000, rate=100), 1, 0),
    ],
)
def test_how_far_it_is_and_how_long_it_takes(row: dict[str, Any], part: float, eta: float) -> None:
    (each,) = views([row]).downloads
    assert (each.fraction, each.eta_seconds) == (part, eta)


def test_a_restarted_server_is_not_compared_with_the_one_before() -> None:
    old = follow(None, parsed_status(running(id=1, sent=900)), 0.0)
    new = follow(old, parsed_status(running(id=1, sent=100, rate=7, seconds=11), started_at=2000.0), 1.0)
    assert (new.downloads[0].rate, new.rate, new.blocked_on_clients) == (7, 7, None)


def test_waits_are_averages_between_two_looks() -> None:
    first = follow(None, parsed_status(time={"blocked_on_client_seconds": 100.0}), 0.0)
    then = follow(first, parsed_status(time={"blocked_on_client_seconds": 130.0, "blocked_on_disk_seconds": 5.0}), 10.0)
    assert (then.blocked_on_clients, then.blocked_on_disk) == (3.0, 0.5)


def test_a_download_is_followed_by_its_id_when_others_begin_and_end() -> None:
    """The second of three has ended, another is there, and their order is a new one."""
    before = [running(id=at, sent=1000 * at, seconds=10.0) for at in (1, 2, 3)]
    after = [running(id=at, sent=sent, rate=5, seconds=11.0) for at, sent in ((4, 10), (3, 3300), (1, 1100))]
    new, third, first = views(before, after).downloads
    assert (new.rate, new.stalled_seconds) == (5, 0)
    assert third.rate == pytest.approx(100 + 200 * (1 - math.exp(-1 / 3)))  # from 100 towards 300
    assert first.rate == pytest.approx(100)


def test_a_download_with_another_id_is_new_though_its_client_and_target_are_the_same() -> None:
    """A client whose download ended has started it again: what the first one sent does not count."""
    (again,) = views([running(id=1, sent=900)], [running(id=2, sent=950, rate=7, seconds=1.0)]).downloads
    assert (again.rate, again.stalled_seconds) == (7, 0)


def test_downloads_of_two_workers_with_one_id_are_two() -> None:
    before = [running(id=7, worker=worker, sent=0, rate=0, seconds=10.0) for worker in (11, 12)]
    after = [running(id=7, worker=worker, sent=sent, rate=0, seconds=40.0) for worker, sent in ((12, 60_000), (11, 0))]
    moved, stalled = views(before, after, seconds=30.0).downloads
    assert (round(moved.rate), stalled.rate, stalled.stalled) == (2000, 0, True)


rows = st.builds(
    running,
    id=st.integers(0, 3),
    worker=st.integers(1, 2),
    client=st.sampled_from(["a", "b"]),
    total_bytes=st.none() | st.just(1000),
    sent=st.integers(0, 1000),
    kernel_queue=st.integers(0, 1000),
    seconds=st.floats(0, 100),
    rate=st.integers(0, 1000),
)


@given(st.lists(st.lists(rows, max_size=6), min_size=1, max_size=4))
@settings(deadline=None)
def test_each_row_has_its_progress_in_its_order_and_no_number_is_below_nothing(
    steps: list[list[dict[str, Any]]],
) -> None:
    view = views(*steps)
    assert [each.download for each in view.downloads] == list(parsed_status(*steps[-1]).downloads)
    assert all(each.rate >= 0 and each.stalled_seconds >= 0 and each.eta_seconds >= 0 for each in view.downloads)
