"""One turn of a transfer: never beyond its window, in calls of the sizes that are fast, woken in time and no sooner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.core.multipart import lay_out
from freight.errors import Changed, ShortRead
from freight.flow.budget import FAR_SECONDS, FAST_WINDOW, WINDOW_MIN
from freight.flow.gate import Lane, Slot
from freight.flow.pump import CALLS, MARK_MIN, Pump
from freight.flow.rates import Rates
from freight.model import Span

KIB = 1024
SIZE = 16 << 20

Make = Callable[..., Any]


class Lender:
    """A budget that gives the windows it is told to, and writes down what it hears of the kernel."""

    ample = False

    def __init__(self, window: int) -> None:
        self.given = window
        self.noted: list[int] = []

    def window(self, sink: Any, held: int) -> int:
        return self.given

    def note(self, sink: Any, held: int) -> None:
        self.noted.append(held)


class Idle:
    """A warmer that is asked and does nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.done: Callable[[OSError | None], None] = lambda error: None

    def fetch(
        self, fd: int, start: int, stop: int, device: int, client: Any, done: Callable[[OSError | None], None]
    ) -> None:
        self.asked.append((start, stop))
        self.done = done


class Resting:
    """Rounds that write down who rests, and for how long."""

    def __init__(self) -> None:
        self.rests: list[float] = []
        self.paused = False

    def watch(self, fd: int, waiter: Any, events: int = 0) -> None:
        pass

    def forget(self, fd: int) -> None:
        pass

    def pause(self, fd: int) -> None:
        self.paused = True

    def resume(self, fd: int) -> None:
        self.paused = False

    def rest(self, fd: int, seconds: float) -> None:
        self.rests.append(seconds)


class Clock:
    """Stands for the loop: only its time and its futures matter."""

    def time(self) -> float:
        return 0.0

    def create_future(self) -> Any:
        return None


class Bench:
    """A pump of a file in memory, over a sink whose client takes what it is told to."""

    def __init__(self, make_sink: Make, file: Any, window: int, *segments: bytes | Span, rates: Rates | None = None):
        self.sink = make_sink()
        self.sink.acks = 0
        self.lender: Any = Lender(window)
        self.warmer: Any = Idle()
        self.rounds: Any = Resting()
        rates = rates or Rates()
        slot = Slot("192.0.2.1", Lane.ORDINARY, self.sink, False)
        rates.join(slot.key, 0.0)
        parts = iter(segments or (Span(0, file.size),))
        self.pump = Pump(file.fd, file, parts, self.sink, slot, self.lender, self.warmer, rates)
        clock: Any = Clock()
        self.pump.begin(clock, self.rounds)

    def step(self) -> int:
        """How many bytes a turn hands over."""
        before = self.sink.taken
        self.pump.step()
        return int(self.sink.taken - before)

    def drain(self, left: int = 0) -> None:
        """Let the client take all but so many bytes of what is queued."""
        self.sink.acks = max(self.sink.acks, self.sink.taken - left)


@pytest.fixture(autouse=True)
def hot(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the file is in memory: the last element."""
    state = [True]
    monkeypatch.setattr("freight.flow.pump.resident", lambda *_: state[-1])
    return state


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds: the last element."""
    times = [1000.0]
    monkeypatch.setattr("freight.flow.pump.monotonic", lambda: times[-1])
    return times


@pytest.fixture
def file(open_file: Make) -> Any:
    return open_file(bytes(SIZE))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([WINDOW_MIN, 64 * KIB, 100_000, 128 * KIB, FAST_WINDOW, 416 * KIB])
            | st.integers(0, 1 << 20),
            st.floats(0, 1),
        ),
        max_size=20,
    )
)
def test_what_is_queued_and_what_is_noted_never_exceeds_the_window(make_sink: Make, file: Any, turns: Any) -> None:
    bench = Bench(make_sink, file, WINDOW_MIN)
    for window, left in turns:
        bench.drain(int(bench.sink.held() * left))
        held, bench.lender.given = bench.sink.held(), max(1, window)
        given = bench.step()
        assert held + given <= max(held, window)
        assert bench.sink.held() <= bench.lender.noted[-1] <= max(held, window)
        assert bench.sink.account.room == -bench.sink.taken


@pytest.mark.parametrize("length", [1, 100, 1000])
@pytest.mark.parametrize("left", [0, 10_000, 20_000])
def test_of_many_tiny_parts_the_literals_too_keep_to_the_window(
    make_sink: Make, file: Any, length: int, left: int
) -> None:
    """What is queued does; what is noted for it is beyond by one of them at most, as a literal is not cut."""
    spans = [Span(start, start + length) for start in range(0, 1000 * 4096, 4096)]
    parts, total = lay_out(spans, SIZE, "text/csv; charset=utf-8", "0" * 32)
    longest = max(len(part) for part in parts if isinstance(part, bytes))
    bench = Bench(make_sink, file, WINDOW_MIN, *parts)
    turns = 0
    while bench.sink.taken < total:
        held = bench.sink.held()
        assert bench.step() > 0
        assert held < bench.sink.held() <= WINDOW_MIN
        assert bench.sink.held() <= bench.lender.noted[-1] <= WINDOW_MIN + longest
        bench.drain(left)
        turns += 1
    assert turns >= total // WINDOW_MIN


@pytest.mark.parametrize(
    ("window", "mark"),
    [
        (WINDOW_MIN, 20 * KIB),
        (WINDOW_MIN + 1, 20 * KIB),
        (64 * KIB, 56 * KIB),
        (128 * KIB, 120 * KIB),
        (FAST_WINDOW, 192 * KIB),
        (416 * KIB, 192 * KIB),
        (416 * KIB + 1, None),
        (4 << 20, None),
    ],
)
def test_the_mark_is_the_largest_that_the_window_has_room_for(
    make_sink: Make, file: Any, window: int, mark: int | None
) -> None:
    assert MARK_MIN == 20 * KIB
    bench = Bench(make_sink, file, window)
    bench.step()
    assert bench.sink.marks == [mark]


def test_a_large_window_has_a_large_mark_only_where_the_link_fills_a_smaller_one(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, 416 * KIB)
    bench.step()
    assert bench.sink.marks == [192 * KIB]
    bench.drain(0)  # it takes all at once
    bench.step()
    assert bench.sink.marks == [192 * KIB]
    bench.drain(150 * KIB)
    bench.step()
    assert bench.sink.marks == [192 * KIB, 408 * KIB]


def test_a_window_beyond_what_a_mark_can_be_is_filled_call_by_call_and_not_exceeded(make_sink: Make, file: Any) -> None:
    """The kernel sets no bound then; the ledger does."""
    bench = Bench(make_sink, file, 1 << 20)
    calls = []
    while given := bench.step():
        calls.append(given)
    assert calls == [CALLS[0]] * len(calls)
    assert (1 << 20) * 3 // 4 - CALLS[0] <= bench.sink.held() <= 1 << 20
    assert bench.sink.marks == [None]


@pytest.mark.parametrize(
    ("round_trip", "quiet", "rest"),
    [
        (0.1, 0.0, 0.1 / 8),
        (0.1, 0.05, 0.1 / 8),
        (0.0, 0.0, FAR_SECONDS / 8),  # its path has become a short one
        (0.1, 0.8, 0.1),
        (0.1, 60.0, 0.5),
    ],
    ids=["an eighth of a round trip", "within a round trip", "never at once", "it has had nothing", "it has stalled"],
)
def test_where_no_mark_wakes_it_a_full_window_is_looked_at_again_after_an_eighth_of_a_round_trip(
    make_sink: Make, file: Any, clock: list[float], round_trip: float, quiet: float, rest: float
) -> None:
    """The kernel's own queue has room, and would wake it all the time. It is the client that is slow, not we."""
    bench = Bench(make_sink, file, 1 << 20)
    bench.sink.path = lambda: (round_trip, 0, 0)
    while bench.step():
        pass
    bench.rounds.rests.clear()
    clock.append(clock[-1] + quiet)
    for _ in range(3):
        assert bench.step() == 0
    assert bench.rounds.rests == [pytest.approx(rest)] * 3
    assert not bench.pump.held_up()
    bench.drain((1 << 20) // 2)
    assert bench.step() == CALLS[0]


def test_a_window_that_has_become_smaller_is_waited_for(make_sink: Make, file: Any) -> None:
    """What is in the kernel stays there until the client takes it; nothing is added meanwhile."""
    bench = Bench(make_sink, file, 2 << 20)
    while bench.step():
        pass
    bench.lender.given = 500 * KIB
    assert bench.step() == 0
    bench.drain(510 * KIB)
    assert bench.step() == 0
    bench.drain(200 * KIB)
    assert bench.step() == CALLS[0]
    assert bench.sink.held() <= 500 * KIB


def test_a_turn_in_the_midst_of_a_hot_span_is_one_call_of_the_largest_size(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, FAST_WINDOW)
    for _ in range(20):
        bench.drain()
        assert bench.step() == CALLS[0]
    assert bench.sink.calls == [CALLS[0]] * 20


@pytest.mark.parametrize(("window", "call"), [(FAST_WINDOW, CALLS[0]), (132 * KIB, 124 * KIB), (100 * KIB, 62 * KIB)])
def test_a_bounded_turn_hands_over_whole_segments(make_sink: Make, file: Any, window: int, call: int) -> None:
    bench = Bench(make_sink, file, window)
    assert bench.step() == call


def test_where_there_is_no_room_it_is_woken_when_half_of_what_is_queued_has_gone(make_sink: Make, file: Any) -> None:
    """The kernel wakes where a third of the mark is free: two thirds of three quarters are a half."""
    bench = Bench(make_sink, file, WINDOW_MIN)
    bench.step()
    held = bench.sink.held()
    assert bench.step() == 0
    assert bench.sink.marks[-1] * 2 // 3 == pytest.approx(held // 2, abs=2)
    assert (bench.rounds.rests, bench.pump.held_up()) == ([], False)
    bench.drain(held // 3)
    assert bench.step() > 0
    assert bench.sink.marks[-1] == MARK_MIN


def test_where_there_is_no_memory_and_nothing_is_queued_it_rests_for_a_moment(make_sink: Make, file: Any) -> None:
    """Nothing would wake it, and it is not the client's fault."""
    bench = Bench(make_sink, file, 1)
    assert bench.step() == 0
    assert (bench.rounds.rests, bench.pump.held_up()) == ([0.01], True)
    bench.lender.given = WINDOW_MIN
    assert bench.step() > 0
    assert (bench.rounds.rests, bench.pump.held_up()) == ([0.01], False)


def test_at_a_rate_it_takes_what_there_is_and_rests(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, 1 << 20, rates=Rates(1_000_000.0))
    assert bench.step() == 64 * KIB  # a burst
    assert bench.step() == 0
    assert bench.rounds.rests == [pytest.approx(8192 / 1e6)]
    assert bench.pump.held_up()


def test_cold_bytes_are_fetched_and_then_believed_in_without_a_second_question(
    make_sink: Make, file: Any, hot: list[bool]
) -> None:
    hot.append(False)
    bench = Bench(make_sink, file, FAST_WINDOW)
    assert bench.step() == 0
    assert (bench.warmer.asked, bench.rounds.paused, bench.pump.fetching) == ([(0, 4 << 20)], True, True)
    assert bench.pump.held_up()
    assert bench.step() == 0
    bench.warmer.done(None)
    assert (bench.rounds.paused, bench.pump.fetching) == (False, False)
    while bench.step():  # a little at a time, as others wait
        bench.drain()
    taken = bench.sink.taken
    assert (4 << 20) - CALLS[0] < taken <= 4 << 20
    assert bench.warmer.asked[1:] == [(taken, taken + (4 << 20))]


def test_a_file_that_changes_is_noticed_within_two_mib_and_before_its_last_bytes(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, FAST_WINDOW)
    for _ in range(3):
        bench.drain()
        bench.step()
    file.changed = lambda: True
    before = bench.sink.taken
    with pytest.raises(Changed):  # noqa: PT012
        while True:
            bench.drain()
            bench.step()
    assert bench.sink.taken - before <= (2 << 20) + CALLS[0]


def test_a_file_that_ends_before_its_length_is_a_short_read_in_the_midst_too(make_sink: Make, open_file: Make) -> None:
    bench = Bench(make_sink, open_file(bytes(1_000_000), size=SIZE), FAST_WINDOW)
    with pytest.raises(ShortRead):  # noqa: PT012
        while True:
            bench.drain()
            bench.step()
    assert bench.sink.taken == 1_000_000
