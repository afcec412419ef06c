"""Texts sorted in bounded memory: those up to the bound are kept, in order, however little memory there is."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.sources.producer import no_more
from freight.sources.sorted_runs import SortedRuns

TEXTS = st.sets(st.text(st.characters(exclude_characters="/"), min_size=1, max_size=12), max_size=300)


def nothing() -> None:
    pass


def merged(runs: SortedRuns) -> list[str]:
    return [text for texts in runs.merged() for text in texts]


@given(TEXTS, st.sampled_from([1, 3000, 20_000, 1 << 20]), st.booleans(), st.integers(1, 40))
def test_what_is_not_beyond_the_bound_is_kept_in_order(
    texts: set[str], memory: int, descending: bool, batch: int
) -> None:
    runs, given_texts = SortedRuns(memory, no_more, nothing, descending=descending), list(texts)
    for at in range(0, len(given_texts), batch):
        runs.add(given_texts[at : at + batch])
    found = merged(runs)
    ordered = sorted(texts, reverse=descending)
    assert found == ordered[: len(found)]
    assert bool(found) == bool(texts)
    assert runs.bound is not None or len(found) == len(texts)
    assert runs.bound is None or found[-1] == runs.bound


@given(TEXTS, st.integers(1, 50))
def test_of_max_texts_at_least_so_many_are_kept(texts: set[str], count: int) -> None:
    runs = SortedRuns(1 << 20, no_more, nothing, count, descending=False)
    for text in texts:
        runs.add([text])
    assert merged(runs)[:count] == sorted(texts)[:count]


def test_granted_memory_keeps_everything_and_a_refusal_moves_the_bound() -> None:
    texts = [f"{number * 7919 % 20_011:06}{'x' * 80}" for number in range(20_011)]
    asked = []

    def grant() -> int:
        asked.append(1)
        return 200_000

    for more_memory in (grant, no_more):
        runs = SortedRuns(200_000, more_memory, nothing, descending=False)
        for at in range(0, len(texts), 100):
            runs.add(texts[at : at + 100])
        found = merged(runs)
        assert (runs.bound is None) is (more_memory is grant)
        assert found == sorted(texts)[: len(found)]
    assert 3 < len(asked) < 20


@pytest.mark.parametrize("descending", [False, True])
def test_it_takes_no_more_than_its_memory(descending: bool) -> None:
    memory = 400_000
    tracemalloc.start()
    try:
        runs = SortedRuns(memory, no_more, nothing, descending=descending)
        for at in range(0, 60_000, 50):
            runs.add([f"{number * 7919 % 60_000:06}-measurement-of-a-station.parquet" for number in range(at, at + 50)])
        count = sum(len(texts) for texts in runs.merged())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 1000
    assert peak < memory
