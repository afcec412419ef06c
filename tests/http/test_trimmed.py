"""A queued request keeps only the fields that its response depends on."""

from __future__ import annotations

import pytest

from freight.http.decide import plan_response, trimmed
from freight.model import Request, Resource

FILE = Resource("a.csv", 1000, 1_000_000_000, ("text/csv",))
NOW = 2_000_000_000.0


@pytest.mark.parametrize(
    "field",
    [
        ("range", "bytes=0-9"),
        ("if-range", '"x"'),
        ("if-none-match", "*"),
        ("if-match", '"x"'),
        ("if-modified-since", "Fri, 09 Sep 2022 00:00:00 GMT"),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("accept", "text/html"),
        ("expect", "nothing"),
    ],
)
def test_the_response_is_the_same(field: tuple[str, str]) -> None:
    request = Request("GET", "/a.csv", (("host", "x"), field, ("range", "bytes=5-"), ("x-large", "y" * 10_000)))
    kept = trimmed(request)
    assert plan_response(kept, FILE, NOW) == plan_response(request, FILE, NOW)
    assert kept.fields == (field, ("range", "bytes=5-"))
