"""How a client's progress is judged: by what it has acknowledged, and not while the server delays the transfer."""

from __future__ import annotations

from typing import Any

import pytest

from freight.errors import Stalled, TooSlow
from freight.flow.progress import ProgressMonitor
from freight.flow.socket_writer import SocketWriter

IDLE_SECONDS = 60.0
MIN_RATE = 100.0


class Peer:
    """A sink of which only the acknowledged bytes matter."""

    def __init__(self) -> None:
        self.acknowledged_bytes = 0
        self.others_first = False

    def acknowledged(self) -> int:
        return self.acknowledged_bytes

    def yielded_to_others(self) -> bool:
        return self.others_first


class Writer(SocketWriter):
    """A writer for which a test decides whether the server delays it."""

    def __init__(self, sink: Any) -> None:
        super().__init__(sink)
        self.is_blocked = False

    def blocked_by_us(self) -> bool:
        return self.is_blocked


def judge(steps: list[tuple[float, int, bool]]) -> tuple[float, Any]:
    """Check every second of ``(seconds, bytes a second, blocked by us)``. Return when the transfer ended, and why.

    Acknowledgements come evenly: fewer than one byte a second come one at a time.
    """
    peer = Peer()
    writer = Writer(peer)
    now = acknowledged = 0.0
    for seconds, rate, blocked in steps:
        until = now + seconds
        while now < until:
            now += 1.0
            acknowledged += rate
            peer.acknowledged_bytes, writer.is_blocked = int(acknowledged), blocked
            error = writer.check_progress(now, IDLE_SECONDS, MIN_RATE)
            if error is not None:
                return now, type(error)
    return now, None


@pytest.mark.parametrize(
    ("steps", "ended"),
    [
        ([(1000, 100, False)], (1000, None)),  # exactly the minimum rate
        ([(1000, 1_000_000, False)], (1000, None)),
        ([(1000, 0, False)], (61, Stalled)),  # the first check is after a second
        ([(1000, 99, False)], (61, TooSlow)),
        ([(1000, 1, False)], (61, TooSlow)),  # progress alone is not enough
        ([(30, 0, False), (1000, 200, False)], (1030, None)),  # slow at first, and fast enough on average
        ([(1, 0, False), (30, 0, False), (30, 199, False)], (61, TooSlow)),  # slow at first, and too slow on average
        ([(61, 1_000_000, False), (1000, 0, False)], (121, Stalled)),  # a burst is no credit for a later silence
        ([(31, 1_000_000, False), (59, 0, False), (1000, 200, False)], (1090, None)),
        ([(1000, 0, True)], (1000, None)),  # the server delayed it
        ([(59, 0, False), (1000, 0, True), (59, 0, False)], (1118, None)),  # and the time starts again after that
        ([(59, 0, False), (1000, 0, True), (1000, 0, False)], (1119, Stalled)),
        ([(59, 10, False), (1, 0, True), (59, 10, False)], (119, None)),
    ],
)
def test_a_client_is_aborted_that_acknowledges_nothing_or_too_little_for_the_idle_timeout(
    steps: list[tuple[float, int, bool]], ended: tuple[float, Any]
) -> None:
    assert judge(steps) == ended


def test_without_a_minimum_rate_a_byte_before_each_timeout_is_enough() -> None:
    progress = ProgressMonitor()
    for acknowledged, now in enumerate(range(0, 10_000, 59), 1):
        assert progress.judge_progress(float(now), acknowledged, IDLE_SECONDS, 0.0) is None


def test_what_the_kernel_queues_for_a_client_is_no_progress() -> None:
    """Only the acknowledged bytes of the sink are read."""
    writer = Writer(Peer())
    assert writer.check_progress(0.0, IDLE_SECONDS, 0.0) is None
    assert isinstance(writer.check_progress(IDLE_SECONDS, IDLE_SECONDS, 0.0), Stalled)


def test_a_stream_does_not_stall_while_others_of_its_connection_are_sent_first() -> None:
    peer = Peer()
    writer = Writer(peer)
    peer.others_first = True
    assert writer.check_progress(0.0, IDLE_SECONDS, 0.0) is None
    assert writer.check_progress(2 * IDLE_SECONDS, IDLE_SECONDS, 1.0) is None
    peer.others_first = False
    assert writer.check_progress(2.5 * IDLE_SECONDS, IDLE_SECONDS, 1.0) is None
    assert isinstance(writer.check_progress(3 * IDLE_SECONDS, IDLE_SECONDS, 1.0), Stalled)


@pytest.mark.parametrize("idle_seconds", [15.0, 60.0])
def test_the_timeout_may_differ_at_each_check(idle_seconds: float) -> None:
    progress = ProgressMonitor()
    progress.judge_progress(0.0, 0, 60.0, 0.0)
    assert (progress.judge_progress(20.0, 0, idle_seconds, 0.0) is None) is (idle_seconds > 20.0)


PAUSE_SECONDS = 3600.0


@pytest.mark.parametrize(
    ("paused_seconds", "pause_seconds", "outcome"),
    [
        (59, PAUSE_SECONDS, None),
        (3599, PAUSE_SECONDS, None),  # it is neither stalled nor too slow
        (3600, PAUSE_SECONDS, Stalled),
        (60, 0.0, Stalled),  # it may not pause any more
        (60, 30.0, Stalled),  # the longer one of the two holds
    ],
)
def test_a_client_may_pause_while_there_is_room(
    paused_seconds: int, pause_seconds: float, outcome: type[Exception] | None
) -> None:
    progress = ProgressMonitor()
    for now in range(11):
        assert progress.judge_progress(float(now), now * 1000, IDLE_SECONDS, 100.0, PAUSE_SECONDS) is None
    for now in range(11, 10 + paused_seconds):
        assert progress.judge_progress(float(now), 10_000, IDLE_SECONDS, 100.0, PAUSE_SECONDS) is None
    error = progress.judge_progress(10.0 + paused_seconds, 10_000, IDLE_SECONDS, 100.0, pause_seconds)
    assert (error and type(error)) is outcome


def test_a_pause_does_not_count_for_the_average_rate() -> None:
    progress = ProgressMonitor()
    assert progress.judge_progress(0.0, 0, IDLE_SECONDS, 100.0, PAUSE_SECONDS) is None
    assert progress.judge_progress(1.0, 1000, IDLE_SECONDS, 100.0, PAUSE_SECONDS) is None
    for now in range(2, 1000):
        assert progress.judge_progress(float(now), 1000, IDLE_SECONDS, 100.0, PAUSE_SECONDS) is None
    for now in range(1000, 1200):  # it reads again, and meanwhile the room is needed
        assert (
            progress.judge_progress(
                float(now), 1000 + (now - 999) * 100, IDLE_SECONDS, 100.0, PAUSE_SECONDS * (now == 1000)
            )
            is None
        )


def test_a_client_that_trickles_does_not_pause() -> None:
    progress = ProgressMonitor()
    judged = [progress.judge_progress(float(now), now // 2, IDLE_SECONDS, 100.0, PAUSE_SECONDS) for now in range(200)]
    assert any(isinstance(error, TooSlow) for error in judged)


def test_the_recent_rate_is_the_average_since_the_first_check() -> None:
    peer = Peer()
    writer = Writer(peer)
    assert writer.recent_rate(5.0) == 0.0
    writer.check_progress(10.0, IDLE_SECONDS, 0.0)
    assert writer.recent_rate(10.0) == 0.0
    peer.acknowledged_bytes = 5000
    assert writer.recent_rate(15.0) == 1000.0
