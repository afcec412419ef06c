"""One step of a transfer: within its window, in calls of the fast sizes, and woken in time but not earlier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.errors import FileChanged, ShortRead
from freight.flow.file_sender import FileSender, TransferContext
from freight.flow.rate_limit import RateLimiter
from freight.flow.send_window import CALL_SIZES, SEND_BUFFER_MIN
from freight.http.multipart import Parts
from freight.memory.budget import LONG_PATH_SECONDS
from freight.memory.costs import FAST_WINDOW, WINDOW_MIN
from freight.model import Span

KIB = 1024
SIZE = 16 << 20
CLIENT = "192.0.2.1"

Make = Callable[..., Any]


class FixedBudget:
    """A budget that grants a given window, and stores what is recorded."""

    def __init__(self, window: int) -> None:
        self.given = window
        self.recorded: list[int] = []

    def window(self, sink: Any, held: int) -> int:
        return self.given

    def record(self, sink: Any, held: int) -> None:
        self.recorded.append(held)


class IdlePrefetcher:
    """Stores the ranges it should fetch, and does nothing."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.done: Callable[[OSError | None], None] = lambda error: None

    def fetch(
        self, fd: int, start: int, stop: int, device: int, client: Any, done: Callable[[OSError | None], None]
    ) -> None:
        self.ranges.append((start, stop))
        self.done = done


class RecordingPoller:
    """Stores for how long a transfer pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.paused = False

    def register(self, fd: int, handler: Any, events: int = 0) -> None:
        pass

    def unregister(self, fd: int) -> None:
        pass

    def pause(self, fd: int) -> None:
        self.paused = True

    def resume(self, fd: int) -> None:
        self.paused = False

    def pause_for(self, fd: int, seconds: float) -> None:
        self.pauses.append(seconds)


class StoppedLoop:
    """A loop of which only the time and the futures are used."""

    def time(self) -> float:
        return 0.0

    def create_future(self) -> Any:
        return None


class Bench:
    """A sender of a cached file, to a sink whose client acknowledges what the test says."""

    def __init__(
        self, make_sink: Make, file: Any, window: int, *segments: bytes | Span, rates: RateLimiter | None = None
    ):
        self.sink = make_sink()
        self.sink.acks = 0
        self.budget: Any = FixedBudget(window)
        self.prefetcher: Any = IdlePrefetcher()
        self.poller: Any = RecordingPoller()
        rates = rates or RateLimiter()
        rates.join(CLIENT, 0.0)
        parts = iter(segments or (Span(0, file.size),))
        self.sender = FileSender(
            file.fd, file, parts, self.sink, CLIENT, TransferContext(self.budget, self.prefetcher, rates)
        )
        loop: Any = StoppedLoop()
        self.sender.register(loop, self.poller)

    def step(self) -> int:
        """Take a step. Return how many bytes it sent."""
        before = self.sink.accepted_bytes
        self.sender.step()
        return int(self.sink.accepted_bytes - before)

    def drain(self, left: int = 0) -> None:
        """Acknowledge all but ``left`` bytes of the queue."""
        self.sink.acks = max(self.sink.acks, self.sink.accepted_bytes - left)


@pytest.fixture(autouse=True)
def cached(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list whose last element says whether the file is cached."""
    state = [True]
    monkeypatch.setattr("freight.flow.file_sender.is_cached", lambda *_: state[-1])
    return state


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose last element is the time in seconds."""
    times = [1000.0]
    for module in ("file_sender", "send_window"):
        monkeypatch.setattr(f"freight.flow.{module}.monotonic", lambda: times[-1])
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
def test_what_is_queued_and_what_is_recorded_never_exceed_the_window(make_sink: Make, file: Any, steps: Any) -> None:
    bench = Bench(make_sink, file, WINDOW_MIN)
    for window, left in steps:
        bench.drain(int(bench.sink.queued_bytes() * left))
        held, bench.budget.given = bench.sink.queued_bytes(), max(1, window)
        given = bench.step()
        assert held + given <= max(held, window)
        assert bench.sink.queued_bytes() <= bench.budget.recorded[-1] <= max(held, window)
        assert bench.sink.account.peer_window == -bench.sink.accepted_bytes


@pytest.mark.parametrize("length", [1, 100, 1000])
@pytest.mark.parametrize("left", [0, 10_000, 20_000])
def test_the_literals_of_many_tiny_parts_keep_to_the_window_too(
    make_sink: Make, file: Any, length: int, left: int
) -> None:
    """The queue does. What is recorded exceeds it by one literal at most, as a literal is not cut."""
    spans = [Span(start, start + length) for start in range(0, 1000 * 4096, 4096)]
    parts = Parts(spans, SIZE, "text/csv; charset=utf-8", "0" * 32)
    total = parts.length
    longest = max(len(part) for part in parts if isinstance(part, bytes))
    bench = Bench(make_sink, file, WINDOW_MIN, *parts)
    steps = 0
    while bench.sink.accepted_bytes < total:
        held = bench.sink.queued_bytes()
        assert bench.step() > 0
        assert held < bench.sink.queued_bytes() <= WINDOW_MIN
        assert bench.sink.queued_bytes() <= bench.budget.recorded[-1] <= WINDOW_MIN + longest
        bench.drain(left)
        steps += 1
    assert steps >= total // WINDOW_MIN


def test_a_step_sends_at_most_32_of_many_small_parts(make_sink: Make, file: Any) -> None:
    """Other downloads wait for a step. The kernel's window would take all of these parts."""
    parts = Parts([Span(start, start + 1) for start in range(0, 256 * 4096, 4096)], SIZE, "text/csv", "0" * 32)
    bench = Bench(make_sink, file, FAST_WINDOW, *parts)
    steps = []
    while bench.sink.accepted_bytes < parts.length:
        before = len(bench.sink.calls)
        bench.step()
        steps.append(len(bench.sink.calls) - before)
    assert max(steps) <= 32 and len(steps) <= 9 and sum(steps) == 256


@pytest.mark.parametrize(
    ("window", "send_buffer"),
    [
        (WINDOW_MIN, 20 * KIB),
        (WINDOW_MIN + 1, 20 * KIB),
        (64 * KIB, 56 * KIB),
        (128 * KIB, 120 * KIB),
        (FAST_WINDOW, 192 * KIB),
        (416 * KIB - 1, 192 * KIB),
        (416 * KIB, None),
        (4 << 20, None),
    ],
)
def test_the_send_buffer_is_the_largest_that_fits_the_window(
    make_sink: Make, file: Any, window: int, send_buffer: int | None
) -> None:
    assert SEND_BUFFER_MIN == 20 * KIB
    bench = Bench(make_sink, file, window)
    bench.step()
    assert bench.sink.send_buffers == [send_buffer]


def test_a_window_beyond_the_largest_send_buffer_is_filled_call_by_call_and_not_exceeded(
    make_sink: Make, file: Any
) -> None:
    """The kernel sets no limit then; the budget does."""
    bench = Bench(make_sink, file, 1 << 20)
    calls = []
    while given := bench.step():
        calls.append(given)
    assert calls == [CALL_SIZES[0]] * len(calls)
    assert (1 << 20) * 3 // 4 - CALL_SIZES[0] <= bench.sink.queued_bytes() <= 1 << 20
    assert bench.sink.send_buffers == [None]


@pytest.mark.parametrize(
    ("round_trip", "idle", "pause"),
    [
        (0.1, 0.0, 0.1 / 8),
        (0.1, 0.05, 0.1 / 8),
        (0.0, 0.0, LONG_PATH_SECONDS / 8),  # the path has become a short one
        (0.1, 0.8, 0.1),
        (0.1, 60.0, 0.5),
    ],
    ids=[
        "an eighth of a round trip",
        "within a round trip",
        "never at once",
        "nothing was sent for long",
        "the client has stalled",
    ],
)
def test_without_a_send_buffer_a_full_window_is_polled_eight_times_a_round_trip(
    make_sink: Make, file: Any, clock: list[float], round_trip: float, idle: float, pause: float
) -> None:
    """epoll would report the socket at once, as the kernel chooses its send buffer. The client causes the wait."""
    bench = Bench(make_sink, file, 1 << 20)
    bench.sink.path_info = lambda: (round_trip, 0, 0)
    while bench.step():
        pass
    bench.poller.pauses.clear()
    clock.append(clock[-1] + idle)
    for _ in range(3):
        assert bench.step() == 0
    assert bench.poller.pauses == [pytest.approx(pause)] * 3
    assert not bench.sender.blocked_by_us()
    bench.drain((1 << 20) // 2)
    assert bench.step() == CALL_SIZES[0]


def test_a_queue_larger_than_a_window_that_shrank_drains_first(make_sink: Make, file: Any) -> None:
    """Nothing is added until the client has acknowledged enough."""
    bench = Bench(make_sink, file, 2 << 20)
    while bench.step():
        pass
    bench.budget.given = 500 * KIB
    assert bench.step() == 0
    bench.drain(510 * KIB)
    assert bench.step() == 0
    bench.drain(200 * KIB)
    assert bench.step() == CALL_SIZES[0]
    assert bench.sink.queued_bytes() <= 500 * KIB


def test_a_step_within_a_cached_span_is_one_call_of_the_largest_size(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, FAST_WINDOW)
    for _ in range(20):
        bench.drain()
        assert bench.step() == CALL_SIZES[0]
    assert bench.sink.calls == [CALL_SIZES[0]] * 20


@pytest.mark.parametrize(
    ("window", "call"), [(FAST_WINDOW, CALL_SIZES[0]), (132 * KIB, 124 * KIB), (100 * KIB, 62 * KIB)]
)
def test_a_step_in_a_small_window_sends_whole_segments(make_sink: Make, file: Any, window: int, call: int) -> None:
    bench = Bench(make_sink, file, window)
    assert bench.step() == call


def test_a_full_window_is_filled_again_when_half_of_the_queue_has_drained(make_sink: Make, file: Any) -> None:
    """epoll reports a socket when a third of its send buffer is free: two thirds of three quarters are a half."""
    bench = Bench(make_sink, file, WINDOW_MIN)
    bench.step()
    held = bench.sink.queued_bytes()
    assert bench.step() == 0
    assert bench.sink.send_buffers[-1] * 2 // 3 == pytest.approx(held // 2, abs=2)
    assert (bench.poller.pauses, bench.sender.blocked_by_us()) == ([], False)
    bench.drain(held // 3)
    assert bench.step() > 0
    assert bench.sink.send_buffers[-1] == SEND_BUFFER_MIN


def test_with_no_memory_and_an_empty_queue_it_pauses_for_10_ms(make_sink: Make, file: Any) -> None:
    """No event would come, and the client does not cause the wait."""
    bench = Bench(make_sink, file, 1)
    assert bench.step() == 0
    assert (bench.poller.pauses, bench.sender.blocked_by_us()) == ([0.01], True)
    bench.budget.given = WINDOW_MIN
    assert bench.step() > 0
    assert (bench.poller.pauses, bench.sender.blocked_by_us()) == ([0.01], False)


def test_with_a_rate_limit_it_sends_the_allowance_and_pauses(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, 1 << 20, rates=RateLimiter(1_000_000.0))
    assert bench.step() == 64 * KIB  # a burst
    assert bench.step() == 0
    assert bench.poller.pauses == [pytest.approx(8192 / 1e6)]
    assert bench.sender.blocked_by_us()


def test_cold_bytes_are_fetched_and_then_trusted_without_a_second_probe(
    make_sink: Make, file: Any, cached: list[bool]
) -> None:
    cached.append(False)
    bench = Bench(make_sink, file, FAST_WINDOW)
    assert bench.step() == 0
    assert (bench.prefetcher.ranges, bench.poller.paused, bench.sender.is_fetching) == ([(0, 4 << 20)], True, True)
    assert bench.sender.blocked_by_us()
    assert bench.step() == 0
    bench.prefetcher.done(None)
    assert (bench.poller.paused, bench.sender.is_fetching) == (False, False)
    while bench.step():  # a part at a time, as other downloads wait
        bench.drain()
    taken = bench.sink.accepted_bytes
    assert (4 << 20) - CALL_SIZES[0] < taken <= 4 << 20
    assert bench.prefetcher.ranges[1:] == [(taken, taken + (4 << 20))]


def test_a_file_that_changes_is_noticed_within_two_mib_and_before_its_last_bytes(make_sink: Make, file: Any) -> None:
    bench = Bench(make_sink, file, FAST_WINDOW)
    for _ in range(3):
        bench.drain()
        bench.step()
    file.changed = lambda: True
    before = bench.sink.accepted_bytes
    with pytest.raises(FileChanged):  # noqa: PT012
        while True:
            bench.drain()
            bench.step()
    assert bench.sink.accepted_bytes - before <= (2 << 20) + CALL_SIZES[0]


def test_a_file_that_ends_within_a_fast_step_is_a_short_read_too(make_sink: Make, open_file: Make) -> None:
    bench = Bench(make_sink, open_file(bytes(1_000_000), size=SIZE), FAST_WINDOW)
    with pytest.raises(ShortRead):  # noqa: PT012
        while True:
            bench.drain()
            bench.step()
    assert bench.sink.accepted_bytes == 1_000_000
