"""A plan agrees with the server's budget: how many clients run, what they hold, and how fast each can be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freight.errors import ConfigurationError
from freight.memory.budget import LONG_PATH_SECONDS, Budget
from freight.memory.costs import CONNECTION_COST, FAST_WINDOW, TLS_COST, WINDOW_MIN
from freight.memory.division import LEAST_MEMORY
from freight.tools.plan import capacity
from freight.tools.plan.capacity import (
    CLEAR,
    CLIENTS_MAX,
    CapacityQuery,
    CapacityRow,
    answer,
    clients_that_fit,
    least_memory,
    parse_mix,
)

LARGEST = 4 << 20
MB = 1_000_000
EACH = WINDOW_MIN + CONNECTION_COST
memories = st.integers(LEAST_MEMORY, 16 * MB)


def asked(question: CapacityQuery) -> CapacityRow:
    (row,) = [row for row in answer(question) if row.asked]
    return row


def test_20_mb_carry_500() -> None:
    assert clients_that_fit(20 * MB, CLEAR, LARGEST) >= 500
    assert asked(CapacityQuery((500,), (), LARGEST, CLEAR)).memory_bytes <= 20 * MB


@given(memories)
@settings(deadline=None, max_examples=30)
def test_planned_clients_are_at_most_the_slots_and_few_less(memory_bytes: int) -> None:
    """Clients that arrive together wait a moment, which costs memory, so a few slots may stay unused."""
    room = Budget(memory_bytes, LARGEST).division.slots
    assert max(1, room - 4) <= clients_that_fit(memory_bytes, CLEAR, LARGEST) <= room


@given(st.integers(1, 300))
@settings(deadline=None, max_examples=30)
def test_the_proposed_memory_is_enough_and_hardly_more(clients: int) -> None:
    memory_bytes = least_memory(clients, CLEAR, LARGEST)
    assert clients_that_fit(memory_bytes, CLEAR, LARGEST) >= clients
    assert memory_bytes >= clients * EACH
    less = memory_bytes * 93 // 100
    assert less < LEAST_MEMORY or clients_that_fit(less, CLEAR, LARGEST) < clients


@given(memories, st.integers(1, 1000))
@settings(deadline=None, max_examples=30)
def test_held_memory_is_within_the_budget_and_lent_is_at_least_the_least(memory: int, clients: int) -> None:
    row = asked(CapacityQuery((clients,), (memory,), LARGEST, CLEAR))
    assert row.held_least_bytes <= row.held_lent_bytes <= memory
    assert 1 <= row.clients_per_node <= row.slots
    assert row.nodes * row.clients_per_node >= clients > (row.nodes - 1) * row.clients_per_node


@pytest.mark.parametrize(("rtt", "most"), [(None, FAST_WINDOW), (LONG_PATH_SECONDS / 2, FAST_WINDOW), (0.1, LARGEST)])
def test_more_memory_for_as_many_is_larger_windows_up_to_the_fastest_or_the_kernels_largest(
    rtt: float | None, most: int
) -> None:
    """On average seven eighths of a window are full: a queue is refilled when a quarter is free."""
    rows = list(answer(CapacityQuery((100,), (8 * MB, 64 * MB, 512 * MB, 2000 * MB), LARGEST, CLEAR, rtt)))
    windows = [row.window_bytes for row in rows if row.asked]
    assert windows == sorted(windows)
    assert windows[0] < windows[-1] == most * 7 // 8


def test_a_far_client_needs_twice_what_its_share_of_the_link_has_on_its_way() -> None:
    """More memory is useless, and a window is never smaller than the fastest one on a short path."""
    link, rtt = 100 * MB, 0.1
    few, more, many = (asked(CapacityQuery((n,), (1 << 30,), LARGEST, CLEAR, rtt, link)) for n in (10, 20, 200))
    assert few.window_bytes == 2 * rtt * link / 10 * 7 // 8
    assert more.window_bytes == 2 * rtt * link / 20 * 7 // 8
    assert many.window_bytes == FAST_WINDOW * 7 // 8
    assert {row.bound_by for row in (few, more, many)} == {"link"}


def test_in_a_small_memory_few_far_clients_are_fast_and_many_are_slow() -> None:
    """Nothing is reserved for absent clients, so a single client gets all that its path can use."""
    rates = [
        asked(CapacityQuery((n,), (20 * MB,), LARGEST, CLEAR, 0.1)).rate_bytes_per_second or 0
        for n in (1, 4, 20, 100, 500)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == LARGEST * 7 // 8 / 0.1
    assert rates[2] == pytest.approx(20 * MB * 0.8 / 20 / 0.1, rel=0.1)
    assert rates[-1] < 1 * MB


@pytest.mark.parametrize(
    ("rtt", "link", "rate", "bound_by"),
    [
        (None, None, None, None),
        (0.1, None, LARGEST * 7 // 8 / 0.1, "window"),
        (None, 100_000_000, 10_000_000, "link"),
        (0.1, 100_000_000, 10_000_000, "link"),
        (0.1, 1_000_000_000, LARGEST * 7 // 8 / 0.1, "window"),
        (0.001, 10_000_000_000, FAST_WINDOW * 7 // 8 / 0.001, "window"),
    ],
)
def test_a_client_is_as_fast_as_its_window_or_its_share_of_the_link(
    rtt: float | None, link: int | None, rate: float | None, bound_by: str | None
) -> None:
    row = asked(CapacityQuery((10,), (1 << 30,), LARGEST, CLEAR, rtt, link))
    assert (row.rate_bytes_per_second, row.bound_by) == (rate, bound_by)


def test_one_number_has_neighbours_and_several_have_none() -> None:
    assert [(row.clients, row.asked) for row in answer(CapacityQuery((10,), (), LARGEST, CLEAR))] == [
        (5, False),
        (10, True),
        (20, False),
        (40, False),
    ]
    assert [row.clients for row in answer(CapacityQuery((1,), (), LARGEST, CLEAR))] == [1, 2, 4]
    assert [row.clients for row in answer(CapacityQuery((5, 50), (), LARGEST, CLEAR))] == [5, 50]
    assert next(answer(CapacityQuery((), (LEAST_MEMORY,), LARGEST, CLEAR))).memory_bytes == LEAST_MEMORY
    assert len(list(answer(CapacityQuery((5, 50), (MB, 2 * MB), LARGEST, CLEAR)))) == 4


def test_a_node_is_never_planned_for_more_than_has_been_measured() -> None:
    assert clients_that_fit(16 << 30, CLEAR, LARGEST) == CLIENTS_MAX < Budget(16 << 30, LARGEST).division.slots


def test_too_little_memory_has_the_error_of_the_server() -> None:
    with pytest.raises(ConfigurationError, match="memory: 1kB is too little; the least is 192KiB"):
        list(answer(CapacityQuery((), (1000,), LARGEST, CLEAR)))


def test_of_a_server_that_speaks_tls_the_plan_says_what_its_budget_does() -> None:
    room = Budget(30 * MB, LARGEST, TLS_COST).division.slots
    assert room < Budget(30 * MB, LARGEST).division.slots
    assert room - 4 <= clients_that_fit(30 * MB, parse_mix("tls=1"), LARGEST) <= room


@pytest.mark.parametrize("text", ["clear=1", "clear=0.2", " clear=20 "])
def test_parts_of_a_mix_are_of_any_scale(text: str) -> None:
    assert parse_mix(text) == CLEAR


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quic=1", "there is no kind 'quic'; there are clear, tls"),
        ("", "there is no kind ''; there are clear, tls"),
        ("clear", "is not KIND=PART"),
        ("clear=-1", "is not KIND=PART"),
        ("clear=nan", "is not KIND=PART"),
        ("clear=inf", "is not KIND=PART"),
        ("clear=1,clear=1", "is not KIND=PART"),
        ("clear=0", "are 0; one must be more"),
    ],
)
def test_a_mix_without_sense_says_what_is_known(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_mix(text)


def test_a_kind_with_a_cost_of_its_own_is_one_more_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the connections have three times the extra cost, so fewer run in this memory."""
    monkeypatch.setattr(capacity, "KINDS", {**capacity.KINDS, "heavy": 3 * CONNECTION_COST})
    mix = parse_mix("clear=1,heavy=1")
    assert clients_that_fit(20 * MB, mix, LARGEST) < clients_that_fit(20 * MB, CLEAR, LARGEST)
    memory_bytes = least_memory(500, mix, LARGEST)
    assert clients_that_fit(memory_bytes, mix, LARGEST) >= 500
    assert memory_bytes > least_memory(500, CLEAR, LARGEST)
