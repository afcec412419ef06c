"""Which form of a file a request gets (RFC 9110 sections 12.5.3, 13.1 and 14.2), and how the response describes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import dates
from freight.http.content_coding import CODINGS, accepted, choose, names_forms, wanted
from freight.http.decide import plan_response, trimmed
from freight.http.representation import strong_tag
from freight.model import IDENTITY, Plan, Request, Resource, Span

MODIFIED = 1_000_000_000
NOW = MODIFIED + 1000.25
FILE = Resource("data.csv", 1000, MODIFIED * 10**9, ("text/csv",), coding=IDENTITY)
ZSTD = replace(FILE, size=100, coding="zstd")
BR = replace(FILE, size=110, coding="br")
GZIP = replace(FILE, size=120, coding="gzip")
FORMS = {"zstd": ZSTD, "br": BR, "gzip": GZIP}
TAG = {name: strong_tag(form) or "" for name, form in {**FORMS, "identity": FILE}.items()}
CHROMIUM = "gzip, deflate, br, zstd"


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        ("zstd, br, gzip", ("zstd", "br", "gzip")),
        (CHROMIUM, ("zstd", "br", "gzip")),
        ("gzip, deflate", ("gzip",)),
        ("GZip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("gzip;q=1.0, br;q=0.5, zstd;q=0.1", ("gzip", "br", "zstd")),
        ("gzip ; q=0.5 ,, br;Q=0.501", ("br", "gzip")),
        ("gzip;q=0", ()),
        ("gzip;q=0.000, br", ("br",)),
        ("*", ("gzip",)),
        ("*;q=0.1, br;q=0.2", ("br", "gzip")),
        ("gzip;q=0, *", ()),
        ("identity;q=1, *;q=0", ()),  # the media elements of browsers
        ("identity", ()),
        ("identity;q=0", ()),
        ("identity;q=0, *", ("gzip",)),
        ("identity, gzip", ("gzip",)),
        ("identity, gzip;q=0.9", ()),
        ("identity;q=0.5, gzip;q=0.4, br;q=0.6", ("br",)),
        ("", ()),
        ("deflate, compress, zip", ()),
        ("gzip;q=2, br", ("br",)),
        ("gzip;q=0.1234, br", ("br",)),
        ("gzip;q=-1, gzip;level=9, g zip, ;q=1, gzip\x00", ()),
        ("gzip" + ", deflate" * 32, ()),
        ("gzip," + " " * 512, ("gzip",)),
    ],
)
def test_the_codings_that_a_field_accepts_in_their_order(value: str, codings: tuple[str, ...]) -> None:
    assert accepted(value) == codings


@given(st.text(st.sampled_from("gzipbrstd*;q=01., \tIiX-\x00\xff"), max_size=80))
def test_any_field_accepts_some_of_the_codings_each_once(value: str) -> None:
    codings = accepted(value)
    assert set(codings) <= set(CODINGS)
    assert len(set(codings)) == len(codings)


def request(method: str = "GET", **fields: str) -> Request:
    return Request(method, "/data.csv", tuple((name.replace("_", "-"), value) for name, value in fields.items()))


def answer(asked: Request, forms: dict[str, Resource] | None = None) -> tuple[str, Plan, dict[str, str]]:
    """Return which form the request gets, and the response."""
    existing = FORMS if forms is None else forms
    codings = wanted(asked)
    most = len(codings) if names_forms(asked) else 1
    encoded = tuple(existing[coding] for coding in codings if coding in existing)[:most]
    chosen = choose(asked, FILE, encoded) if codings else FILE
    plan = plan_response(asked, chosen, NOW)
    return chosen.coding, plan, dict(plan.fields)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", [ZSTD, BR, GZIP], ids=lambda form: form.coding)
def test_a_compressed_form_is_described(method: str, form: Resource) -> None:
    coding, plan, fields = answer(request(method, accept_encoding=form.coding))
    assert coding == form.coding
    assert (plan.status, plan.length) == (200, form.size)
    assert fields == {
        "Content-Type": "text/csv",
        "X-Content-Type-Options": "nosniff",
        "Content-Encoding": form.coding,
        "ETag": TAG[form.coding],
        "Last-Modified": dates.format(MODIFIED),
        "Vary": "Accept-Encoding",
        "Content-Disposition": 'attachment; filename="data.csv"',
    }


def test_the_tags_of_all_forms_differ() -> None:
    same_size = [strong_tag(replace(form, size=7)) for form in (FILE, ZSTD, BR, GZIP)]
    assert len(set(same_size)) == 4


BOTH = f"{TAG['gzip']}, {TAG['identity']}"


@pytest.mark.parametrize(
    ("fields", "form", "status"),
    [
        # Without conditions Accept-Encoding decides, and a Range selects from the file.
        ({}, "zstd", 200),
        ({"accept_encoding": "br;q=0.9, gzip"}, "gzip", 200),
        ({"accept_encoding": "identity"}, "identity", 200),
        ({"range": "bytes=0-9"}, "identity", 206),
        ({"range": "lines=0-9"}, "identity", 200),
        ({"range": "bytes=150-"}, "identity", 206),
        # If-Range: a form whose tag is named goes on; another tag, and any date, means all of the preferred form.
        ({"range": "bytes=9-", "if_range": TAG["zstd"]}, "zstd", 206),
        ({"range": "bytes=9-", "if_range": TAG["gzip"]}, "gzip", 206),
        ({"range": "bytes=9-", "if_range": TAG["identity"]}, "identity", 206),
        ({"range": "bytes=9-", "if_range": '"other"'}, "zstd", 200),
        ({"range": "bytes=9-", "if_range": f"W/{TAG['gzip']}"}, "zstd", 200),
        ({"range": "bytes=9-", "if_range": dates.format(MODIFIED)}, "zstd", 200),
        ({"range": "bytes=9-", "if_range": dates.format(MODIFIED), "accept_encoding": "identity"}, "identity", 200),
        ({"range": "bytes=200-", "if_range": TAG["zstd"]}, "zstd", 416),
        ({"range": "bytes=0-1,5-6", "if_range": TAG["zstd"]}, "zstd", 200),
        ({"if_range": TAG["gzip"]}, "zstd", 200),
        # A form whose coding is not accepted is never sent: the client may have stored decoded bytes.
        ({"range": "bytes=9-", "if_range": TAG["zstd"], "accept_encoding": "identity"}, "identity", 200),
        ({"range": "bytes=9-", "if_range": TAG["zstd"], "accept_encoding": "gzip"}, "gzip", 200),
        # If-Match selects the form that it names.
        ({"if_match": TAG["gzip"]}, "gzip", 200),
        ({"if_match": TAG["identity"]}, "identity", 200),
        ({"if_match": BOTH}, "gzip", 200),
        ({"if_match": '"other"'}, "zstd", 412),
        ({"if_match": "*"}, "zstd", 200),
        ({"if_match": TAG["gzip"], "accept_encoding": "identity"}, "identity", 412),
        ({"if_match": TAG["gzip"], "range": "bytes=9-"}, "gzip", 206),
        ({"if_match": TAG["identity"], "range": "bytes=9-"}, "identity", 206),
        ({"if_match": '"other"', "range": "bytes=9-"}, "identity", 412),
        ({"if_match": "*", "range": "bytes=9-"}, "identity", 206),
        # If-None-Match: any form that is accepted counts.
        ({"if_none_match": TAG["zstd"]}, "zstd", 304),
        ({"if_none_match": TAG["gzip"]}, "gzip", 304),
        ({"if_none_match": f"W/{TAG['gzip']}"}, "gzip", 304),
        ({"if_none_match": TAG["identity"]}, "identity", 304),
        ({"if_none_match": '"other"'}, "zstd", 200),
        ({"if_none_match": "*"}, "zstd", 304),
        ({"if_none_match": TAG["gzip"], "accept_encoding": "identity"}, "identity", 200),
        ({"if_none_match": TAG["zstd"], "range": "bytes=9-"}, "identity", 206),
        ({"if_none_match": TAG["identity"], "range": "bytes=9-"}, "identity", 304),
        ({"if_modified_since": dates.format(MODIFIED)}, "zstd", 304),
        ({"if_unmodified_since": dates.format(MODIFIED - 1)}, "zstd", 412),
    ],
)
def test_the_form_and_the_status(fields: dict[str, str], form: str, status: int) -> None:
    asked = request(**{"accept_encoding": CHROMIUM, **fields})
    coding, plan, found = answer(asked)
    assert (coding, plan.status) == (form, status)
    if status in (200, 206, 304):
        assert found["Vary"] == "Accept-Encoding"
        assert found["ETag"] == TAG[form]
    if status in (200, 206):
        assert found.get("Content-Encoding", IDENTITY) == form
        assert ("Accept-Ranges" in found) == (form == IDENTITY)
    assert answer(trimmed(asked, frozenset({"accept-encoding"})))[1] == plan


@pytest.mark.parametrize("tag", ["zstd", "br", "gzip", "identity"])
def test_a_range_of_a_form_has_its_bytes_and_its_size(tag: str) -> None:
    form, plan, fields = answer(request(accept_encoding=CHROMIUM, range="bytes=50-", if_range=TAG[tag]))
    size = {**FORMS, "identity": FILE}[tag].size
    assert form == tag
    assert plan.parts == (Span(50, size),)
    assert fields["Content-Range"] == f"bytes 50-{(size or 0) - 1}/{size}"


def test_a_tag_of_a_form_that_is_gone_matches_nothing() -> None:
    gone = {"br": BR}
    ranged = {"range": "bytes=9-", "accept_encoding": CHROMIUM}
    assert answer(request(**ranged, if_range=TAG["zstd"]), gone)[0] == "br"
    assert answer(request(**ranged, if_range=TAG["zstd"]), gone)[1].status == 200
    assert answer(request(**ranged, if_range=TAG["zstd"]), {})[:1] == (IDENTITY,)
    assert answer(request(**ranged, if_range=TAG["zstd"]), {})[1].status == 200


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request("OPTIONS", accept_encoding="gzip"),
        request("POST", accept_encoding="gzip"),
        request(accept_encoding="identity"),
        request(accept_encoding="identity;q=1, *;q=0"),
        request(accept_encoding="gzip", range="bytes=0-"),
        request(accept_encoding="gzip," + " " * 600),
    ],
    ids=str,
)
def test_no_form_is_looked_up_for_a_request_that_cannot_get_one(asked: Request) -> None:
    assert wanted(asked) == ()


def test_a_range_counts_for_get_only() -> None:
    assert answer(request("HEAD", accept_encoding="gzip", range="bytes=0-9"))[0] == "gzip"


def test_a_file_without_forms_honours_a_date_in_if_range_and_does_not_vary() -> None:
    asked = request(accept_encoding="gzip", range="bytes=9-", if_range=dates.format(MODIFIED))
    plan = plan_response(asked, replace(FILE, coding=""), NOW)
    assert plan.status == 206
    assert "Vary" not in dict(plan.fields)
