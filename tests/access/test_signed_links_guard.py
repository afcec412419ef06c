"""What a server makes of a link: when it is good, for which client, and what it still does after it has expired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight.access.keys import Keys
from freight.access.links import LinkChecker
from freight.access.sign_url import sign_url, url_of
from freight.access.signing import Link, sign
from freight.http.redacted import redacted
from freight.model import Fields, Grant, Request

KEYS = Keys({"old": bytes(range(32)), "new": bytes(32)})
NOW = 1_700_000_000.0
TAG = '"3e8-17f"'


def check(target: str, *fields: tuple[str, str], now: float = NOW, **values: str) -> Request | str | None:
    given: Fields = tuple(fields)
    request = Request(values.pop("method", "GET"), target, given, client=values.pop("client", "192.0.2.7"))
    return LinkChecker(KEYS).check(request, now)


def make(path: str = "/a.csv", seconds: float = 60, **values: str) -> str:
    return sign_url(path, keys=KEYS.secrets, expires=seconds, now=NOW, **values)


def test_a_valid_link_grants_its_path_and_leaves_nothing_of_itself() -> None:
    checked = check(make("/a b.csv", filename="c.csv") + "&C=M")
    assert isinstance(checked, Request)
    assert (checked.target, checked.grant) == ("/a%20b.csv?C=M", Grant(True, "c.csv"))
    checked = check(make(key="old"))
    assert isinstance(checked, Request) and checked.target == "/a.csv"


def test_without_a_signature_there_is_no_link() -> None:
    assert check("/a.csv") is None
    assert check("/a.csv?expires=1&key=new") is None
    assert check("/signature=x") is None
    assert check("/a.csv?xsignature=1") is None


@pytest.mark.parametrize(("after", "good"), [(0, True), (59.999, True), (60, False), (1e6, False), (-1e9, True)])
def test_a_link_is_good_until_the_second_at_which_it_expires(after: float, good: bool) -> None:
    checked = check(make(), now=NOW + after)
    if good:
        assert isinstance(checked, Request)
    else:
        assert checked == "This link expired at 2023-11-14 22:14:20 UTC. Ask for a new one where you got it."


def test_the_last_time_that_can_be_written_is_good() -> None:
    link = Link("/a.csv", 999_999_999_999, "new")
    assert isinstance(check(url_of(link, sign(link, bytes(32)))), Request)


@pytest.mark.parametrize(
    ("network", "client", "good"),
    [
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.70", False),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "192.0.2.7", False),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("192.0.2.0/24", "", False),
        ("192.0.2.0/24", "unix", False),
    ],
)
def test_a_link_may_be_for_one_network(network: str, client: str, good: bool) -> None:
    checked = check(make(client=network), client=client)
    assert isinstance(checked, Request) is good
    if not good:
        assert checked == "This link is for another client: your address is not in the network that it was made for."


@pytest.mark.parametrize("network", ["192.0.2.7/8", "...", "1.2.3.4/99", ":"])
def test_a_network_that_is_none_has_no_client(network: str) -> None:
    """A program may sign what freight would not."""
    link = Link("/a.csv", 2_000_000_000, "new", network)
    assert isinstance(check(url_of(link, sign(link, bytes(32)))), str)


def test_what_is_wrong_is_told_to_the_holder_of_a_right_signature_only() -> None:
    wrong = "The signature of this link is not valid: the link was changed, or its key has been withdrawn."
    assert check(make()[:-43] + "A" * 43, now=NOW + 1e6) == wrong
    assert check(make(client="10.0.0.1")[:-43] + "A" * 43) == wrong
    assert check(make().replace("key=new", "key=none")) == wrong
    assert check(make().replace("key=new", "key=old")) == wrong


def test_a_link_that_is_remembered_is_checked_all_the_same() -> None:
    checker, target = LinkChecker(KEYS), make(client="192.0.2.7", filename="b.csv")
    request = Request("GET", target, (), client="192.0.2.7")
    assert checker.check(request, NOW) == checker.check(request, NOW)
    assert isinstance(checker.check(replace(request, client="192.0.2.8"), NOW), str)
    assert isinstance(checker.check(request, NOW + 60), str)
    for other in (target[:-1], target + "A", f"{target}&expires=1", target.replace("a.csv", "b.csv")):
        assert isinstance(checker.check(replace(request, target=other), NOW), str)
    assert isinstance(checker.check(request, NOW + 59), Request)
    assert isinstance(LinkChecker(Keys({"other": bytes(32)})).check(request, NOW), str)


def test_what_is_remembered_is_bounded() -> None:
    checker, target = LinkChecker(KEYS), make()
    for number in range(1000):
        assert isinstance(checker.check(Request("GET", f"{target}&{number}", ()), NOW), Request)
    assert isinstance(checker.check(Request("GET", f"{target}&{'x' * 7000}", ()), NOW), Request)
    assert isinstance(checker.check(Request("GET", f"{target[:-1]}A", ()), NOW), str)
    assert len(checker._remembered) <= 256
    assert max(map(len, checker._remembered)) <= 512


RANGE = ("range", "bytes=100-")


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ((RANGE, ("if-range", TAG)), True),
        ((RANGE, ("if-match", TAG)), True),
        ((), False),
        ((RANGE,), False),
        ((("if-range", TAG),), False),
        ((RANGE, ("if-range", "Tue, 14 Nov 2023 22:13:20 GMT")), False),
        ((RANGE, ("if-range", f"W/{TAG}")), False),
        ((RANGE, ("if-match", "*")), False),
        ((RANGE, ("if-match", f'{TAG}, "b"')), False),
        ((RANGE, ("if-match", f"W/{TAG}")), False),
        ((RANGE, ("if-none-match", TAG)), False),
    ],
)
def test_after_its_expiry_a_link_resumes_for_a_day(fields: tuple[tuple[str, str], ...], good: bool) -> None:
    checked = check(make(), *fields, now=NOW + 60 + 86_399)
    assert isinstance(checked, Request) is good
    if isinstance(checked, Request):
        assert checked.grant is not None and checked.grant.expired_at == NOW + 60
    assert isinstance(check(make(), *fields, now=NOW + 60 + 86_400), str)
    assert isinstance(check(make(), *fields, now=NOW + 61, method="HEAD"), str)


@pytest.mark.parametrize(
    ("path", "values", "why"),
    [
        ("a.csv", {}, "path"),
        ("/../a.csv", {}, "path"),
        ("/a/./b", {}, "path"),
        ("//a", {}, "path"),
        ("/a//", {}, "path"),
        ("/a\0", {}, "path"),
        ("/\ud800", {}, "path"),
        ("/a", {"client": "10.0.0.1/8"}, "client"),
        ("/a", {"client": "fe80::1%eth0"}, "client"),
        ("/a", {"client": "localhost"}, "client"),
        ("/a", {"filename": "a/b"}, "filename"),
        ("/a", {"filename": "a\\b"}, "filename"),
        ("/a", {"filename": ".."}, "filename"),
        ("/a", {"filename": "a\r\nSet-Cookie: b"}, "filename"),
        ("/a", {"filename": "\u202egpj.exe"}, "filename"),
        ("/a", {"filename": "\N{LATIN SMALL LETTER E WITH ACUTE}" * 128}, "filename"),
        ("/a", {"filename": "\udcff"}, "filename"),
        ("/a", {"base_url": "files.example.org"}, "base_url"),
        ("/a", {"base_url": "javascript://x"}, "base_url"),
        ("/a", {"base_url": "https://a.example?b"}, "base_url"),
        ("/a", {"key": "none"}, "there is no key"),
    ],
)
def test_a_link_that_no_server_would_accept_is_not_made(path: str, values: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        make(path, **values)


@pytest.mark.parametrize("seconds", [0, -1, 0.5, float("inf"), float("nan"), 1e12])
def test_a_link_lasts_a_second_or_longer(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^expires"):
        make(seconds=seconds)


def test_secrets_that_are_given_are_checked() -> None:
    for keys in ({}, {"a b": bytes(32)}, {"k": bytes(31)}):
        with pytest.raises(ValueError, match=r"keys|secret"):
            sign_url("/a", keys=keys, expires=60)


def test_the_base_may_have_a_path() -> None:
    made = make(base_url="https://files.example.org/pub/")
    assert made.startswith("https://files.example.org/pub/a.csv?expires=1700000060&key=new&signature=")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a?expires=1&signature=abc_-9&x=1", "/a?expires=1&signature=...&x=1"),
        ("/a?signature=abc", "/a?signature=..."),
        ("/a?x=1&amp;signature=abc", "/a?x=1&amp;signature=..."),
        ("/a?Signature=abc&SIGNATURE=def", "/a?Signature=...&SIGNATURE=..."),
        ("/a%3Fexpires%3D1%26signature%3Dabc%26x", "/a%3Fexpires%3D1%26signature%3D..."),
        ("/a%253Fsignature%253dabc", "/a%253Fsignature%253d..."),
        ("https://x/?signature=abc#top", "https://x/?signature=..."),
        ("/signature", "/signature"),
        (f"/a?signature={'a' * 43}", "/a?signature=..."),
        (f"/a?signature={'a' * 42}", "/a?signature=..."),
        (f"/a?signature={'a' * 43}&b", "/a?signature=...&b"),
        ("/a?b=c%20d", "/a?b=c%20d"),
    ],
)
def test_no_text_shows_a_signature(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown
