"""The order of turns: round-robin over keys, first in first out within a key, while tickets join and leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freight.fair_queue import FairQueue, Key


def any_key(_: Key) -> bool:
    return True


def but(*keys: Key) -> Callable[[Key], bool]:
    return lambda key: key not in keys


def queue_of(joins: str) -> FairQueue[str]:
    """Return a queue that tickets have joined in this order, written ``a1 a2 b1``: a key and its ticket's number."""
    queue: FairQueue[str] = FairQueue()
    for ticket in joins.split():
        queue.join(ticket[0], ticket)
    return queue


def turns(queue: FairQueue[str], eligible: Callable[[Key], bool] = any_key) -> str:
    """Pop tickets until none is eligible, and return them in this order."""
    popped: list[str] = []
    while (found := queue.pop(eligible)) is not None:
        assert found[0] == found[1][0]
        popped.append(found[1])
    return " ".join(popped)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), unique=True), st.integers(0, 12))
def test_the_order_of_turns_can_be_read_without_a_pop(joins: list[tuple[str, int]], most: int) -> None:
    queue = queue_of(" ".join(f"{key}{number}" for key, number in joins))
    read = [ticket for _, ticket in queue.in_order(most)]
    assert dict(queue.counts()) == {key: queue.count(key) for key, _ in joins}
    assert read == turns(queue).split()[:most]


@pytest.mark.parametrize(
    ("joins", "order"),
    [
        ("", ""),
        ("a1", "a1"),
        ("a1 a2 a3", "a1 a2 a3"),
        ("a1 b1 c1", "a1 b1 c1"),
        ("a1 a2 a3 b1", "a1 b1 a2 a3"),
        ("a1 a2 a3 b1 c1 c2", "a1 b1 c1 a2 c2 a3"),
        ("a1 b1 a2 b2 c1", "a1 b1 c1 a2 b2"),
    ],
)
def test_turns_are_round_robin_over_keys_and_within_a_key_by_arrival(joins: str, order: str) -> None:
    queue = queue_of(joins)
    assert turns(queue) == order
    assert (len(queue), queue.pop(any_key), queue.oldest()) == (0, None, None)


def test_a_client_with_64_tickets_has_as_many_turns_as_a_client_with_one() -> None:
    queue = queue_of(" ".join(f"a{at}" for at in range(64)) + " b0")
    assert [queue.pop(any_key), queue.pop(any_key), queue.pop(any_key)] == [("a", "a0"), ("b", "b0"), ("a", "a1")]


def test_a_skipped_key_keeps_its_turn() -> None:
    queue = queue_of("a1 a2 b1 b2 c1")
    assert queue.pop(but("a", "b")) == ("c", "c1")
    assert queue.pop(but("a", "b")) is None
    assert queue.pop(but("a")) == ("b", "b1")
    assert turns(queue) == "a1 b2 a2"


def test_a_key_that_is_skipped_twice_has_one_turn_in_front() -> None:
    queue = queue_of("a1 a2 a3 b1 b2 b3 b4")
    assert [queue.pop(but("a")), queue.pop(but("a"))] == [("b", "b1"), ("b", "b2")]
    assert turns(queue) == "a1 b3 a2 b4 a3"


def test_keys_are_checked_in_the_order_of_turns_until_one_is_eligible() -> None:
    queue, asked = queue_of("a1 a2 b1 c1"), []

    def second(key: Key) -> bool:
        asked.append(key)
        return key == "b"

    assert queue.pop(second) == ("b", "b1")
    assert asked == ["a", "b"]


@pytest.mark.parametrize(
    ("gone", "order"),
    [
        ("a1", "a2 b1 a3 b2"),
        ("a2", "a1 b1 a3 b2"),
        ("a3", "a1 b1 a2 b2"),
        ("b1", "a1 b2 a2 a3"),
        ("b1 b2", "a1 a2 a3"),
        ("a1 a2 a3", "b1 b2"),
    ],
)
def test_a_ticket_that_leaves_is_gone_at_once_and_its_key_keeps_its_turn(gone: str, order: str) -> None:
    queue = queue_of("a1 a2 a3 b1 b2")
    for ticket in gone.split():
        assert queue.leave(ticket[0], ticket)
    assert len(queue) == len(order.split())
    assert turns(queue) == order


def test_a_key_that_leaves_and_joins_again_is_last() -> None:
    queue = queue_of("a1 b1 c1")
    assert queue.leave("a", "a1")
    queue.join("a", "a2")
    assert turns(queue) == "b1 c1 a2"


def test_a_key_that_had_its_turn_and_joins_again_is_last() -> None:
    queue = queue_of("a1 b1 c1")
    assert queue.pop(any_key) == ("a", "a1")
    queue.join("a", "a2")
    assert turns(queue) == "b1 c1 a2"


def test_a_ticket_that_is_not_in_the_queue_cannot_leave() -> None:
    queue = queue_of("a1 b1")
    assert [queue.leave("a", "b1"), queue.leave("c", "c1"), queue.leave("a", "a2")] == [False, False, False]
    assert queue.pop(any_key) == ("a", "a1")
    assert not queue.leave("a", "a1")
    assert turns(queue) == "b1"


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_ticket_is_in_the_queue_only_once(key: str) -> None:
    queue = queue_of("a1 b1")
    with pytest.raises(ValueError, match="once"):
        queue.join(key, "a1")
    assert turns(queue) == "a1 b1"


@pytest.mark.parametrize(
    ("joins", "key", "position"),
    [
        ("", "a", 0),
        ("a1 a2 a3", "b", 1),
        ("a1 a2 a3 b1 c1", "d", 3),
        ("a1 a2 a3", "a", 3),
        ("a1 b1 b2 b3", "a", 3),  # a1 b1 [b2 or a2]: the worst in its round
        ("b1 b2 b3 a1", "a", 3),  # b1 a1 b2 a2
        ("a1 a2 b1", "b", 3),  # a1 b1 a2 b2
        ("a1 a2 a3 b1", "a", 4),
    ],
)
def test_the_position_of_a_new_ticket_is_the_number_of_turns_before_its_own(
    joins: str, key: str, position: int
) -> None:
    assert queue_of(joins).position(key) == position


def test_the_oldest_ticket_is_the_first_to_join_in_any_order_of_turns() -> None:
    queue = queue_of("a1 a2 b1 c1")
    assert queue.pop(but("a", "b")) == ("c", "c1")
    assert queue.oldest() == ("a", "a1")
    assert queue.leave("a", "a1")
    assert queue.oldest() == ("a", "a2")
    assert queue.oldest(but("a")) == ("b", "b1")
    assert queue.oldest(but("a", "b", "c")) is None


def test_nothing_is_left_of_a_key_without_tickets() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(1000):
        queue.join(f"key {number}", number)
        queue.join("always", -number - 1)
    for number in range(0, 1000, 2):
        queue.leave(f"key {number}", number)
    while queue.pop(any_key) is not None:
        pass
    assert not (queue._ring or queue._arrivals or queue._longer_than)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 5))
def test_each_key_that_always_waits_has_one_turn_in_each_round(extra: list[int], count: int) -> None:
    """In any ``count`` successive turns each of ``count`` keys has exactly one, however many tickets it has."""
    queue: FairQueue[int] = FairQueue()
    tickets = iter(range(10**6))
    for key in [*range(count), *(key % count for key in extra)]:
        queue.join(f"key {key}", next(tickets))
    popped: list[Key] = []
    for _ in range(4 * count):
        found = queue.pop(any_key)
        assert found is not None
        popped.append(found[0])
        queue.join(found[0], next(tickets))
    for at in range(len(popped) - count + 1):
        assert len(set(popped[at : at + count])) == count


class AgainstAList(RuleBasedStateMachine):
    """Compare the queue with a simple model: a list of keys in the order of turns, each with a list of tickets."""

    keys = st.sampled_from("abcde")
    banned = st.sets(keys, max_size=4)

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.model: list[tuple[str, list[int]]] = []
        self.next_ticket = 0

    def tickets(self, key: str) -> list[int]:
        return next((tickets for other, tickets in self.model if other == key), [])

    @rule(key=keys)
    def join(self, key: str) -> None:
        self.queue.join(key, self.next_ticket)
        if not self.tickets(key):
            self.model.append((key, []))
        self.tickets(key).append(self.next_ticket)
        self.next_ticket += 1

    @rule(key=keys, at=st.integers(0, 20))
    def leave(self, key: str, at: int) -> None:
        tickets = self.tickets(key)
        ticket = tickets[at % len(tickets)] if tickets else -1
        assert self.queue.leave(key, ticket) is bool(tickets)
        self.model = [(other, [one for one in tickets if one != ticket]) for other, tickets in self.model]
        self.model = [(other, tickets) for other, tickets in self.model if tickets]

    @rule(banned=banned)
    def pop(self, banned: set[str]) -> None:
        assert self.queue.pop(lambda key: key not in banned) == self.take(self.model, banned)

    @precondition(lambda self: self.model)
    @rule()
    def pop_any(self) -> None:
        assert self.queue.pop(any_key) == self.take(self.model, set())

    @staticmethod
    def take(model: list[tuple[str, list[int]]], banned: set[str]) -> tuple[str, int] | None:
        for at, (key, (first, *rest)) in enumerate(model):
            if key not in banned:
                del model[at]
                if rest:
                    model.append((key, rest))
                return key, first
        return None

    def turns_before_a_new_ticket(self, key: str) -> int:
        model = [(other, list(tickets)) for other, tickets in self.model]
        if not self.tickets(key):
            model.append((key, []))
        next(tickets for other, tickets in model if other == key).append(-1)
        turns = 0
        while self.take(model, set()) != (key, -1):
            turns += 1
        return turns

    @invariant()
    def the_length_is_that_of_the_model(self) -> None:
        assert len(self.queue) == sum(len(tickets) for _, tickets in self.model)

    @invariant()
    def the_oldest_is_the_first_to_join(self) -> None:
        first = min(((tickets[0], key) for key, tickets in self.model), default=None)
        assert self.queue.oldest() == (None if first is None else (first[1], first[0]))
        others = min(((tickets[0], key) for key, tickets in self.model if key != "a"), default=None)
        assert self.queue.oldest(but("a")) == (None if others is None else (others[1], others[0]))

    @invariant()
    def the_longest_is_the_newest_ticket_of_a_key_with_the_most(self) -> None:
        most = max((len(tickets) for _, tickets in self.model), default=0)
        assert self.queue.max_length == most
        found = next(((key, tickets[-1]) for key, tickets in self.model if len(tickets) == most), None)
        assert self.queue.longest() == found
        assert [self.queue.count(key) for key in "abcde"] == [len(self.tickets(key)) for key in "abcde"]

    @invariant()
    def a_position_is_the_turns_before_it_or_the_worst_of_its_round(self) -> None:
        for key in "abcde":
            own, before = len(self.tickets(key)), self.turns_before_a_new_ticket(key)
            behind = [tickets for other, tickets in self.model if other != key and len(tickets) > own]
            assert before <= self.queue.position(key) <= (before + len(behind) if own else before)


TestAgainstAList = AgainstAList.TestCase
