"""RFC 9218: what a client says of an answer's priority, and whose turn that makes it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.core.priority import DEFAULT, Precedence, Priority, parse


@pytest.mark.parametrize(
    ("text", "urgency", "incremental"),
    [
        (None, 3, True),  # nobody has said anything: they share
        ("", 3, False),  # section 4.1 and 4.2: the defaults
        ("u=0", 0, False),
        ("u=7, i", 7, True),
        ("i", 3, True),
        ("i=?1", 3, True),
        ("i=?0", 3, False),
        ("u=1,i,x=2;a=b", 1, True),
        ("u=8", 3, False),  # section 4: beyond its range is not said
        ("u=-1, i=7", 3, False),
        ("u=1;p=2", 1, False),
        ("u=1, u=5", 5, False),  # RFC 8941 section 3.2: the last counts
        ("\xff", 3, False),
    ],
)
def test_a_priority_is_read_and_what_is_not_understood_is_passed_over(
    text: str | None, urgency: int, incremental: bool
) -> None:
    assert parse(text) == Priority(urgency, incremental)


@given(st.text(max_size=40))
def test_no_text_is_a_surprise(text: str) -> None:
    assert 0 <= parse(text).urgency <= 7


def take(made: Precedence) -> int | None:
    """The next turn, which is had."""
    number = made.first()
    assert made.first() == number
    if number is not None:
        made.had(number)
    return number


def turns(count: int, **priorities: Priority) -> list[int | None]:
    made = Precedence()
    for name, priority in priorities.items():
        made.join(int(name[1:]), priority)
    return [take(made) for _ in range(count)]


def test_equals_go_round() -> None:
    assert turns(6, _1=DEFAULT, _2=DEFAULT, _3=DEFAULT) == [1, 2, 3, 1, 2, 3]


def test_the_more_urgent_goes_first() -> None:
    assert turns(2, _1=DEFAULT, _2=Priority(1, True)) == [2, 2]


def test_those_that_are_of_use_only_whole_go_one_after_another_beside_the_others() -> None:
    assert turns(4, _5=Priority(3, False), _3=Priority(3, False), _1=DEFAULT) == [3, 1, 3, 1]


def test_nobody_has_a_turn_who_cannot_go_on() -> None:
    made = Precedence()
    assert take(made) is None and not made
    made.join(1, DEFAULT)
    made.join(2, Priority(0, False))
    assert made.more_urgent(3) and not made.more_urgent(0)
    made.leave(2)
    made.leave(2)
    assert take(made) == 1 and not made.more_urgent(3)
    made.join(1, Priority(5, False))
    assert take(made) == 1 and made.more_urgent(6) and not made.more_urgent(5)
    made.leave(1)
    assert not made


priorities = st.builds(Priority, st.integers(0, 7), st.booleans())


@given(st.lists(st.tuples(st.integers(1, 6), st.one_of(st.none(), priorities)), max_size=30))
def test_whoever_comes_and_goes_the_most_urgent_share_evenly(steps: list[tuple[int, Priority | None]]) -> None:
    made, known = Precedence(), dict[int, Priority]()
    for number, priority in steps:
        take(made)
        if priority is None:
            made.leave(number)
            known.pop(number, None)
        else:
            made.join(number, priority)
            known[number] = priority
    assert bool(made) == bool(known)
    if not known:
        return
    first = min(priority.urgency for priority in known.values())
    shared = [number for number, priority in known.items() if priority == Priority(first, True)]
    alone = [number for number, priority in known.items() if priority == Priority(first, False)]
    expected = {*shared, *([min(alone)] if alone else [])}
    served = Counter(take(made) for _ in range(4 * len(expected)))
    assert served == dict.fromkeys(expected, 4)
