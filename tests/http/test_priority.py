"""RFC 9218: parsing priorities, and the order of streams."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http.priority import DEFAULT, Priority, SendOrder, parse


@pytest.mark.parametrize(
    ("text", "urgency", "incremental"),
    [
        (None, 3, True),  # no priority: freight's default, incremental
        ("", 3, False),  # section 4.1 and 4.2: the defaults
        ("u=0", 0, False),
        ("u=7, i", 7, True),
        ("i", 3, True),
        ("i=?1", 3, True),
        ("i=?0", 3, False),
        ("u=1,i,x=2;a=b", 1, True),
        ("u=8", 3, False),  # section 4: outside its range is ignored
        ("u=-1, i=7", 3, False),
        ("u=1;p=2", 1, False),
        ("u=1, u=5", 5, False),  # RFC 8941 section 3.2: the last counts
        ("\xff", 3, False),
    ],
)
def test_a_priority_is_parsed_and_unknown_members_are_ignored(
    text: str | None, urgency: int, incremental: bool
) -> None:
    assert parse(text) == Priority(urgency, incremental)


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    assert 0 <= parse(text).urgency <= 7


def take(made: SendOrder) -> int | None:
    """Serve the next stream."""
    number = made.first()
    assert made.first() == number
    if number is not None:
        made.rotate(number)
    return number


def turns(count: int, **priorities: Priority) -> list[int | None]:
    made = SendOrder()
    for name, priority in priorities.items():
        made.add(int(name[1:]), priority)
    return [take(made) for _ in range(count)]


def test_equals_are_served_round_robin() -> None:
    assert turns(6, _1=DEFAULT, _2=DEFAULT, _3=DEFAULT) == [1, 2, 3, 1, 2, 3]


def test_the_more_urgent_is_served_first() -> None:
    assert turns(2, _1=DEFAULT, _2=Priority(1, True)) == [2, 2]


def test_non_incremental_streams_are_served_one_after_another_beside_the_others() -> None:
    assert turns(4, _5=Priority(3, False), _3=Priority(3, False), _1=DEFAULT) == [3, 1, 3, 1]


def test_a_removed_stream_is_not_served() -> None:
    made = SendOrder()
    assert take(made) is None and not made
    made.add(1, DEFAULT)
    made.add(2, Priority(0, False))
    assert made.more_urgent(3) and not made.more_urgent(0)
    made.remove(2)
    made.remove(2)
    assert take(made) == 1 and not made.more_urgent(3)
    made.add(1, Priority(5, False))
    assert take(made) == 1 and made.more_urgent(6) and not made.more_urgent(5)
    made.remove(1)
    assert not made


priorities = st.builds(Priority, st.integers(0, 7), st.booleans())


@given(st.lists(st.tuples(st.integers(1, 6), st.one_of(st.none(), priorities)), max_size=30))
def test_the_most_urgent_share_evenly_while_streams_come_and_go(steps: list[tuple[int, Priority | None]]) -> None:
    made, known = SendOrder(), dict[int, Priority]()
    for number, priority in steps:
        take(made)
        if priority is None:
            made.remove(number)
            known.pop(number, None)
        else:
            made.add(number, priority)
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
