"""Each policy spreads requests as documented."""

from __future__ import annotations

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.tools.fleet.simulate.policies import (
    FACTOR,
    POLICIES,
    Bounded,
    Consistent,
    HashRing,
    LeastConnections,
    key_of_target,
    target_of,
)

FILES = 5000


def homes(nodes: int) -> list[int]:
    policy = Consistent([0] * nodes)
    return [policy.pick(file) for file in range(FILES)]


@pytest.mark.parametrize("nodes", [2, 3, 10, 50])
def test_one_node_more_takes_its_share_of_the_files_and_no_other_file_moves(nodes: int) -> None:
    before, after = homes(nodes), homes(nodes + 1)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {nodes}
    assert len(moved) / FILES == pytest.approx(1 / (nodes + 1), rel=0.35)


def test_files_are_spread_about_evenly() -> None:
    counts = Counter(homes(10))
    assert len(counts) == 10
    assert max(counts.values()) < 1.5 * FILES / 10


def test_a_key_belongs_to_the_nearest_point_round_the_end_too() -> None:
    ring = HashRing(3, points=4)
    points = [(place, owner) for place, owner in zip(ring.places, ring.owners, strict=True)]
    for key in [0, 1, (1 << 32) - 1, *(key_of_target(target_of(file)) for file in range(200))]:
        distances = [min((key - place) % (1 << 32), (place - key) % (1 << 32)) for place, _ in points]
        assert distances[ring.nearest(key)] == min(distances)


@given(st.integers(1, 12), st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 11)), max_size=300))
def test_a_bounded_load_is_never_above_its_factor_of_the_mean(nodes: int, steps: list[tuple[bool, int, int]]) -> None:
    loads = [0] * nodes
    policy = Bounded(loads)
    for comes, file, leaving in steps:
        if comes:
            node = policy.pick(file)
            loads[node] += 1
            assert loads[node] <= max(1, ceil(ceil(round(100 * FACTOR) * sum(loads) / 100) / nodes))
        elif loads[leaving % nodes]:
            node = leaving % nodes
            loads[node] -= 1
        else:
            continue
        policy.changed(node)


@given(st.integers(1, 12), st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=300))
def test_least_is_always_one_of_those_with_the_fewest(nodes: int, steps: list[tuple[bool, int]]) -> None:
    loads = [0] * nodes
    policy = LeastConnections(loads)
    for comes, leaving in steps:
        node = policy.pick(0) if comes else leaving % nodes
        if comes:
            assert loads[node] == min(loads)
        elif not loads[node]:
            continue
        loads[node] += 1 if comes else -1
        policy.changed(node)


def test_least_rotates_among_equal_nodes() -> None:
    loads = [0] * 5
    policy = LeastConnections(loads)
    picked = []
    for _ in range(10):
        node = policy.pick(0)
        picked.append(node)
        for step in (1, -1):
            loads[node] += step
            policy.changed(node)
    assert sorted(picked) == sorted([*range(5)] * 2)


@pytest.mark.parametrize("name", POLICIES)
def test_one_node_has_everything(name: str) -> None:
    policy = POLICIES[name]([0])
    assert {policy.pick(file) for file in range(20)} == {0}
