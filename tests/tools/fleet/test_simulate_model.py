"""Invariants of the model of a fleet: no request is lost, and no resource is exceeded."""

from __future__ import annotations

from itertools import pairwise
from math import factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freight.memory.division import divide
from freight.tools.fleet.simulate.arrivals import Arrival, Catalogue, Sampler, sizes_of
from freight.tools.fleet.simulate.cache import Cache
from freight.tools.fleet.simulate.model import Fleet, Tally
from freight.tools.fleet.simulate.node import Node, NodeSpec, Request, RequestResult
from freight.tools.fleet.simulate.policies import POLICIES
from freight.tools.fleet.simulate.query import row_of
from freight.tools.fleet.simulate.sharing import fair_limit
from freight.tools.fleet.simulate.slots import slots_by_waiting

LARGEST = 4 << 20
FAST = float("inf")


def machine(
    slots: int = 4,
    queue: int = 3,
    max_wait: float = 5.0,
    link: float = FAST,
    disk: float = FAST,
    cache: int = 1000,
    chunk: int = 100,
    clients: tuple[float, ...] = (10.0, 50.0),
) -> NodeSpec:
    return NodeSpec((slots,) * (queue + 1), max_wait, link, disk, cache, chunk, clients)


def load(count: int, rate: float, seed: int = 1, spread: float = 1.0) -> tuple[list[int], list[Arrival]]:
    catalogue = Catalogue(50, 100, spread, 0.9)
    return list(sizes_of(catalogue, seed)), list(Sampler(catalogue, [1.0, 1.0], seed, "come").arrivals(rate, count))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(POLICIES)),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 6),
    st.sampled_from([FAST, 120.0, 30.0]),
    st.sampled_from([FAST, 60.0]),
    st.integers(1, 1000),
)
def test_every_request_is_served_or_refused_and_no_more_run_than_slots(
    policy: str, nodes: int, slots: int, queue: int, link: float, disk: float, seed: int
) -> None:
    sizes, arrivals = load(200, 3.0 * nodes, seed, spread=0.3)
    fleet = Fleet(nodes, machine(slots, queue, link=link, disk=disk), sizes, POLICIES[policy])
    tally = fleet.run(arrivals)
    assert tally.arrived == 200 == sum(tally.outcomes.values()) == sum(tally.picked)
    assert tally.most_running <= slots
    assert tally.most_waiting <= queue
    assert all(0 <= wait <= 5.0 + 1e-9 for wait in tally.waits)
    assert all(stretch > 0.98 for stretch in tally.stretches)
    assert (
        [node.running for node in fleet.nodes] == [node.waiting for node in fleet.nodes] == fleet.loads == [0] * nodes
    )
    assert all(sent <= link * tally.seconds * 1.0001 for sent in tally.sent)
    assert all(read <= disk * tally.seconds * 1.0001 for read in tally.read)


def test_sent_bytes_are_those_of_served_requests() -> None:
    sizes, arrivals = load(500, 3.0)
    fleet = Fleet(3, machine(100), sizes, POLICIES["bounded"])
    assert fleet.run(arrivals).outcomes == {RequestResult.SERVED: 500}
    assert sum(node.sent for node in fleet.nodes) == pytest.approx(
        sum(sizes[file] for _, file, _ in arrivals), rel=1e-3
    )
    assert sum(node.touched for node in fleet.nodes) == sum(sizes[file] for _, file, _ in arrivals)


@pytest.mark.parametrize("slots", [1000, 20])
def test_a_fleet_whose_caches_were_filled_begins_as_busy_as_it_stays(slots: int) -> None:
    """Little's law: running requests are arrivals per second times seconds per request, and at most the slots."""
    catalogue, rate = Catalogue(50, 1000, 1.0, 0.9), 40.0
    sizes = sizes_of(catalogue, 1)
    fleet = Fleet(4, machine(slots, chunk=700), sizes, POLICIES["round-robin"])
    before = list(Sampler(catalogue, [1.0, 1.0], 1, "warm").arrivals(rate, 40_000))
    fleet.warm_up(before)
    running = [node.running for node in fleet.nodes]
    mean_seconds = (1000 / 10.0 + 1000 / 50.0) / 2
    assert sum(running) == pytest.approx(min(rate * mean_seconds, 4 * slots), rel=0.1)
    assert max(running) <= slots
    assert fleet.loads == running
    tally = fleet.run(list(Sampler(catalogue, [1.0, 1.0], 1, "come").arrivals(rate, 2_000)))
    assert tally.arrived == 2_000 == sum(tally.outcomes.values())
    assert sum(tally.sent) / tally.seconds >= 0.95 * min(1.0, sum(running) / (rate * mean_seconds)) * rate * 1000
    assert [node.running for node in fleet.nodes] == fleet.loads == [0] * 4


def test_the_same_question_has_the_same_answer_and_another_seed_another() -> None:
    def rows(seed: int) -> Tally:
        sizes, arrivals = load(400, 6.0, seed)
        return Fleet(3, machine(link=100.0), sizes, POLICIES["least"]).run(arrivals, 20.0)

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_where_slots_are_all_that_is_short_waits_are_those_of_erlang_c() -> None:
    """M/M/c: Poisson arrivals, sizes so spread that they are exponential, clients all alike, one node."""
    slots, load_each, seconds = 8, 0.85, 10.0
    catalogue = Catalogue(1, 1, 0.0, 0.0)
    draws = Sampler(catalogue, [1.0], 3, "come")
    rate = slots * load_each / seconds
    arrivals = [(at, number, 0) for number, (at, _, _) in enumerate(draws.arrivals(rate, 60_000))]
    sizes = [max(1, round(1e6 * seconds * gap * rate)) for gap in gaps(arrivals)]
    node = machine(slots, 10_000, 1e9, cache=0, chunk=1 << 62, clients=(1e6,))
    tally = Fleet(1, node, sizes, POLICIES["round-robin"]).run(arrivals, arrivals[5_000][0])
    offered = rate * seconds
    last = offered**slots / factorial(slots) / (1 - load_each)
    waiting = last / (sum(offered**k / factorial(k) for k in range(slots)) + last)
    assert sum(wait > 0 for wait in tally.waits) / len(tally.waits) == pytest.approx(waiting, rel=0.05)
    assert row_of(1, "", 3, tally).wait_mean_seconds == pytest.approx(
        waiting * seconds / (slots * (1 - load_each)), rel=0.08
    )


def gaps(arrivals: list[Arrival]) -> list[float]:
    """Exponential times of mean 1 / rate that do not depend on the arrivals: the gaps of others."""
    rate = len(arrivals) / arrivals[-1][0]
    others = [
        at for at, _, _ in Sampler(Catalogue(1, 1, 0.0, 0.0), [1.0], 4, "sizes").arrivals(rate, len(arrivals) + 1)
    ]
    return [after - before for before, after in pairwise(others)]


@given(st.integers(0, 500), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 120)), max_size=200))
def test_a_page_cache_never_has_more_than_its_bytes_and_drops_what_was_used_longest_ago(
    capacity: int, touches: list[tuple[int, int]]
) -> None:
    cache, known, kept = Cache(capacity), dict[int, int](), list[int]()
    for key, drawn in touches:
        size = known.setdefault(key, drawn)
        assert cache.touch(key, size) == (key in kept)
        if size <= capacity:
            kept = [other for other in kept if other != key] + [key]
            while sum(known[other] for other in kept) > capacity:
                kept.pop(0)
        assert cache.held_bytes == sum(known[other] for other in kept) <= capacity


@given(st.lists(st.tuples(st.floats(1, 1000), st.integers(1, 50)), min_size=1, max_size=6), st.floats(1, 100_000))
def test_a_link_is_shared_max_min_fairly(demands: list[tuple[float, int]], capacity: float) -> None:
    most = fair_limit(demands, capacity)
    given = sum(min(want, most) * count for want, count in demands)
    assert given == pytest.approx(min(capacity, sum(want * count for want, count in demands)))


def test_two_downloads_halve_a_link_and_one_alone_has_all_of_it() -> None:
    node = Node(machine(link=60.0, chunk=10_000, cache=0, clients=(50.0,)))
    node.arrive(Request(0, 300, 0, 0.0))
    node.arrive(Request(1, 60, 0, 2.0))
    ends = []
    while (due := node.next_event_at()) < FAST:
        node.handle_due(due)
        ends += [(request.file, due) for request, _ in node.ended]
        node.ended.clear()
    # Two seconds of 50, two of 30, then 50 again.
    assert ends == [(1, pytest.approx(4.0)), (0, pytest.approx(4.0 + (300 - 100 - 60) / 50))]


def test_an_uncached_file_is_as_fast_as_the_disk_and_cached_the_second_time() -> None:
    node = Node(machine(disk=20.0, clients=(50.0,)))
    node.arrive(Request(0, 200, 0, 0.0))
    while node.running:
        node.handle_due(now := node.next_event_at())
    assert (now, node.missed, node.read) == (pytest.approx(10.0), 200, pytest.approx(200, abs=2))
    node.arrive(Request(0, 200, 0, now))
    while node.running:
        node.handle_due(again := node.next_event_at())
    assert (again - now, node.missed, node.read) == (pytest.approx(4.0), 200, pytest.approx(200, abs=2))


def test_a_queue_that_is_full_refuses_and_a_wait_that_is_too_long_ends() -> None:
    node = Node(machine(1, 1, 5.0, clients=(10.0,)))
    for file in range(3):
        node.arrive(Request(file, 100, 0, 0.0))
    assert [outcome for _, outcome in node.ended] == [RequestResult.FULL]
    node.ended.clear()
    while (due := node.next_event_at()) < FAST:
        node.handle_due(due)
    assert [(request.file, outcome) for request, outcome in node.ended] == [
        (1, RequestResult.LATE),
        (0, RequestResult.SERVED),
    ]


@pytest.mark.parametrize("memory", [192 << 10, 1 << 20, 20_000_000, 64 << 20])
def test_slots_are_those_of_the_budget_and_fewer_run_beside_a_long_line(memory: int) -> None:
    rooms = slots_by_waiting(memory, 2000, LARGEST)
    assert len(rooms) == 2001
    assert rooms[0] == divide(memory).slots
    assert list(rooms) == sorted(rooms, reverse=True)
    assert rooms[-1] >= 1


def test_more_nodes_have_more_of_the_files_in_their_caches_only_where_each_file_has_its_node() -> None:
    sizes, arrivals = load(3000, 12.0, spread=0.0)
    hits = {
        name: row_of(6, name, 1, Fleet(6, machine(40, cache=1500), sizes, policy).run(arrivals, 50.0)).hits
        for name, policy in POLICIES.items()
    }
    assert hits["consistent"] > 0.95
    assert hits["bounded"] > hits["round-robin"] + 0.1


def test_downloads_end_despite_rounding_of_large_times_and_sizes() -> None:
    sizes, arrivals = [10**14] * 50, [(1e9 * (1 + number), number, 0) for number in range(50)]
    tally = Fleet(2, machine(chunk=10**12, cache=0, clients=(7e7,)), sizes, POLICIES["least"]).run(arrivals)
    assert tally.outcomes == {RequestResult.SERVED: 50}
