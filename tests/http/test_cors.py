"""Cross-origin resource sharing by the Fetch standard: which origins may read a response, and what preflights say."""

from __future__ import annotations

import pytest

from freight.http.cors import CorsPolicy
from freight.model import Plan, Request

MAPS, OTHER = "https://maps.example", "https://other.example"
ANY, LISTED, OFF = CorsPolicy(frozenset("*")), CorsPolicy(frozenset({MAPS, "http://localhost:3000"})), CorsPolicy()
PLAN = Plan(200, (("ETag", '"1"'), ("Vary", "Accept")), (b"x",), 1)


def get(origin: str | None) -> Request:
    return Request("GET", "/a.csv", () if origin is None else (("origin", origin),))


def fields_of(plan: Plan) -> dict[str, str]:
    fields = dict(plan.fields)
    assert len(fields) == len(plan.fields), "a field occurs twice"
    return fields


@pytest.mark.parametrize("origin", [None, MAPS, "null"])
def test_without_origins_nothing_changes(origin: str | None) -> None:
    assert OFF.apply(PLAN, get(origin)) is PLAN
    assert OFF.preflight(preflight(MAPS)) is None


@pytest.mark.parametrize("origin", [None, MAPS, "null"])
def test_any_origin_may_read_the_same_cacheable_response(origin: str | None) -> None:
    fields = fields_of(ANY.apply(PLAN, get(origin)))
    assert fields["Access-Control-Allow-Origin"] == fields["Timing-Allow-Origin"] == "*"
    assert fields["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert fields["Vary"] == "Accept"
    assert fields["ETag"] == '"1"'


def test_a_listed_origin_may_read_and_caches_know_that_the_response_varies() -> None:
    fields = fields_of(LISTED.apply(PLAN, get(MAPS)))
    assert fields["Access-Control-Allow-Origin"] == fields["Timing-Allow-Origin"] == MAPS
    assert fields["Vary"] == "Accept, Origin"


@pytest.mark.parametrize(
    "origin", [None, OTHER, "null", "http://maps.example", f"{MAPS}:444", f"{MAPS}/", f"{MAPS}, {OTHER}", ""]
)
def test_another_origin_gets_the_response_without_permission(origin: str | None) -> None:
    fields = fields_of(LISTED.apply(PLAN, get(origin)))
    assert set(fields) == {"ETag", "Vary"}
    assert fields["Vary"] == "Accept, Origin"


@pytest.mark.parametrize("policy", [ANY, LISTED])
def test_no_response_allows_credentials(policy: CorsPolicy) -> None:
    assert "Access-Control-Allow-Credentials" not in fields_of(policy.apply(PLAN, get(MAPS)))


def test_a_script_may_read_what_resuming_and_caching_need() -> None:
    exposed = fields_of(ANY.apply(PLAN, get(MAPS)))["Access-Control-Expose-Headers"].split(", ")
    needed = "Content-Range Content-Length Accept-Ranges ETag Content-Disposition Content-Encoding Last-Modified"
    assert set(exposed) == {*needed.split(), "Retry-After", "Repr-Digest", "Server-Timing", "X-Request-Id"}


def preflight(origin: str | None, method: str | None = "GET", verb: str = "OPTIONS") -> Request:
    fields = (("origin", origin), ("access-control-request-method", method))
    return Request(verb, "/a.csv", tuple((name, value) for name, value in fields if value is not None))


@pytest.mark.parametrize("policy", [ANY, LISTED])
def test_a_preflight_lists_methods_and_fields(policy: CorsPolicy) -> None:
    plan = policy.preflight(preflight(MAPS))
    assert plan is not None
    fields = fields_of(plan)
    assert (plan.status, plan.content) == (204, False)
    assert fields["Access-Control-Allow-Methods"] == "GET, HEAD"
    conditions = {"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"}
    allowed = set(fields["Access-Control-Allow-Headers"].split(", "))
    assert allowed == conditions | {"Authorization", "Cache-Control", "Range", "Want-Repr-Digest"}
    assert int(fields["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("request_", [preflight(None), preflight(MAPS, None), preflight(MAPS, verb="GET")])
def test_other_requests_are_no_preflights(request_: Request) -> None:
    assert ANY.preflight(request_) is None
