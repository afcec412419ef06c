"""The Range field: RFC 9110 sections 14.1.1, 14.1.2, 14.2 and 15.3.7.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http.ranges import NoRange, Satisfiable, Unsatisfiable, parse
from freight.model import Span

SIZE = 10_000


def read(value: str, size: int = SIZE) -> list[tuple[int, int | None]] | str:
    found = parse(value, size, max_ranges=8)
    if isinstance(found, Satisfiable):
        return [(span.start, span.stop) for span in found.spans]
    return "ignored" if found == NoRange() else "unsatisfiable"


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(9500, 10_000)]),
        ("bytes=9500-", [(9500, 10_000)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 10_000)]),
        ("bytes= 0-0, 4500-5499, -1000", [(0, 1), (4500, 5500), (9000, 10_000)]),
        ("bytes=0-999,4500-5499,-1000", [(0, 1000), (4500, 5500), (9000, 10_000)]),
        ("bytes=500-600,601-999", [(500, 1000)]),
        ("bytes=500-700,601-999", [(500, 1000)]),
    ],
)
def test_the_examples_of_section_14_1_2(value: str, spans: list[tuple[int, int]]) -> None:
    assert read(value) == spans


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("bytes=0-", [(0, 10_000)]),
        ("bytes=0-99999", [(0, 10_000)]),
        ("bytes=9999-9999", [(9999, 10_000)]),
        ("bytes=-99999", [(0, 10_000)]),
        ("bytes=00000000000000000000000005-6", [(5, 7)]),
        ("bytes=0-" + "9" * 5000, [(0, 10_000)]),
        ("bytes=-" + "9" * 5000, [(0, 10_000)]),
        ("BYTES=0-1", [(0, 2)]),
        ("Bytes=0-1", [(0, 2)]),
        ("bytes=,, 0-1 ,\t,4-5,", [(0, 2), (4, 6)]),
        ("bytes=10000-,0-1", [(0, 2)]),
        ("bytes=-0,0-1", [(0, 2)]),
        ("bytes=10000-", "unsatisfiable"),
        ("bytes=10000-20000", "unsatisfiable"),
        ("bytes=-0", "unsatisfiable"),
        ("bytes=" + "9" * 5000 + "-", "unsatisfiable"),
        ("bytes=20000-,30000-", "unsatisfiable"),
    ],
)
def test_positions_are_clipped_and_ranges_beyond_the_end_are_unsatisfiable(value: str, outcome: object) -> None:
    assert read(value) == outcome


@pytest.mark.parametrize(
    "value",
    ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1", "bytes=1-2-3", "bytes=2-1", "bytes=0-1,2-1"]
    + ["bytes=0-1,x", "bytes 0-1", "bytes =0-1", "bytes:0-1", "lines=0-1", "bytes=+1-2", "bytes=1 - 2", "bytes=--1"]
    + [
        "bytes=0x1-2",
        "bytes=1_0-20",
        "bytes=\u0661-2",
        "bytes=\xb2-3",
        "bytes=0-1;2-3",
        "bytes=0-1, bytes=2-3",
        "=0-1",
    ],
)
def test_an_invalid_range_set_is_ignored(value: str) -> None:
    assert read(value) == "ignored"


@pytest.mark.parametrize(
    "value", ["bytes=0-", "bytes=0-0", "bytes=-0", "bytes=-5", "bytes=0-,-5", "bytes=5-1", "bytes=9-"]
)
def test_a_range_of_an_empty_representation_is_ignored(value: str) -> None:
    assert read(value, size=0) == "ignored"


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-9,5-14", [(0, 15)]),
        ("bytes=5-14,0-9", [(0, 15)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=0-9,11-19", [(0, 10), (11, 20)]),
        ("bytes=50-59,0-9,55-64", [(50, 65), (0, 10)]),
        ("bytes=0-9,50-59,5-54", [(0, 60)]),
        ("bytes=0-,0-,0-,0-", [(0, 10_000)]),
    ],
)
def test_overlapping_and_touching_ranges_are_one_in_the_place_of_the_first(
    value: str, spans: list[tuple[int, int]]
) -> None:
    assert read(value) == spans


def test_more_ranges_than_the_limit_are_ignored() -> None:
    assert read("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 16, 2))) != "ignored"
    assert read("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 18, 2))) == "ignored"
    assert read("bytes=0-1" + "," * 100_000) == "ignored"


def oracle(specs: list[tuple[int | None, int | None]], size: int) -> set[int] | None:
    """Return the positions that a list of (first, last) selects; None when it is invalid."""
    selected: set[int] = set()
    for first, last in specs:
        if first is None:
            assert last is not None
            selected |= {at for at in range(size) if at >= size - last}
        elif last is not None and last < first:
            return None
        else:
            selected |= {at for at in range(size) if at >= first and (last is None or at <= last)}
    return selected


position = st.integers(0, 30)
specs = st.one_of(st.tuples(position, position), st.tuples(position, st.none()), st.tuples(st.none(), position))


@given(st.lists(specs, min_size=1, max_size=8), st.integers(1, 25))
def test_the_spans_cover_exactly_the_requested_bytes_once(
    asked: list[tuple[int | None, int | None]], size: int
) -> None:
    written = ",".join(f"{'' if first is None else first}-{'' if last is None else last}" for first, last in asked)
    found = parse(f"bytes={written}", size, max_ranges=8)
    expected = oracle(asked, size)
    if expected is None:
        assert found == NoRange()
    elif not expected:
        assert found == Unsatisfiable()
    else:
        assert isinstance(found, Satisfiable)
        covered = [at for span in found.spans for at in range(span.start, span.stop or 0)]
        assert len(covered) == len(set(covered)) and set(covered) == expected
        assert not {span.stop for span in found.spans} & {span.start for span in found.spans}


@given(st.one_of(st.text(), st.text("bytes=-,0123456789 \t").map("bytes={}".format)), st.integers(0, 2**63))
def test_no_value_raises_or_selects_bytes_beyond_the_end(value: str, size: int) -> None:
    found = parse(value, size, max_ranges=8)
    if isinstance(found, Satisfiable):
        total = 0
        for span in found.spans:
            assert isinstance(span, Span) and span.stop is not None
            assert 0 <= span.start < span.stop <= size
            total += span.stop - span.start
        assert 0 < total <= size
