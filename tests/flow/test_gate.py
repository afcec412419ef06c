"""Who may run: slots are neither lost nor given twice, turns go round the clients, small answers have a lane."""

# ruff: noqa: ASYNC110 - the conditions are other tasks' doing, and each look is one turn of the loop
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepped import House, turns

from freight.core.retry import MOST_SECONDS
from freight.errors import PeerGone
from freight.flow.budget import Budget
from freight.flow.gate import EXPRESS_BYTES, Lane, Slot, lane_of
from freight.model import Refusal, Refused

HUGE = 1 << 40
SMALL = 1000

Make = Callable[..., Any]
Run = Callable[[Callable[[], Any]], None]


class Visit:
    """A request at the gate: enters, keeps its slot until it is let go, and leaves."""

    def __init__(self, house: House, sink: Any, client: str = "192.0.2.1", length: int | None = HUGE, **about: Any):
        self.sink = sink
        self.client = client
        self.outcome: Any = None
        self.go = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run(house, length, about.get("produced", False)))

    async def _run(self, house: House, length: int | None, produced: bool) -> None:
        async with house.gate.slot(self.client, length, produced, self.sink) as slot:
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
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes houses with so many slots of each kind, whatever their memory has room for."""

    def make(slots: int, express_slots: int = 1, **terms: Any) -> Any:
        house = House(**terms)
        house.budget.slots, house.budget.express_slots = slots, express_slots
        return house

    return make


def nothing_is_left(house: House) -> bool:
    budget, counts = house.budget, house.gate.statistics()
    assert (counts.running, counts.express_running, counts.waiting) == (0, 0, 0)
    assert (budget.running, budget.waiting, budget.producers, budget.express) == (0, 0, 0, 0)
    assert (budget.lent, len(budget._borrowers)) == (0, 0)
    assert (len(house.transfers.rounds), house.gate._of_client, house.loop.timers) == (0, {}, [])
    return True


@pytest.mark.parametrize(
    ("length", "produced", "lane"),
    [
        (0, False, Lane.EXPRESS),
        (EXPRESS_BYTES, False, Lane.EXPRESS),
        (EXPRESS_BYTES + 1, False, Lane.ORDINARY),
        (None, False, Lane.ORDINARY),
        (None, True, Lane.EXPRESS),
        (HUGE, True, Lane.EXPRESS),
    ],
)
def test_small_answers_and_listings_go_by_the_express_lane(length: int | None, produced: bool, lane: Lane) -> None:
    assert lane_of(length, produced) is lane


def test_who_finds_a_slot_free_does_not_wait(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(1)
        visit = Visit(house, make_sink())
        await turns(1)
        assert visit.runs and visit.outcome.waited_seconds == 0.0
        visit.go.set()
        await visit.task
        assert nothing_is_left(house)

    run(main)


@pytest.mark.parametrize("error", [None, OSError("bad disk"), asyncio.CancelledError()])
def test_a_slot_is_given_back_however_it_is_left(run: Run, make_sink: Make, error: BaseException | None) -> None:
    async def main() -> None:
        house = House()

        async def visit() -> None:
            async with house.gate.slot("192.0.2.1", HUGE, False, make_sink()):
                assert house.budget.running == 1
                if error is not None:
                    raise error

        outcome = (await asyncio.gather(visit(), return_exceptions=True))[0]
        assert type(outcome) is type(error)
        assert nothing_is_left(house)

    run(main)


def test_turns_go_round_the_clients(run: Run, narrow: Make, make_sink: Make) -> None:
    """One with five connections gets as many turns as one with one."""

    async def main() -> None:
        house = narrow(1)
        first = Visit(house, make_sink(), "192.0.2.9")
        await turns(1)
        visits = [Visit(house, make_sink(), client) for client in ["192.0.2.1"] * 5 + ["192.0.2.2", "192.0.2.3"]]
        await turns()
        order, running = [], first
        for _ in visits:
            running.go.set()
            await turns()
            (running,) = [visit for visit in visits if visit.runs]
            order.append(running.client[-1])
        assert order == ["1", "2", "3", "1", "1", "1", "1"]
        running.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_a_client_has_no_more_slots_than_its_share_and_keeps_no_other_from_a_free_one(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(4, per_client=2, queue=3)
        greedy = [Visit(house, make_sink(), "192.0.2.1") for _ in range(5)]
        await turns()
        assert [visit.runs for visit in greedy] == [True, True, False, False, False]
        other = Visit(house, make_sink(), "192.0.2.2")  # though the line is full: it needs no place in it
        await turns()
        assert other.runs
        greedy[0].go.set()
        await turns()
        assert [visit.runs for visit in greedy] == [False, True, True, False, False]
        for visit in [*greedy, other]:
            visit.go.set()
        await turns(30)
        assert nothing_is_left(house)

    run(main)


@pytest.mark.parametrize(("length", "produced"), [(SMALL, False), (None, True)])
def test_small_answers_and_listings_never_wait_for_the_huge_ones_slots(
    run: Run, narrow: Make, make_sink: Make, length: int | None, produced: bool
) -> None:
    async def main() -> None:
        house = narrow(2)
        huge = [Visit(house, make_sink(), f"192.0.2.{n}") for n in range(5)]
        await turns()
        small = Visit(house, make_sink(), "192.0.2.77", length, produced=produced)
        await turns()
        assert small.runs
        for visit in [*huge, small]:
            visit.go.set()
        await turns(30)
        assert nothing_is_left(house)

    run(main)


def test_small_answers_have_ordinary_slots_too_but_only_while_nobody_waits_for_one(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(3, express_slots=1)
        small = [Visit(house, make_sink(), "192.0.2.1", SMALL) for _ in range(3)]
        huge = [Visit(house, make_sink(), "192.0.2.2") for _ in range(2)]
        await turns()
        assert [visit.runs for visit in small + huge] == [True, True, True, True, False]
        late = Visit(house, make_sink(), "192.0.2.3", SMALL)
        await turns()
        assert not late.runs
        small[0].go.set()  # an ordinary slot is free by that, and it is for who waits for one
        await turns()
        assert (huge[1].runs, late.runs) == (True, False)
        small[1].go.set()
        small[2].go.set()
        await turns()
        assert late.runs
        for visit in [*huge, late]:
            visit.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_a_listing_that_waits_for_a_producers_memory_keeps_no_small_answer_waiting(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(8, express_slots=4, memory_bytes=500_000)
        listings = [Visit(house, make_sink(), f"192.0.2.{n}", None, produced=True) for n in range(5)]
        await turns()
        assert [visit.runs for visit in listings] == [house.budget.producers > n for n in range(5)]
        assert not listings[-1].runs
        small = Visit(house, make_sink(), "192.0.2.77", SMALL)
        await turns()
        assert small.runs
        listings[0].go.set()
        await turns()
        assert [visit.runs for visit in listings].count(True) == house.budget.producers
        for visit in [*listings, small]:
            visit.go.set()
        await turns(30)
        assert nothing_is_left(house)

    run(main)


@pytest.mark.parametrize(("first", "second"), [("small", "listing"), ("listing", "small")])
def test_listings_and_small_answers_that_wait_for_the_same_slot_take_turns(
    run: Run, narrow: Make, make_sink: Make, first: str, second: str
) -> None:
    async def main() -> None:
        house = narrow(0, express_slots=1)
        running = Visit(house, make_sink(), "192.0.2.9", SMALL)
        await turns()
        kinds = {"small": (SMALL, False), "listing": (None, True)}
        visits = []
        for name in [first, first, first, second, second]:
            length, produced = kinds[name]
            visits.append((name, Visit(house, make_sink(), f"192.0.2.{len(visits)}", length, produced=produced)))
        await turns()
        order = []
        for _ in visits:
            running.go.set()
            await turns()
            ((name, running),) = [(name, visit) for name, visit in visits if visit.runs]
            order.append(name)
        assert order[:4].count("small") == order[:4].count("listing") == 2
        running.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_who_waits_costs_a_place_and_is_told_to_come_back_when_there_is_none(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(1, queue=2)
        visits = [Visit(house, make_sink(), f"192.0.2.{n}") for n in range(4)]
        await turns()
        assert [visit.outcome is None for visit in visits] == [False, True, True, False]
        refused = visits[3].outcome
        assert isinstance(refused, Refused) and refused.why is Refusal.FULL
        assert 1 <= refused.retry_seconds <= MOST_SECONDS
        assert (house.budget.waiting, house.gate.waiting) == (2, 2)
        assert house.meter.statistics().refused_total == 1
        for visit in visits:
            visit.go.set()
        await turns(30)
        assert nothing_is_left(house)

    run(main)


def test_a_line_is_full_for_who_fills_it(run: Run, narrow: Make, make_sink: Make) -> None:
    """One with a place more than a newcomer gives up its last; who would have as many as the most is refused."""

    async def main() -> None:
        house = narrow(1, queue=4)
        greedy = [Visit(house, make_sink()) for _ in range(6)]
        await turns()
        assert [visit.waits for visit in greedy] == [False, True, True, True, True, False]
        others = [Visit(house, make_sink(), f"192.0.2.{n}") for n in (2, 3, 4, 5)]
        await turns()
        assert [visit.waits for visit in greedy] == [False, True, False, False, False, False]
        assert [visit.waits for visit in others] == [True, True, True, False]
        for visit in (*greedy[2:], others[-1]):
            assert isinstance(visit.outcome, Refused) and visit.outcome.why is Refusal.FULL
        small = Visit(house, make_sink(), length=SMALL)
        await turns()
        assert small.runs  # by the express lane
        for visit in (*greedy, *others, small):
            visit.go.set()
        await turns(40)
        assert nothing_is_left(house)

    run(main)


def test_without_a_line_who_finds_no_slot_is_refused_at_once(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(1, queue=0)
        visits = [Visit(house, make_sink()) for _ in range(2)]
        await turns(2)
        assert visits[0].runs
        assert visits[1].outcome.why is Refusal.FULL
        visits[0].go.set()
        await turns()
        third = Visit(house, make_sink())
        await turns()
        assert third.runs
        third.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_who_waits_too_long_is_refused_and_gives_up_its_place(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(1, max_wait_seconds=30.0)
        running, waiting = Visit(house, make_sink()), Visit(house, make_sink())
        await turns()
        house.loop.put_forward(29.9)
        await turns()
        assert (waiting.outcome, round(house.gate.statistics().oldest_wait_seconds, 3)) == (None, 29.9)
        house.loop.put_forward(0.2)
        await turns()
        assert waiting.outcome.why is Refusal.LATE
        assert 1 <= waiting.outcome.retry_seconds <= MOST_SECONDS
        assert (house.gate.waiting, house.budget.waiting) == (0, 0)
        assert house.meter.statistics().waiting_seconds == pytest.approx(30.1, abs=0.11)
        running.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def reasons(house: House) -> dict[str, int]:
    """How many wait for each reason; none for those that are not in it."""
    found = house.gate.statistics()
    assert sum(found.waiting_by_reason.values()) == found.waiting
    return {reason: count for reason, count in found.waiting_by_reason.items() if count}


def test_who_waits_is_listed_in_the_order_of_turns_with_place_time_and_reason(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(2, per_client=1)
        running = Visit(house, make_sink(), "192.0.2.1")
        own = [Visit(house, make_sink(), "192.0.2.1") for _ in range(2)]  # may not run beside the first of its client
        await turns()
        assert reasons(house) == {"per-client": 2}
        other = Visit(house, make_sink(), "192.0.2.2")
        await turns()
        house.loop.put_forward(3.0)
        late = Visit(house, make_sink(), "192.0.2.3")
        await turns()
        assert other.runs and reasons(house) == {"per-client": 2, "slots": 1}
        listed = [(each.sink, each.seconds, each.place, each.reason.value) for each in house.gate.waiters(10)]
        assert listed == [
            (own[0].sink, 3.0, 1, "per-client"),
            (late.sink, 0.0, 2, "slots"),
            (own[1].sink, 3.0, 3, "per-client"),
        ]
        assert [each.place for each in house.gate.waiters(2)] == [1, 2]
        house.loop.put_forward(1.0)
        assert house.gate.waiting_seconds() == pytest.approx(4.0 + 4.0 + 1.0)
        for visit in (running, *own, other, late):
            visit.go.set()
        await turns(30)
        assert nothing_is_left(house) and house.gate.waiting_seconds() == 0
        assert house.meter.statistics().waiting_seconds == pytest.approx(9.0)

    run(main)


def test_what_is_waited_for_is_named_by_what_the_gate_decides(
    run: Run, narrow: Make, make_sink: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        house = narrow(2, express_slots=1)
        visits = [Visit(house, make_sink()) for _ in range(2)]
        await turns()

        async def come(**about: Any) -> dict[str, int]:
            visits.append(Visit(house, make_sink(), **about))
            await turns()
            return reasons(house)

        assert await come() == {"slots": 1}
        small = Visit(house, make_sink(), length=SMALL)
        await turns()
        assert small.runs
        assert await come(length=SMALL) == {"slots": 1, "express": 1}
        monkeypatch.setattr(Budget, "can_run", lambda *_, **__: False)
        visits[0].go.set()
        await turns()
        assert reasons(house) == {"memory": 1, "express": 1}
        assert await come(length=None, produced=True) == {"memory": 1, "express": 2}
        monkeypatch.setattr(Budget, "can_run", lambda *_, produced=False, **__: not produced)
        house.gate.crowded = True
        visits[3].go.set()  # the other small one: it has its turn, and ends
        small.go.set()
        await turns(20)
        assert reasons(house) == {"connections": 1, "listings": 1}
        monkeypatch.undo()
        house.gate.crowded = False
        house.gate.call_next()
        await turns(20)
        for visit in (*visits, small):
            visit.go.set()
        await turns(40)
        assert nothing_is_left(house)

    run(main)


def test_a_refusal_has_the_reason_and_the_numbers_it_comes_from(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(2, queue=1, per_client=1, max_wait_seconds=30.0)
        running, waiting = Visit(house, make_sink(), "192.0.2.1"), Visit(house, make_sink(), "192.0.2.1")
        await turns()
        refused = Visit(house, make_sink(), "192.0.2.1")
        other = Visit(house, make_sink(), "192.0.2.2")
        await turns()
        third = Visit(house, make_sink(), "192.0.2.3")
        await turns()
        found = refused.outcome
        assert (found.words, found.running, found.most, found.waiting) == ("queue-full:per-client", 1, 1, 1)
        assert other.runs
        found = third.outcome
        assert (found.words, found.running, found.waiting) == ("queue-full:slots", 2, 1)
        house.loop.put_forward(30.1)
        await turns()
        found = waiting.outcome
        assert (found.words, found.running, found.waiting) == ("max-wait:per-client", 1, 0)
        assert found.waited_seconds == pytest.approx(30.1)
        counts = house.meter.statistics()
        assert (counts.refused["per-client"], counts.refused["slots"], counts.expired) == (2, 1, 1)
        for visit in (running, other):
            visit.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_what_a_slot_was_waited_for_is_told_with_it(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(1)
        running, waiting = Visit(house, make_sink()), Visit(house, make_sink())
        await turns()
        house.loop.put_forward(12.5)
        running.go.set()
        await turns()
        assert waiting.outcome.waited_seconds == 12.5
        waiting.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_when_the_server_stops_who_waits_and_who_would_is_told_so(run: Run, narrow: Make, make_sink: Make) -> None:
    """Who finds a slot free is still served: its request was under way."""

    async def main() -> None:
        house = narrow(1)
        visits = [Visit(house, make_sink(), f"192.0.2.{n}") for n in range(3)]
        await turns()
        house.gate.drain()
        await turns()
        late = Visit(house, make_sink())
        await turns()
        for visit in [*visits[1:], late]:
            assert (visit.outcome.why, visit.outcome.retry_seconds) == (Refusal.DRAINING, 5)
        visits[0].go.set()
        await turns()
        last = Visit(house, make_sink())
        await turns()
        assert last.runs
        last.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_a_client_that_goes_away_while_it_waits_is_noticed_at_once(run: Run, narrow: Make, make_sink: Make) -> None:
    async def main() -> None:
        house = narrow(1)
        running, waiting = Visit(house, make_sink()), Visit(house, make_sink())
        await turns()
        waiting.sink.peer.close()
        with pytest.raises(PeerGone):
            await waiting.task
        assert house.gate.waiting == 0
        running.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_a_turn_that_comes_to_who_was_cancelled_in_that_instant_is_the_next_ones(
    run: Run, narrow: Make, make_sink: Make
) -> None:
    async def main() -> None:
        house = narrow(1)
        running, waiting, third = (Visit(house, make_sink(), f"192.0.2.{n}") for n in range(3))
        await turns()
        running.go.set()
        while not running.task.done():
            await asyncio.sleep(0)
        assert (waiting.outcome, house.budget.running) == (None, 1)  # the turn is the second's, who does not know yet
        waiting.task.cancel()
        await turns()
        assert (waiting.task.cancelled(), third.runs, house.budget.running) == (True, True, 1)
        third.go.set()
        await turns()
        assert nothing_is_left(house)

    run(main)


def test_a_long_line_is_not_asked_one_by_one_whether_there_is_memory(
    run: Run, make_sink: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such question may look at hundreds of loans; the answer is the same for all who stand in a line."""

    async def main() -> None:
        house = House(memory_bytes=20_000_000)
        running = Visit(house, make_sink())
        await turns()
        while house.budget.can_run():
            house.budget.opened()
        visits = [Visit(house, make_sink(), f"192.0.2.{n}") for n in range(20)]
        await turns()
        assert house.gate.waiting == 20
        asked = []
        fits = Budget.can_run
        monkeypatch.setattr(Budget, "can_run", lambda *args, **about: asked.append(1) or fits(*args, **about))
        house.gate.call_next()
        assert len(asked) <= len(house.gate._lines)
        for visit in [running, *visits]:
            visit.task.cancel()
        await turns()
        assert nothing_is_left(house)

    run(main)


class Crowd:
    """Requests of three clients that come, run, are cancelled, go away and grow old, step by step."""

    def __init__(self, house: Any, make_sink: Make) -> None:
        self.house = house
        self.make_sink = make_sink
        self.visits: list[Visit] = []

    def among(self, number: int, found: Callable[[Visit], bool]) -> Visit | None:
        those = [visit for visit in self.visits if found(visit)]
        return those[number % len(those)] if those else None

    def enter(self, number: int, length: int | None) -> None:
        if len(self.visits) < 20:
            client = f"192.0.2.{number % 3}"
            self.visits.append(Visit(self.house, self.make_sink(), client, length, produced=length is None))

    def leave(self, number: int) -> None:
        if visit := self.among(number, lambda visit: visit.runs):
            visit.go.set()

    def cancel(self, number: int) -> None:
        if visit := self.among(number, lambda visit: not visit.task.done()):
            visit.task.cancel()

    async def swap(self, number: int) -> None:
        """A slot is given back, and whoever may have its turn by that is cancelled before it knows."""
        if visit := self.among(number, lambda visit: visit.runs):
            visit.go.set()
            while not visit.task.done():
                await asyncio.sleep(0)
            if other := self.among(number, lambda visit: visit.waits):
                other.task.cancel()

    def gone(self, number: int) -> None:
        if visit := self.among(number, lambda visit: not visit.task.done()):
            visit.sink.peer.close()

    async def step(self, what: str, number: int, length: int | None) -> None:
        if what == "enter":
            self.enter(number, length)
        elif what == "later":
            self.house.loop.put_forward(number / 10)
        elif what == "swap":
            await self.swap(number)
        else:
            getattr(self, what)(number)
        await turns(8)

    def check(self, slots: int, express: int, queue: int, per_client: int | None) -> None:
        house, running = self.house, [visit for visit in self.visits if visit.runs]
        huge = [visit.client for visit in running if visit.outcome.lane is Lane.ORDINARY]
        waiting = sum(visit.waits for visit in self.visits)
        before = house.gate.statistics()
        assert before.running == house.budget.running == len(running) <= slots + express
        assert len(huge) <= slots
        assert all(huge.count(client) <= (per_client or slots) for client in huge)
        assert before.waiting == house.budget.waiting == len(house.transfers.rounds) == waiting <= queue
        house.gate.call_next()
        after = house.gate.statistics()  # nobody waits who may run; the reason is as old as the last look
        assert replace(after, waiting_by_reason=before.waiting_by_reason) == before
        assert sum(after.waiting_by_reason.values()) == after.waiting

    async def end(self) -> None:
        while pending := [visit for visit in self.visits if not visit.task.done()]:
            for visit in pending:
                visit.go.set()
            self.house.loop.put_forward(1.0)
            await turns(8)
        await asyncio.gather(*(visit.task for visit in self.visits), return_exceptions=True)
        assert nothing_is_left(self.house)
        self.house.transfers.close()
        for visit in self.visits:
            visit.sink.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "leave", "leave", "cancel", "swap", "gone", "later"]),
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
def test_no_slot_is_lost_or_given_twice_and_nobody_waits_who_may_run(
    run: Run, narrow: Make, make_sink: Make, steps: Any, limits: tuple[int, int, int, int | None], drains: bool
) -> None:
    async def main() -> None:
        slots, express, queue, per_client = limits
        house = narrow(slots, express, queue=queue, per_client=per_client, max_wait_seconds=10.0)
        crowd = Crowd(house, make_sink)
        for what, number, length in steps:
            await crowd.step(what, number, length)
            crowd.check(*limits)
        if drains:
            house.gate.drain()
        await crowd.end()

    run(main)


def test_a_line_that_stands_is_shortened_and_one_that_moves_is_not(run: Run, narrow: Make, make_sink: Make) -> None:
    """Half of it each time, those who came last: more connections come than there is memory for."""

    async def main() -> None:
        house = narrow(1)
        gate, loop = house.gate, house.loop
        runs, *line = [Visit(house, make_sink()) for _ in range(5)]
        await turns(3)
        for taken in (10_000, 3_000, 1_500):  # more than 1 KiB a second each
            loop.put_forward(1.0)
            gate.progressed(taken)
            gate.shorten()
        loop.put_forward(0.5)
        gate.progressed(0)
        gate.shorten()  # it is too soon to say
        await turns(3)
        assert runs.runs and all(visit.waits for visit in line)
        loop.put_forward(0.5)
        gate.progressed(400)
        gate.shorten()
        await turns(3)
        assert [visit.waits for visit in line] == [True, True, False, False]
        assert [visit.outcome.why for visit in line[2:]] == [Refusal.CROWDED] * 2
        runs.go.set()  # and then it moves
        await turns(3)
        gate.shorten()
        await turns(3)
        assert line[0].runs and line[1].waits
        for visit in line[:2]:
            visit.go.set()
        await asyncio.gather(runs.task, *(visit.task for visit in line))
        assert nothing_is_left(house)

    run(main)
