"""A header section that equals an earlier one but for its range, and the section of its answer."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Fields, Plan, Request, Span
from freight.wire.http1.repeats import MAX_HEAD_BYTES
from freight.wire.http2.repeats import section_format, section_lines, split_range

DATE = "Tue, 01 Dec 2026 08:00:00 GMT"


def ask(*fields: tuple[str, str], method: str = "GET", target: str = "/a") -> Request:
    return Request(method, target, (("host", "x"), *fields), (2, 0))


def plan(first: int, length: int) -> Plan:
    fields: Fields = (("Content-Range", f"bytes {first}-{first + length - 1}/1000"), ("X-Odd", "100%d"))
    return Plan(206, fields, (Span(first, first + length),), length)


@pytest.mark.parametrize(
    "value",
    ["bytes=01-2", "bytes=1-02", "bytes=-2", "bytes=1-", "bytes=1-2,3-4", "bytes=1-2 ", "Bytes=1-2", "bytes=²-3"],
)
def test_another_form_of_a_range_is_not_known(value: str) -> None:
    assert split_range(ask(("range", value))) is None


@pytest.mark.parametrize(
    "request_",
    [
        ask(("range", "bytes=1-2"), method="HEAD"),
        ask(("range", "bytes=1-2"), ("range", "bytes=1-2")),
        ask(("range", "bytes=1-2"), ("x", "y" * 1024)),
        ask(("range", "bytes=1-2"), target="/" + "a" * 1024),
    ],
)
def test_these_are_not_remembered(request_: Request) -> None:
    assert split_range(request_) is None


def test_only_the_range_may_differ() -> None:
    known = split_range(ask(("range", "bytes=1-2"), ("accept", "*/*")))
    assert known is not None and (known.first, known.last) == (1, 2)
    for other in (
        ask(("range", "bytes=1-2")),
        ask(("accept", "*/*")),
        ask(("range", "bytes=1-2"), ("accept", "*/*"), target="/b"),
    ):
        found = split_range(other)
        assert found is not None and found.key != known.key
    same = split_range(ask(("range", "bytes=30-40"), ("accept", "*/*")))
    assert same is not None and same.key == known.key and (same.first, same.last) == (30, 40)


@pytest.mark.parametrize(("first", "length"), [(0, 1), (7, 93), (999, 1)])
def test_the_section_for_another_range_is_that_of_its_plan(first: int, length: int) -> None:
    assert section_format(plan(5, 10)).fill(DATE, first, length) == section_lines(plan(first, length), DATE)


def test_the_section_of_a_whole_file_is_that_of_its_plan() -> None:
    whole = Plan(200, (("ETag", '"x"'),), (Span(0, 1000),), 1000)
    assert section_format(whole).fill(DATE, 0, 1000) == section_lines(whole, DATE)


_TEXT = st.text("ar:=- ,", max_size=5) | st.sampled_from(["range", "host", "bytes=1-2", "bytes=3-4", "/a"])
_FIELDS = st.lists(st.tuples(_TEXT, _TEXT), max_size=4).map(tuple)


def without_numbers(request: Request) -> tuple[str, bool, Fields]:
    """Return all that two requests of one key have in common."""
    others = tuple(pair for pair in request.fields if pair[0] != "range")
    return request.target, len(others) < len(request.fields), others


@given(_TEXT, _FIELDS, _TEXT, _FIELDS)
def test_two_requests_have_one_key_only_if_they_are_equal_but_for_the_numbers(
    target: str, fields: Fields, other_target: str, other_fields: Fields
) -> None:
    one, other = ask(*fields, target=target), ask(*other_fields, target=other_target)
    found, other_found = split_range(one), split_range(other)
    if found is not None and other_found is not None:
        assert (found.key == other_found.key) == (without_numbers(one) == without_numbers(other))


def test_a_key_takes_little_memory_however_many_fields_it_has() -> None:
    """A server remembers 128 of them, for which no client pays."""

    def make(number: int) -> object:
        fields = [(chr(97 + at // 26) + chr(97 + at % 26), f"{number:03}{at:02}") for at in range(95)]
        return split_range(ask(("range", "bytes=1-2"), *fields))

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [make(number) for number in range(128)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert None not in kept and taken <= 128 * 2 * MAX_HEAD_BYTES
