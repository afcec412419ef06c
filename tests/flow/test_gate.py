"""The gate loses no slot and grants none twice, clients take turns, and small responses have a lane of their own."""

# ruff: noqa: ASYNC110 - other tasks change the conditions, and each iteration is one step of the loop
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.errors import ClientDisconnected
from freight.flow.retry_after import MOST_SECONDS
from freight.flow.slot import EXPRESS_BYTES, Slot, lane_of
from freight.memory.budget import Budget, Lane
from freight.memory.costs import WINDOW_MIN
from freight.model import Rejected, RejectReason
from support.stepped_loop import Harness, run_steps

HUGE = 1 << 40
SMALL = 1000

Make = Callable[..., Any]
Run = Callable[[Callable[[], Any]], None]


class Request:
    """A request at the gate: it waits for a slot, keeps it until ``go`` is set, and returns it."""

    def __init__(self, harness: Harness, sink: Any, client: str = "192.0.2.1", length: int | None = HUGE, **about: Any):
        self.sink = sink
        self.client = client
        self.outcome: Any = None
        self.go = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run(harness, length, about.get("produced", False)))

    async def _run(self, harness: Harness, length: int | None, produced: bool) -> None:
        async with harness.gate.slot(self.client, length, produced, self.sink) as slot:
            self.outcome = slot
            if isinstance(slot, Slot):
                await self.go.wait()

    @property
    def runs(self) -> bool:
        return isinstance(self.outcome, Slot) and not self.task.done()

    @property
    def waits(self) -> bool:
        return self.outcome is None and not self.task.done()


@pytest.fixture
def make_harness(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that makes harnesses with given numbers of slots, whatever their memory allows."""

    def make(slots: int, express_slots: int = 1, **limits: Any) -> Any:
        harness = Harness(**limits)
        division = replace(harness.budget.division, slots=slots, express_slots=express_slots)
        harness.budget.division = division
        return harness

    return make


def nothing_is_left(harness: Harness) -> bool:
    budget, counts = harness.budget, harness.gate.statistics()
    assert (counts.running, counts.express_running, counts.waiting) == (0, 0, 0)
    assert (budget.running, budget.waiting, budget.producers, budget.express) == (0, 0, 0, 0)
    assert (budget.lent, len(budget._borrowers)) == (0, 0)
    assert (list(harness.transfers.poller), harness.gate._running_by_client, harness.loop.timers) == ([], {}, [])
    return True


@pytest.mark.parametrize(
    ("length", "produced", "lane"),
    [
        (0, False, Lane.EXPRESS),
        (EXPRESS_BYTES, False, Lane.EXPRESS),
        (EXPRESS_BYTES + 1, False, Lane.ORDINARY),
        (None, False, Lane.ORDINARY),
        (None, True, Lane.LISTING),
        (HUGE, True, Lane.LISTING),
    ],
)
def test_small_responses_use_the_express_lane_and_listings_their_own(
    length: int | None, produced: bool, lane: Lane
) -> None:
    assert lane_of(length, produced) is lane


async def test_a_request_that_finds_a_slot_free_does_not_wait(make_harness: Make, make_sink: Make) -> None:
    harness = make_harness(1)
    request = Request(harness, make_sink())
    await run_steps(1)
    assert request.runs and request.outcome.waited_seconds == 0.0
    request.go.set()
    await request.task
    assert nothing_is_left(harness)


@pytest.mark.parametrize("error", [None, OSError("bad disk"), asyncio.CancelledError()])
async def test_a_slot_is_returned_however_its_context_is_left(make_sink: Make, error: BaseException | None) -> None:
    harness = Harness()

    async def request() -> None:
        async with harness.gate.slot("192.0.2.1", HUGE, False, make_sink()):
            assert harness.budget.running == 1
            if error is not None:
                raise error

    outcome = (await asyncio.gather(request(), return_exceptions=True))[0]
    assert type(outcome) is type(error)
    assert nothing_is_left(harness)


@pytest.mark.parametrize(("length", "produced"), [(HUGE, False), (SMALL, False), (None, True)])
async def test_while_a_request_waits_nothing_is_sent_without_a_slot(
    make_harness: Make, make_sink: Make, length: int | None, produced: bool
) -> None:
    """Otherwise repeated requests could take the memory that it waits for."""
    harness = make_harness(1, express_slots=0)
    requests = [Request(harness, make_sink(), length=length, produced=produced) for _ in range(2)]
    assert harness.gate.may_send(make_sink(), WINDOW_MIN)
    await run_steps()
    assert [request.waits for request in requests] == [False, True]
    assert not harness.gate.may_send(make_sink(), WINDOW_MIN)
    for request in requests:
        request.go.set()
        await run_steps()
    assert harness.gate.may_send(make_sink(), WINDOW_MIN)


async def test_clients_take_turns(make_harness: Make, make_sink: Make) -> None:
    """A client with five connections gets as many slots as a client with one."""
    harness = make_harness(1)
    first = Request(harness, make_sink(), "192.0.2.9")
    await run_steps(1)
    requests = [Request(harness, make_sink(), client) for client in ["192.0.2.1"] * 5 + ["192.0.2.2", "192.0.2.3"]]
    await run_steps()
    order, running = [], first
    for _ in requests:
        running.go.set()
        await run_steps()
        (running,) = [request for request in requests if request.runs]
        order.append(running.client[-1])
    assert order == ["1", "2", "3", "1", "1", "1", "1"]
    running.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_client_has_at_most_max_per_client_slots_and_does_not_block_others(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(4, max_per_client=2, size=3)
    many = [Request(harness, make_sink(), "192.0.2.1") for _ in range(5)]
    await run_steps()
    assert [request.runs for request in many] == [True, True, False, False, False]
    other = Request(harness, make_sink(), "192.0.2.2")  # though the queue is full, as it need not queue
    await run_steps()
    assert other.runs
    many[0].go.set()
    await run_steps()
    assert [request.runs for request in many] == [False, True, True, False, False]
    for request in [*many, other]:
        request.go.set()
    await run_steps(30)
    assert nothing_is_left(harness)


@pytest.mark.parametrize(("length", "produced"), [(SMALL, False), (None, True)])
async def test_small_responses_and_listings_never_wait_for_slots_of_huge_ones(
    make_harness: Make, make_sink: Make, length: int | None, produced: bool
) -> None:
    harness = make_harness(2)
    huge = [Request(harness, make_sink(), f"192.0.2.{n}") for n in range(5)]
    await run_steps()
    small = Request(harness, make_sink(), "192.0.2.77", length, produced=produced)
    await run_steps()
    assert small.runs
    for request in [*huge, small]:
        request.go.set()
    await run_steps(30)
    assert nothing_is_left(harness)


async def test_small_responses_use_ordinary_slots_only_while_no_request_waits_for_one(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(3, express_slots=1)
    small = [Request(harness, make_sink(), "192.0.2.1", SMALL) for _ in range(3)]
    huge = [Request(harness, make_sink(), "192.0.2.2") for _ in range(2)]
    await run_steps()
    assert [request.runs for request in small + huge] == [True, True, True, True, False]
    late = Request(harness, make_sink(), "192.0.2.3", SMALL)
    await run_steps()
    assert not late.runs
    small[0].go.set()  # this frees an ordinary slot, which is for the request that waits for one
    await run_steps()
    assert (huge[1].runs, late.runs) == (True, False)
    small[1].go.set()
    small[2].go.set()
    await run_steps()
    assert late.runs
    for request in [*huge, late]:
        request.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_listing_that_waits_for_memory_does_not_delay_small_responses(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(8, express_slots=4, memory_bytes=500_000)
    listings = [Request(harness, make_sink(), f"192.0.2.{n}", None, produced=True) for n in range(5)]
    await run_steps()
    assert [request.runs for request in listings] == [harness.budget.producers > n for n in range(5)]
    assert not listings[-1].runs
    small = Request(harness, make_sink(), "192.0.2.77", SMALL)
    await run_steps()
    assert small.runs
    listings[0].go.set()
    await run_steps()
    assert [request.runs for request in listings].count(True) == harness.budget.producers
    for request in [*listings, small]:
        request.go.set()
    await run_steps(30)
    assert nothing_is_left(harness)


@pytest.mark.parametrize(("first", "second"), [("small", "listing"), ("listing", "small")])
async def test_listings_and_small_responses_that_wait_for_the_same_slot_take_turns(
    make_harness: Make, make_sink: Make, first: str, second: str
) -> None:
    harness = make_harness(0, express_slots=1)
    running = Request(harness, make_sink(), "192.0.2.9", SMALL)
    await run_steps()
    kinds = {"small": (SMALL, False), "listing": (None, True)}
    requests = []
    for name in [first, first, first, second, second]:
        length, produced = kinds[name]
        requests.append((name, Request(harness, make_sink(), f"192.0.2.{len(requests)}", length, produced=produced)))
    await run_steps()
    order = []
    for _ in requests:
        running.go.set()
        await run_steps()
        ((name, running),) = [(name, request) for name, request in requests if request.runs]
        order.append(name)
    assert order[:4].count("small") == order[:4].count("listing") == 2
    running.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_request_beyond_the_queue_size_is_rejected(make_harness: Make, make_sink: Make) -> None:
    harness = make_harness(1, size=2)
    requests = [Request(harness, make_sink(), f"192.0.2.{n}") for n in range(4)]
    await run_steps()
    assert [request.outcome is None for request in requests] == [False, True, True, False]
    refused = requests[3].outcome
    assert isinstance(refused, Rejected) and refused.reason is RejectReason.FULL
    assert 1 <= refused.retry_seconds <= MOST_SECONDS
    assert (harness.budget.waiting, harness.gate.waiting) == (2, 2)
    assert harness.counters.statistics().rejected == 1
    for request in requests:
        request.go.set()
    await run_steps(30)
    assert nothing_is_left(harness)


async def test_a_queue_is_full_for_the_client_that_fills_it(make_harness: Make, make_sink: Make) -> None:
    """The client with the longest queue loses its newest request, unless the new one's would become as long."""
    harness = make_harness(1, size=4)
    many = [Request(harness, make_sink()) for _ in range(6)]
    await run_steps()
    assert [request.waits for request in many] == [False, True, True, True, True, False]
    others = [Request(harness, make_sink(), f"192.0.2.{n}") for n in (2, 3, 4, 5)]
    await run_steps()
    assert [request.waits for request in many] == [False, True, False, False, False, False]
    assert [request.waits for request in others] == [True, True, True, False]
    for request in (*many[2:], others[-1]):
        assert isinstance(request.outcome, Rejected) and request.outcome.reason is RejectReason.FULL
    small = Request(harness, make_sink(), length=SMALL)
    await run_steps()
    assert small.runs  # in the express lane
    for request in (*many, *others, small):
        request.go.set()
    await run_steps(40)
    assert nothing_is_left(harness)


async def test_without_a_queue_a_request_that_finds_no_slot_is_rejected_at_once(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(1, size=0)
    requests = [Request(harness, make_sink()) for _ in range(2)]
    await run_steps(2)
    assert requests[0].runs
    assert requests[1].outcome.reason is RejectReason.FULL
    requests[0].go.set()
    await run_steps()
    third = Request(harness, make_sink())
    await run_steps()
    assert third.runs
    third.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_request_that_waits_too_long_is_rejected_and_leaves_the_queue(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(1, timeout_seconds=30.0)
    running, waiting = Request(harness, make_sink()), Request(harness, make_sink())
    await run_steps()
    harness.loop.advance(29.9)
    await run_steps()
    assert (waiting.outcome, round(harness.gate.statistics().oldest_wait_seconds, 3)) == (None, 29.9)
    harness.loop.advance(0.2)
    await run_steps()
    assert waiting.outcome.reason is RejectReason.LATE
    assert 1 <= waiting.outcome.retry_seconds <= MOST_SECONDS
    assert (harness.gate.waiting, harness.budget.waiting) == (0, 0)
    assert harness.counters.statistics().waiting_seconds == pytest.approx(30.1, abs=0.11)
    running.go.set()
    await run_steps()
    assert nothing_is_left(harness)


def reasons(harness: Harness) -> dict[str, int]:
    """Return how many requests wait for each reason that any waits for."""
    found = harness.gate.statistics()
    assert sum(found.waiting_by_reason.values()) == found.waiting
    return {reason: count for reason, count in found.waiting_by_reason.items() if count}


async def test_queued_requests_are_listed_in_the_order_of_turns_with_position_time_and_reason(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(2, max_per_client=1)
    running = Request(harness, make_sink(), "192.0.2.1")
    own = [Request(harness, make_sink(), "192.0.2.1") for _ in range(2)]  # the limit of one per client is reached
    await run_steps()
    assert reasons(harness) == {"max-per-client": 2}
    other = Request(harness, make_sink(), "192.0.2.2")
    await run_steps()
    harness.loop.advance(3.0)
    late = Request(harness, make_sink(), "192.0.2.3")
    await run_steps()
    assert other.runs and reasons(harness) == {"max-per-client": 2, "slots": 1}
    listed = [(each.sink, each.seconds, each.position, each.reason.value) for each in harness.gate.queued_requests(10)]
    assert listed == [
        (own[0].sink, 3.0, 1, "max-per-client"),
        (late.sink, 0.0, 2, "slots"),
        (own[1].sink, 3.0, 3, "max-per-client"),
    ]
    assert [each.position for each in harness.gate.queued_requests(2)] == [1, 2]
    harness.loop.advance(1.0)
    assert harness.gate.waiting_seconds() == pytest.approx(4.0 + 4.0 + 1.0)
    for request in (running, *own, other, late):
        request.go.set()
    await run_steps(30)
    assert nothing_is_left(harness) and harness.gate.waiting_seconds() == 0
    assert harness.counters.statistics().waiting_seconds == pytest.approx(9.0)


def test_the_wait_reason_is_what_the_gate_found_missing(
    run: Run, make_harness: Make, make_sink: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        harness = make_harness(2, express_slots=1)
        requests = [Request(harness, make_sink()) for _ in range(2)]
        await run_steps()

        async def come(**about: Any) -> dict[str, int]:
            requests.append(Request(harness, make_sink(), **about))
            await run_steps()
            return reasons(harness)

        assert await come() == {"slots": 1}
        small = Request(harness, make_sink(), length=SMALL)
        await run_steps()
        assert small.runs
        assert await come(length=SMALL) == {"slots": 1, "express": 1}
        monkeypatch.setattr(Budget, "can_run", lambda *_, **__: False)
        requests[0].go.set()
        await run_steps()
        assert reasons(harness) == {"memory": 1, "express": 1}
        assert await come(length=None, produced=True) == {"memory": 1, "express": 2}
        monkeypatch.setattr(Budget, "can_run", lambda _, lane=Lane.ORDINARY: lane is not Lane.LISTING)
        harness.gate.set_accept_blocked(True)
        requests[3].go.set()  # the other small one, which runs next and ends
        small.go.set()
        await run_steps(20)
        assert reasons(harness) == {"connections": 1, "listings": 1}
        monkeypatch.undo()
        harness.gate.set_accept_blocked(False)
        await run_steps(20)
        for request in (*requests, small):
            request.go.set()
        await run_steps(40)
        assert nothing_is_left(harness)

    run(main)


async def test_a_rejection_has_its_reason_and_its_numbers(make_harness: Make, make_sink: Make) -> None:
    harness = make_harness(2, size=1, max_per_client=1, timeout_seconds=30.0)
    running, waiting = Request(harness, make_sink(), "192.0.2.1"), Request(harness, make_sink(), "192.0.2.1")
    await run_steps()
    refused = Request(harness, make_sink(), "192.0.2.1")
    other = Request(harness, make_sink(), "192.0.2.2")
    await run_steps()
    third = Request(harness, make_sink(), "192.0.2.3")
    await run_steps()
    found = refused.outcome
    assert (found.code, found.running, found.most, found.waiting) == ("queue-full:max-per-client", 1, 1, 1)
    assert other.runs
    found = third.outcome
    assert (found.code, found.running, found.waiting) == ("queue-full:slots", 2, 1)
    harness.loop.advance(30.1)
    await run_steps()
    found = waiting.outcome
    assert (found.code, found.running, found.waiting) == ("queue-timeout:max-per-client", 1, 0)
    assert found.waited_seconds == pytest.approx(30.1)
    counts = harness.counters.statistics()
    assert (counts.rejected_by_reason["max-per-client"], counts.rejected_by_reason["slots"], counts.expired) == (
        2,
        1,
        1,
    )
    for request in (running, other):
        request.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_slot_has_the_time_that_its_request_waited(make_harness: Make, make_sink: Make) -> None:
    harness = make_harness(1)
    running, waiting = Request(harness, make_sink()), Request(harness, make_sink())
    await run_steps()
    harness.loop.advance(12.5)
    running.go.set()
    await run_steps()
    assert waiting.outcome.waited_seconds == 12.5
    waiting.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_draining_gate_rejects_queued_requests_and_those_that_would_queue(
    make_harness: Make, make_sink: Make
) -> None:
    """A request that finds a slot free still runs, as it may have been sent before."""
    harness = make_harness(1)
    requests = [Request(harness, make_sink(), f"192.0.2.{n}") for n in range(3)]
    await run_steps()
    harness.gate.drain()
    await run_steps()
    late = Request(harness, make_sink())
    await run_steps()
    for request in [*requests[1:], late]:
        assert (request.outcome.reason, request.outcome.retry_seconds) == (RejectReason.DRAINING, 5)
    requests[0].go.set()
    await run_steps()
    last = Request(harness, make_sink())
    await run_steps()
    assert last.runs
    last.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_client_that_goes_away_while_it_waits_is_noticed_at_once(make_harness: Make, make_sink: Make) -> None:
    harness = make_harness(1)
    running, waiting = Request(harness, make_sink()), Request(harness, make_sink())
    await run_steps()
    waiting.sink.peer.close()
    with pytest.raises(ClientDisconnected):
        await waiting.task
    assert harness.gate.waiting == 0
    running.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_a_slot_granted_to_a_request_that_is_cancelled_at_that_moment_goes_to_the_next(
    make_harness: Make, make_sink: Make
) -> None:
    harness = make_harness(1)
    running, waiting, third = (Request(harness, make_sink(), f"192.0.2.{n}") for n in range(3))
    await run_steps()
    running.go.set()
    while not running.task.done():
        await asyncio.sleep(0)
    assert (waiting.outcome, harness.budget.running) == (
        None,
        1,
    )  # the slot is the second's, whose task has not run yet
    waiting.task.cancel()
    await run_steps()
    assert (waiting.task.cancelled(), third.runs, harness.budget.running) == (True, True, 1)
    third.go.set()
    await run_steps()
    assert nothing_is_left(harness)


async def test_memory_is_looked_for_once_for_a_whole_queue(make_sink: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look may check hundreds of loans, and its result is the same for all requests of a queue."""
    harness = Harness(memory_bytes=20_000_000)
    running = Request(harness, make_sink())
    await run_steps()
    while harness.budget.can_run():
        harness.budget.connection_opened()
    requests = [Request(harness, make_sink(), f"192.0.2.{n}") for n in range(20)]
    await run_steps()
    assert harness.gate.waiting == 20
    asked = []
    can_run = Budget.can_run
    monkeypatch.setattr(Budget, "can_run", lambda *args, **about: asked.append(1) or can_run(*args, **about))
    harness.gate.admit_waiting()
    assert len(asked) <= len(harness.gate._queues)
    for request in [running, *requests]:
        request.task.cancel()
    await run_steps()
    assert nothing_is_left(harness)


class RequestSteps:
    """Requests of three clients that start, run, are cancelled, disconnect and time out, step by step."""

    def __init__(self, harness: Any, make_sink: Make) -> None:
        self.harness = harness
        self.make_sink = make_sink
        self.requests: list[Request] = []

    def among(self, number: int, found: Callable[[Request], bool]) -> Request | None:
        those = [request for request in self.requests if found(request)]
        return those[number % len(those)] if those else None

    def enter(self, number: int, length: int | None) -> None:
        if len(self.requests) < 20:
            client = f"192.0.2.{number % 3}"
            self.requests.append(Request(self.harness, self.make_sink(), client, length, produced=length is None))

    def leave(self, number: int) -> None:
        if request := self.among(number, lambda request: request.runs):
            request.go.set()

    def cancel(self, number: int) -> None:
        if request := self.among(number, lambda request: not request.task.done()):
            request.task.cancel()

    async def swap(self, number: int) -> None:
        """Return a slot, and cancel the request that may be granted it before its task runs."""
        if request := self.among(number, lambda request: request.runs):
            request.go.set()
            while not request.task.done():
                await asyncio.sleep(0)
            if other := self.among(number, lambda request: request.waits):
                other.task.cancel()

    def disconnect(self, number: int) -> None:
        if request := self.among(number, lambda request: not request.task.done()):
            request.sink.peer.close()

    async def step(self, what: str, number: int, length: int | None) -> None:
        if what == "enter":
            self.enter(number, length)
        elif what == "later":
            self.harness.loop.advance(number / 10)
        elif what == "swap":
            await self.swap(number)
        else:
            getattr(self, what)(number)
        await run_steps(8)

    def check(self, slots: int, express: int, queue: int, per_client: int | None) -> None:
        harness, running = self.harness, [request for request in self.requests if request.runs]
        huge = [request.client for request in running if request.outcome.lane is Lane.ORDINARY]
        waiting = sum(request.waits for request in self.requests)
        before = harness.gate.statistics()
        assert before.running == harness.budget.running == len(running) <= slots + express
        assert len(huge) <= slots
        assert all(huge.count(client) <= (per_client or slots) for client in huge)
        assert before.waiting == harness.budget.waiting == len(list(harness.transfers.poller)) == waiting <= queue
        harness.gate.admit_waiting()
        after = harness.gate.statistics()  # no request waits that could run; the reasons are those of the last look
        assert replace(after, waiting_by_reason=before.waiting_by_reason) == before
        assert sum(after.waiting_by_reason.values()) == after.waiting

    async def end(self) -> None:
        while pending := [request for request in self.requests if not request.task.done()]:
            for request in pending:
                request.go.set()
            self.harness.loop.advance(1.0)
            await run_steps(8)
        await asyncio.gather(*(request.task for request in self.requests), return_exceptions=True)
        assert nothing_is_left(self.harness)
        self.harness.transfers.close()
        for request in self.requests:
            request.sink.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "leave", "leave", "cancel", "swap", "disconnect", "later"]),
        st.integers(0, 99),
        st.sampled_from([HUGE, SMALL, None]),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    steps=STEPS,
    limits=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 8), st.none() | st.integers(1, 2)),
    drains=st.booleans(),
)
def test_no_slot_is_lost_or_granted_twice_and_no_request_waits_that_could_run(
    run: Run, make_harness: Make, make_sink: Make, steps: Any, limits: tuple[int, int, int, int | None], drains: bool
) -> None:
    async def main() -> None:
        slots, express, queue, per_client = limits
        harness = make_harness(slots, express, size=queue, max_per_client=per_client, timeout_seconds=10.0)
        sequence = RequestSteps(harness, make_sink)
        for what, number, length in steps:
            await sequence.step(what, number, length)
            sequence.check(*limits)
        if drains:
            harness.gate.drain()
        await sequence.end()

    run(main)


async def test_a_queue_that_does_not_move_is_shed_and_one_that_moves_is_not(
    make_harness: Make, make_sink: Make
) -> None:
    """The newer half is rejected each time."""
    harness = make_harness(1)
    gate, loop = harness.gate, harness.loop
    running, *queue = [Request(harness, make_sink()) for _ in range(5)]
    await run_steps(3)
    for acknowledged in (10_000, 3_000, 1_500):  # more than 1 KiB/s each
        loop.advance(1.0)
        gate.note_progress(acknowledged)
        gate.shed_queue()
    loop.advance(0.5)
    gate.note_progress(0)
    gate.shed_queue()  # too soon to tell
    await run_steps(3)
    assert running.runs and all(request.waits for request in queue)
    loop.advance(0.5)
    gate.note_progress(400)
    gate.shed_queue()
    await run_steps(3)
    assert [request.waits for request in queue] == [True, True, False, False]
    assert [request.outcome.reason for request in queue[2:]] == [RejectReason.CROWDED] * 2
    running.go.set()  # then the queue moves
    await run_steps(3)
    gate.shed_queue()
    await run_steps(3)
    assert queue[0].runs and queue[1].waits
    for request in queue[:2]:
        request.go.set()
    await asyncio.gather(running.task, *(request.task for request in queue))
    assert nothing_is_left(harness)
