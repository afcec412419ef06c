"""Whose turn it is: round robin over keys, first come first served within a key, whoever comes and goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freight.core.line import Key, Line


def anyone(_: Key) -> bool:
    return True


def but(*keys: Key) -> Callable[[Key], bool]:
    return lambda key: key not in keys


def line_of(joins: str) -> Line[str]:
    """A line into which tickets have come in this order, written ``a1 a2 b1``: a key, and its ticket's number."""
    line: Line[str] = Line()
    for ticket in joins.split():
        line.join(ticket[0], ticket)
    return line


def turns(line: Line[str], eligible: Callable[[Key], bool] = anyone) -> str:
    """The tickets in the order in which they are taken, until none is."""
    taken: list[str] = []
    while (found := line.pop(eligible)) is not None:
        assert found[0] == found[1][0]
        taken.append(found[1])
    return " ".join(taken)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), unique=True), st.integers(0, 12))
def test_the_order_of_turns_can_be_looked_at_without_taking_any(joins: list[tuple[str, int]], most: int) -> None:
    line = line_of(" ".join(f"{key}{number}" for key, number in joins))
    looked = [ticket for _, ticket in line.turns(most)]
    assert dict(line.counts()) == {key: line.count(key) for key, _ in joins}
    assert looked == turns(line).split()[:most]


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
def test_turns_go_round_the_keys_and_within_a_key_by_arrival(joins: str, order: str) -> None:
    line = line_of(joins)
    assert turns(line) == order
    assert (len(line), line.pop(anyone), line.oldest()) == (0, None, None)


def test_a_client_with_sixty_four_tickets_and_a_client_with_one_have_turns_alike() -> None:
    line = line_of(" ".join(f"a{at}" for at in range(64)) + " b0")
    assert [line.pop(anyone), line.pop(anyone), line.pop(anyone)] == [("a", "a0"), ("b", "b0"), ("a", "a1")]


def test_a_key_that_is_skipped_keeps_its_turn() -> None:
    line = line_of("a1 a2 b1 b2 c1")
    assert line.pop(but("a", "b")) == ("c", "c1")
    assert line.pop(but("a", "b")) is None
    assert line.pop(but("a")) == ("b", "b1")
    assert turns(line) == "a1 b2 a2"


def test_a_turn_that_was_kept_is_one_however_often_it_was_skipped() -> None:
    line = line_of("a1 a2 a3 b1 b2 b3 b4")
    assert [line.pop(but("a")), line.pop(but("a"))] == [("b", "b1"), ("b", "b2")]
    assert turns(line) == "a1 b3 a2 b4 a3"


def test_who_may_run_is_asked_in_the_order_of_turns_and_no_further_than_needed() -> None:
    line, asked = line_of("a1 a2 b1 c1"), []

    def second(key: Key) -> bool:
        asked.append(key)
        return key == "b"

    assert line.pop(second) == ("b", "b1")
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
def test_who_goes_away_frees_the_place_at_once_and_the_key_keeps_its_turn(gone: str, order: str) -> None:
    line = line_of("a1 a2 a3 b1 b2")
    for ticket in gone.split():
        assert line.leave(ticket[0], ticket)
    assert len(line) == len(order.split())
    assert turns(line) == order


def test_a_key_that_leaves_and_joins_again_stands_at_the_end() -> None:
    line = line_of("a1 b1 c1")
    assert line.leave("a", "a1")
    line.join("a", "a2")
    assert turns(line) == "b1 c1 a2"


def test_a_key_that_had_its_turn_and_joins_again_stands_at_the_end() -> None:
    line = line_of("a1 b1 c1")
    assert line.pop(anyone) == ("a", "a1")
    line.join("a", "a2")
    assert turns(line) == "b1 c1 a2"


def test_who_is_not_there_cannot_leave_and_nothing_happens() -> None:
    line = line_of("a1 b1")
    assert [line.leave("a", "b1"), line.leave("c", "c1"), line.leave("a", "a2")] == [False, False, False]
    assert line.pop(anyone) == ("a", "a1")
    assert not line.leave("a", "a1")
    assert turns(line) == "b1"


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_ticket_is_in_the_line_once(key: str) -> None:
    line = line_of("a1 b1")
    with pytest.raises(ValueError, match="once"):
        line.join(key, "a1")
    assert turns(line) == "a1 b1"


@pytest.mark.parametrize(
    ("joins", "key", "place"),
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
def test_a_newcomers_place_is_how_many_turns_are_before_its_own(joins: str, key: str, place: int) -> None:
    assert line_of(joins).place(key) == place


def test_the_oldest_is_who_came_first_whosever_turn_it_is() -> None:
    line = line_of("a1 a2 b1 c1")
    assert line.pop(but("a", "b")) == ("c", "c1")
    assert line.oldest() == ("a", "a1")
    assert line.leave("a", "a1")
    assert line.oldest() == ("a", "a2")


def test_nothing_is_left_of_who_is_gone() -> None:
    line: Line[int] = Line()
    for number in range(1000):
        line.join(f"key {number}", number)
        line.join("always", -number - 1)
    for number in range(0, 1000, 2):
        line.leave(f"key {number}", number)
    while line.pop(anyone) is not None:
        pass
    assert not (line._ring or line._arrivals or line._deeper)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 5))
def test_of_keys_that_always_wait_each_has_one_turn_in_any_round(extra: list[int], count: int) -> None:
    """Whatever else they bring along: in any ``count`` turns in a row each of ``count`` keys has exactly one."""
    line: Line[int] = Line()
    tickets = iter(range(10**6))
    for key in [*range(count), *(key % count for key in extra)]:
        line.join(f"key {key}", next(tickets))
    taken: list[Key] = []
    for _ in range(4 * count):
        found = line.pop(anyone)
        assert found is not None
        taken.append(found[0])
        line.join(found[0], next(tickets))
    for at in range(len(taken) - count + 1):
        assert len(set(taken[at : at + count])) == count


class AgainstAListOfAll(RuleBasedStateMachine):
    """The line against one that is a list: of keys in the order of their turns, each with a list of tickets."""

    keys = st.sampled_from("abcde")
    banned = st.sets(keys, max_size=4)

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line()
        self.model: list[tuple[str, list[int]]] = []
        self.next_ticket = 0

    def tickets(self, key: str) -> list[int]:
        return next((tickets for other, tickets in self.model if other == key), [])

    @rule(key=keys)
    def join(self, key: str) -> None:
        self.line.join(key, self.next_ticket)
        if not self.tickets(key):
            self.model.append((key, []))
        self.tickets(key).append(self.next_ticket)
        self.next_ticket += 1

    @rule(key=keys, at=st.integers(0, 20))
    def leave(self, key: str, at: int) -> None:
        tickets = self.tickets(key)
        ticket = tickets[at % len(tickets)] if tickets else -1
        assert self.line.leave(key, ticket) is bool(tickets)
        self.model = [(other, [one for one in tickets if one != ticket]) for other, tickets in self.model]
        self.model = [(other, tickets) for other, tickets in self.model if tickets]

    @rule(banned=banned)
    def pop(self, banned: set[str]) -> None:
        assert self.line.pop(lambda key: key not in banned) == self.take(self.model, banned)

    @precondition(lambda self: self.model)
    @rule()
    def pop_any(self) -> None:
        assert self.line.pop(anyone) == self.take(self.model, set())

    @staticmethod
    def take(model: list[tuple[str, list[int]]], banned: set[str]) -> tuple[str, int] | None:
        for at, (key, (first, *rest)) in enumerate(model):
            if key not in banned:
                del model[at]
                if rest:
                    model.append((key, rest))
                return key, first
        return None

    def turns_before_a_newcomer(self, key: str) -> int:
        model = [(other, list(tickets)) for other, tickets in self.model]
        if not self.tickets(key):
            model.append((key, []))
        next(tickets for other, tickets in model if other == key).append(-1)
        turns = 0
        while self.take(model, set()) != (key, -1):
            turns += 1
        return turns

    @invariant()
    def there_are_as_many_as_in_the_list(self) -> None:
        assert len(self.line) == sum(len(tickets) for _, tickets in self.model)

    @invariant()
    def the_oldest_is_the_one_that_came_first(self) -> None:
        first = min(((tickets[0], key) for key, tickets in self.model), default=None)
        assert self.line.oldest() == (None if first is None else (first[1], first[0]))

    @invariant()
    def the_deepest_is_the_newest_of_who_has_the_most(self) -> None:
        most = max((len(tickets) for _, tickets in self.model), default=0)
        assert self.line.depth == most
        found = next(((key, tickets[-1]) for key, tickets in self.model if len(tickets) == most), None)
        assert self.line.deepest() == found
        assert [self.line.count(key) for key in "abcde"] == [len(self.tickets(key)) for key in "abcde"]

    @invariant()
    def a_place_is_the_turns_before_it_or_the_worst_in_its_round(self) -> None:
        for key in "abcde":
            own, before = len(self.tickets(key)), self.turns_before_a_newcomer(key)
            behind = [tickets for other, tickets in self.model if other != key and len(tickets) > own]
            assert before <= self.line.place(key) <= (before + len(behind) if own else before)


TestTheLineAgainstAListOfAll = AgainstAListOfAll.TestCase
