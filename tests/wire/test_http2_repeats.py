"""A header section that equals an earlier one but for its range, and the section of its answer."""

from __future__ import annotations

import pytest

from freight.model import Fields, Plan, Request, Span
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
