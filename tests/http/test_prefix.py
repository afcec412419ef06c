"""The prefix is stripped from a target by its names, and what is outside of it gets 404 with a link to it."""

from __future__ import annotations

import pytest

from freight.http.decide import plan_response
from freight.http.prefix import Prefix
from freight.model import NotFound, NotFoundReason, Request

OUTSIDE = NotFound(NotFoundReason.OUTSIDE, "/files/")


@pytest.mark.parametrize(
    ("target", "stripped"),
    [
        ("/files/", "/"),
        ("/files/a.csv", "/a.csv"),
        ("/files/a/?sort=size", "/a/?sort=size"),
        ("/files/files/x", "/files/x"),
        ("/files/a%20b", "/a%20b"),
        ("/files/a%2Fb", "/a%2Fb"),
        ("/fil%65s/a", "/a"),
        ("//files//a", "/a"),
        ("/files//", "/"),
        ("/files/a/..", "/"),
        ("/files/a/../b", "/b"),
        ("/x/../files/a", "/a"),
        ("/files/./a?x=../y", "/a?x=../y"),
        ("/files/...", "/..."),
        ("/files/.hidden", "/.hidden"),
        ("/files/%2e%2e/files/a", "/a"),
        ("/files/\xe9", "/\xe9"),
        ("/files/\xe9/./b", "/%E9/b"),
        ("*", "*"),
        ("/files/%zz", "/%zz"),
        ("/%zz", "/%zz"),
        ("nonsense", "nonsense"),
        ("/files/" + "a/" * 300, "/" + "a/" * 300),
        ("/files/../x" + "/" * 254, NotFound(NotFoundReason.ABSENT)),
    ],
)
def test_a_target_below_the_prefix_loses_it(target: str, stripped: str | NotFound) -> None:
    assert Prefix(("files",)).without(target) == stripped


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/",
            "/file",
            "/filesx",
            "/filesx/a",
            "/Files/a",
            "/x/files/a",
            "/files/..",
            "/files/../x",
            "/files/%2e%2e/x",
        ),
        *("/files%2Fa", "/files%2f", "/?/files/a", "/..", "//", "/files\\a", "/files;/a", "/favicon.txt", "/a/b/c?d"),
        *("/files/a/../../etc", "/files/./../x", "/" + "a/" * 300),
    ],
)
def test_a_target_outside_gets_404_and_a_link_that_leads_to_the_prefix(target: str) -> None:
    found = Prefix(("files",)).without(target)
    assert found == OUTSIDE
    plan = plan_response(Request("GET", target, (("accept", "text/html"),)), OUTSIDE, 0.0)
    page = b"".join(part for part in plan.parts if isinstance(part, bytes)).decode()
    depth = target.partition("?")[0].count("/") - 1
    assert plan.status == 404
    assert (f'href="{"../" * depth or "./"}files/"' in page) is (depth <= 64)
    assert "/files/" in page


def test_the_prefix_without_a_slash_is_a_directory_of_several_names() -> None:
    prefix = Prefix(("a b", "\N{LATIN SMALL LETTER E WITH ACUTE}"))
    assert prefix.without("/a%20b/%C3%A9/x?y") == "/x?y"
    moved = prefix.without("/a%20b/%C3%A9?x=1")
    assert moved == NotFound(NotFoundReason.MOVED, "/a%20b/%C3%A9/?x=1")
    assert isinstance(moved, NotFound)
    plan = plan_response(Request("GET", "/a%20b/%C3%A9?x=1", ()), moved, 0.0)
    assert dict(plan.fields)["Location"] == "%C3%A9/?x=1"
    moved = prefix.without("/a%20b/%C3%A9?\xc3\xa9")
    assert isinstance(moved, NotFound)
    plan = plan_response(Request("GET", "/", ()), moved, 0.0)
    assert dict(plan.fields)["Location"] == "%C3%A9/?%C3%A9"
    assert prefix.without("/a%20b") == NotFound(NotFoundReason.OUTSIDE, "/a%20b/%C3%A9/")


def test_the_icon_that_browsers_ask_for_outside_of_the_prefix_is_no_error() -> None:
    assert plan_response(Request("GET", "/favicon.ico", ()), OUTSIDE, 0.0).status == 204
