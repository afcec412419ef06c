"""Which answers can be sent again, for other ranges of the same file and at other times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight.http.decide import plan_response
from freight.model import Plan, Request, Resource, Span
from freight.repeats import is_repeatable
from freight.server.known_heads import MAX_KNOWN, KnownHead, KnownHeads

NOW = 1_800_000_000.0
FILE = Resource("a.bin", 1000, 1_700_000_000 * 10**9, ("application/octet-stream",), "key")
RANGE = ("range", "bytes=7-20")
TAG = next(value for name, value in plan_response(Request("GET", "/a.bin", ()), FILE, NOW).fields if name == "ETag")
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def judge(resource: Resource, *fields: tuple[str, str], method: str = "GET") -> bool:
    request = Request(method, "/a.bin", fields)
    return is_repeatable(request, resource, plan_response(request, resource, NOW))


@pytest.mark.parametrize(
    ("fields", "repeatable"),
    [
        ((), True),
        ((RANGE,), True),
        ((RANGE, ("if-range", TAG)), True),
        ((RANGE, ("if-range", '"other"')), False),  # the range is ignored, and the next may not be
        ((("range", "bytes=5-2"),), False),  # likewise
        ((RANGE, ("if-range", DATE)), False),  # whether a date is strong depends on the time
        ((RANGE, ("if-modified-since", DATE)), False),
        ((RANGE, ("if-unmodified-since", DATE)), False),
        ((RANGE, ("if-none-match", '"other"')), True),
        ((RANGE, ("if-none-match", TAG)), False),  # 304
        ((RANGE, ("if-match", '"other"')), False),  # 412
        ((("range", "bytes=0-1,5-6"),), False),
        ((("range", "bytes=1000-1000"),), False),  # 416
    ],
)
def test_by_the_fields_of_the_request(fields: tuple[tuple[str, str], ...], repeatable: bool) -> None:
    assert judge(FILE, *fields) == repeatable


@pytest.mark.parametrize(
    ("resource", "repeatable"),
    [
        (FILE, True),
        (replace(FILE, size=0), False),
        (replace(FILE, size=None), False),
        (replace(FILE, produced=True), False),
        (replace(FILE, coding="identity"), False),  # a compressed form may appear
        (replace(FILE, coding="gzip"), False),
        (replace(FILE, mtime_ns=None), False),
        (replace(FILE, ctime_ns=1_700_000_000 * 10**9), False),
        (replace(FILE, mtime_ns=int(NOW + 10) * 10**9), False),  # its date is then the present
    ],
)
def test_by_the_file(resource: Resource, repeatable: bool) -> None:
    assert judge(resource) == repeatable


def test_by_the_plan() -> None:
    request = Request("GET", "/a.bin", (RANGE,))
    plan = plan_response(request, FILE, NOW)
    assert is_repeatable(request, FILE, plan)
    for other in (
        replace(plan, close=True),
        replace(plan, length=None),
        replace(plan, length=0),
        replace(plan, parts=()),
        replace(plan, parts=(b"x", Span(7, 20))),
        replace(plan, status=203),
        replace(plan, fields=tuple(pair for pair in plan.fields if pair[0] != "Last-Modified")),
    ):
        assert not is_repeatable(request, FILE, other)
    assert not judge(FILE, method="HEAD") and not judge(FILE, method="OPTIONS")


class NoAnswer:
    """An answer that is never sent."""

    plan = Plan(206)

    def send(self, *_: object) -> bool:
        return False


def known(number: int) -> KnownHead:
    return KnownHead(NoAnswer(), b"", 1.0, f"/{number}", (1, 1), None)


def test_of_too_many_heads_the_first_is_forgotten() -> None:
    heads = KnownHeads()
    for number in range(MAX_KNOWN + 3):
        heads.add((b"%d" % number, b""), known(number))
    targets = [found and found.target for found in (heads.get((b"%d" % n, b"")) for n in range(MAX_KNOWN + 3))]
    assert targets == [None] * 3 + [f"/{number}" for number in range(3, MAX_KNOWN + 3)]


def test_a_head_that_is_known_takes_the_place_of_none_but_itself() -> None:
    heads = KnownHeads()
    for number in range(MAX_KNOWN):
        heads.add((b"%d" % number, b""), known(number))
    heads.add((b"5", b""), known(1000))
    found = [heads.get((b"%d" % number, b"")) for number in range(MAX_KNOWN)]
    assert None not in found
    assert [head.target for head in found if head][5] == "/1000"
    assert heads.get((b"5", b"\r\n")) is None
