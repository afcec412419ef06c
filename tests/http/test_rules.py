"""Rules by path as pure functions: the first match, hidden names, fields, and what an answer must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from freight.http.decide import plan_response
from freight.http.private import keep_private
from freight.http.response_fields import check_name, check_value, read_line
from freight.http.rules import NO_RULE, Rule, Rules, path_of
from freight.http.target import parse
from freight.model import Plan, Request, Resource

FILE = Resource("a.csv", 1000, 1_700_000_000 * 10**9, ("text/csv",))
LISTING = Resource("", None, None, ("text/html", "application/json"), produced=True)
NOW = 1_800_000_000.0


def answer(rule: Rule, found: Resource = FILE, method: str = "GET", *fields: tuple[str, str]) -> Plan:
    found = rule.describe(found)
    return rule.apply(plan_response(Request(method, "/a.csv", fields), found, NOW), found)


def values(plan: Plan, name: str) -> list[str]:
    return [value for key, value in plan.fields if key.lower() == name]


def test_the_first_rule_that_matches_decides() -> None:
    first, second = Rule("/a/*", index="none"), Rule("/**", index="index.html")
    rules = Rules((first, second))
    assert rules.find(parse("/a/b")) is first
    assert rules.find(parse("/a/b/")) is second
    assert Rules((first,)).find(parse("/c")) is NO_RULE
    assert rules.find(parse("no path")) is NO_RULE


@pytest.mark.parametrize("target", ["/a/%62", "/a//b", "/x/../a/b", "/a/./b?query", "/%61/b", "/../a/b"])
def test_a_rule_sees_the_path_that_is_served_however_it_is_written(target: str) -> None:
    rule = Rule("/a/b")
    assert Rules((rule,)).find(parse(target)) is rule


@pytest.mark.parametrize(
    ("hidden", "target", "expected"),
    [
        ((".zgroup",), "/a/.zgroup", True),
        ((".zgroup",), "/.zgroup/x", False),
        ((".zgroup",), "/.zgroup/", False),
        ((".zgroup",), "/.git/.zgroup", False),
        ((".zgroup",), "/a/.zgroup2", False),
        ((".well-known/*",), "/.well-known/security.txt", True),
        ((".well-known/*",), "/.well-known/a/b", False),
        ((".well-known/*",), "/.well-known/.secret", False),
        ((".well-known/**",), "/.well-known/a/b", True),
        ((".well-known/**",), "/.well-known/", True),
        ((".well-known/**",), "/.well-known/.secret", False),
        ((".well-known/**", ".ok"), "/.well-known/.ok", True),
        ((".z*",), "/.zarray", True),
        ((), "/.zarray", False),
    ],
)
def test_hidden_names_are_served_only_where_every_one_is_allowed(
    hidden: tuple[str, ...], target: str, expected: bool
) -> None:
    parsed = parse(target)
    assert parsed is not None
    assert Rule(hidden=hidden).reveals(parsed) == expected


RULE = Rule(headers=(("X-A", "1"), ("Content-Security-Policy", "sandbox")), cache_control="max-age=60")


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", (), 200),
        ("HEAD", (), 200),
        ("GET", (("range", "bytes=0-9"),), 206),
        ("GET", (("range", "bytes=0-9,20-29"),), 206),
        ("GET", (("if-none-match", "*"),), 304),
    ],
)
def test_a_file_has_the_fields_of_its_rule(method: str, fields: tuple[tuple[str, str], ...], status: int) -> None:
    plan = answer(RULE, FILE, method, *fields)
    plain = plan_response(Request(method, "/a.csv", fields), FILE, NOW)
    assert plan.status == status
    assert plan.fields == (*plain.fields, *RULE.headers, ("Cache-Control", "max-age=60"))
    assert replace(plan, fields=()) == replace(plain, fields=())


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", (("range", "bytes=5000-"),), 416),
        ("GET", (("if-match", '"other"'),), 412),
        ("POST", (), 405),
        ("OPTIONS", (), 204),
    ],
)
def test_an_error_does_not_have_them(method: str, fields: tuple[tuple[str, str], ...], status: int) -> None:
    plan = answer(RULE, FILE, method, *fields)
    assert plan.status == status
    assert plan.fields == plan_response(Request(method, "/a.csv", fields), FILE, NOW).fields


def test_a_file_without_a_validator_has_one_cache_control() -> None:
    assert values(answer(RULE, replace(FILE, mtime_ns=None)), "cache-control") == ["max-age=60"]


def test_a_listing_keeps_its_cache_control_and_its_policy() -> None:
    plan, plain = answer(RULE, LISTING), answer(NO_RULE, LISTING)
    assert plan.fields == (*plain.fields, ("X-A", "1"))
    assert values(plan, "cache-control") == ["no-cache"]


def test_a_media_type_is_that_of_the_parts_too() -> None:
    rule = Rule(content_type="application/x-thing")
    plan = answer(rule, FILE, "GET", ("range", "bytes=0-9,20-29"))
    assert b"Content-Type: application/x-thing\r\n" in b"".join(each for each in plan.parts if isinstance(each, bytes))
    assert values(answer(rule), "content-type") == ["application/x-thing"]
    assert values(answer(rule, LISTING), "content-type") == ["text/html; charset=utf-8"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(), 'attachment; filename="a.csv"'),
        (Rule(disposition="inline"), 'inline; filename="a.csv"'),
        (Rule(content_type="image/png"), 'inline; filename="a.csv"'),
        (Rule(content_type="image/png", disposition="attachment"), 'attachment; filename="a.csv"'),
    ],
)
def test_a_disposition_is_that_of_the_rule_or_of_the_type(rule: Rule, expected: str) -> None:
    assert values(answer(rule), "content-disposition") == [expected]


def test_a_path_is_decoded_and_ends_with_a_slash_if_it_is_a_directory() -> None:
    paths = {target: path_of(found) for target in ("/", "/a%20b", "/a/", "/a/.") if (found := parse(target))}
    assert paths == {"/": "/", "/a%20b": "/a b", "/a/": "/a/", "/a/.": "/a/"}


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "TRANSFER-ENCODING", "connection", "Content-Range", "Date", "Trailer", "TE", "Upgrade"),
        *("Keep-Alive", "ETag", "Last-Modified", "Vary", "Accept-Ranges", "Location", "Server", "Retry-After"),
        *(
            "Access-Control-Allow-Origin",
            "Content-Type",
            "Content-Disposition",
            "Cache-Control",
            "Content-Encoding",
            "X-Request-Id",
        ),
        *("", "a b", "a:", ":status", "X\r\nY", "X\n", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a" * 65),
    ],
)
def test_a_name_that_is_not_the_operators_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be set|is not the name"):
        check_name(name)


@pytest.mark.parametrize(
    "value", ["", " ", "a\r\nX: b", "a\nb", "a\r", "a\0", "a\tb", "\x7f", "\N{EURO SIGN}", "\xe9", "a" * 2049]
)
def test_a_value_that_could_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"the value|at most"):
        check_value(value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("X-A: b", ("X-A", "b")), ("X-A:b: c ", ("X-A", "b: c")), ("Link: <a>; rel=b", ("Link", "<a>; rel=b"))],
)
def test_a_line_is_a_name_and_a_value(line: str, expected: Any) -> None:
    assert read_line(line) == expected


def test_a_rule_cannot_let_a_shared_cache_store_the_response_to_a_signed_link() -> None:
    names = ("CDN-Cache-Control", "Surrogate-Control", "Expires")
    rule = Rule(headers=tuple((name, "max-age=9") for name in names), cache_control="public, max-age=9, immutable")
    plan = keep_private(answer(rule))
    assert values(plan, "cache-control") == ["private, max-age=9, immutable"]
    assert not any(values(plan, name.lower()) for name in names)
