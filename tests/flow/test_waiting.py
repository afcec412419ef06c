"""What is said of a client's progress: what it has taken counts, over which time, and not what we kept it waiting."""

from __future__ import annotations

from typing import Any

import pytest

from freight.errors import Stalled, TooSlow
from freight.flow.waiting import Waiting

PATIENCE = 60.0
LEAST = 100.0


class Peer:
    """A sink of which only the acknowledged bytes matter."""

    def __init__(self) -> None:
        self.taken_by_peer = 0
        self.others_first = False

    def acknowledged(self) -> int:
        return self.taken_by_peer

    def behind(self) -> bool:
        return self.others_first


class Judged(Waiting):
    """Waits, and may be told that it is us who keep the client waiting."""

    def __init__(self, sink: Any) -> None:
        super().__init__(sink)
        self.ours = False

    def held_up(self) -> bool:
        return self.ours


def judge(steps: list[tuple[float, int, bool]], patience: float = PATIENCE, least: float = LEAST) -> tuple[float, Any]:
    """Look every second of ``(seconds, bytes a second, held up)``, one after another: when it was ended, and by what.

    A peer's bytes come evenly; fewer than one a second come one at a time.
    """
    peer = Peer()
    waiting = Judged(peer)
    now = taken = 0.0
    for seconds, rate, ours in steps:
        until = now + seconds
        while now < until:
            now += 1.0
            taken += rate
            peer.taken_by_peer, waiting.ours = int(taken), ours
            error = waiting.judge(now, patience, least)
            if error is not None:
                return now, type(error)
    return now, None


@pytest.mark.parametrize(
    ("steps", "ended"),
    [
        ([(1000, 100, False)], (1000, None)),  # exactly the least rate, for ever
        ([(1000, 1_000_000, False)], (1000, None)),
        ([(1000, 0, False)], (61, Stalled)),  # it was first looked at after a second
        ([(1000, 99, False)], (61, TooSlow)),
        ([(1000, 1, False)], (61, TooSlow)),  # progress is not enough
        ([(30, 0, False), (1000, 200, False)], (1030, None)),  # slow to begin, and fast enough on the average
        ([(1, 0, False), (30, 0, False), (30, 199, False)], (61, TooSlow)),  # and one that is not
        ([(61, 1_000_000, False), (1000, 0, False)], (121, Stalled)),  # a burst is no credit for a silence behind it
        ([(31, 1_000_000, False), (59, 0, False), (1000, 200, False)], (1090, None)),
        ([(1000, 0, True)], (1000, None)),  # we kept it waiting
        ([(59, 0, False), (1000, 0, True), (59, 0, False)], (1118, None)),  # and then it has all its time again
        ([(59, 0, False), (1000, 0, True), (1000, 0, False)], (1119, Stalled)),
        ([(59, 10, False), (1, 0, True), (59, 10, False)], (119, None)),
    ],
)
def test_a_client_is_ended_that_takes_nothing_or_too_little_for_the_whole_patience(
    steps: list[tuple[float, int, bool]], ended: tuple[float, Any]
) -> None:
    assert judge(steps) == ended


def test_without_a_least_rate_a_byte_now_and_then_is_enough() -> None:
    peer = Peer()
    waiting = Judged(peer)
    for now in range(0, 10_000, 59):
        peer.taken_by_peer += 1
        assert waiting.judge(float(now), PATIENCE, 0.0) is None


def test_what_the_kernel_holds_for_it_is_not_what_it_has_taken() -> None:
    """The sink is asked for what is acknowledged."""
    peer = Peer()
    waiting = Judged(peer)
    assert waiting.judge(0.0, PATIENCE, 0.0) is None
    assert isinstance(waiting.judge(PATIENCE, PATIENCE, 0.0), Stalled)


def test_a_stream_that_others_of_its_connection_go_before_does_not_stand_still() -> None:
    peer = Peer()
    waiting = Judged(peer)
    peer.others_first = True
    assert waiting.judge(0.0, PATIENCE, 0.0) is None
    assert waiting.judge(2 * PATIENCE, PATIENCE, 1.0) is None
    peer.others_first = False
    assert waiting.judge(2.5 * PATIENCE, PATIENCE, 1.0) is None
    assert isinstance(waiting.judge(3 * PATIENCE, PATIENCE, 1.0), Stalled)


@pytest.mark.parametrize("patience", [15.0, 60.0])
def test_patience_may_be_another_at_each_look(patience: float) -> None:
    peer = Peer()
    waiting = Judged(peer)
    waiting.judge(0.0, 60.0, 0.0)
    assert (waiting.judge(20.0, patience, 0.0) is None) is (patience > 20.0)


def test_the_rate_of_late_is_that_since_the_average_began() -> None:
    peer = Peer()
    waiting = Judged(peer)
    assert waiting.recent_rate(5.0) == 0.0
    waiting.judge(10.0, PATIENCE, 0.0)
    assert waiting.recent_rate(10.0) == 0.0
    peer.taken_by_peer = 5000
    assert waiting.recent_rate(15.0) == 1000.0
