"""The canonical string and the signature of a link, by the vectors of the documentation; targets that are no link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.access.sign_url import url_of
from freight.access.signing import Link, Malformed, SignedTarget, canonical_string, is_signed_by, read, sign
from freight.http.target import encode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "signed-links.md"
SECRET = bytes(range(32))
LINK = Link("/exports/42.csv", 1767225600, "main", "192.0.2.0/24", "a b.csv")
GOOD = url_of(LINK, sign(LINK, SECRET))


def vectors() -> list[tuple[Link, str]]:
    """Return the links of the documentation, with their signatures."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- vectors -->")[2].partition("<!-- /vectors -->")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[3:]]
    return [(Link(path, int(at), "test", client, name), signature) for path, at, client, name, signature in rows]


def test_the_vectors_of_the_documentation_hold() -> None:
    found = vectors()
    assert len(found) == 10
    for link, signature in found:
        assert sign(link, SECRET) == signature
        signed = read(url_of(link, signature))
        assert signed == SignedTarget(link, signature, "")
        assert is_signed_by(signed, SECRET)
    shown = PAGE.read_text(encoding="utf-8").partition("<!-- canonical -->\n```\n")[2].partition("\n```")[0]
    assert shown == canonical_string(found[-1][0])


@pytest.mark.parametrize(
    "path",
    [
        "/exports/42.csv",
        "//exports///42.csv",
        "/./exports/42.csv",
        "/other/../exports/42.csv",
        "/%65xports/%34%32.csv",
        "/exports/%2e/42%2Ecsv",
    ],
)
def test_a_signature_holds_for_every_spelling_of_its_path(path: str) -> None:
    signed = read(path + GOOD.removeprefix(LINK.path))
    assert isinstance(signed, SignedTarget) and is_signed_by(signed, SECRET)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/exports",
        "/exports/",
        "/exports/42.csv/",
        "/exports/42.csv/.",
        "/Exports/42.csv",
        "/exports/42.CSV",
        "/exports/42.csv%20",
        "/exports/42.csv.zst",
        "/exports/4",
        "/exports/%2542.csv",
        "/exports%252F42.csv",
        "/exports/42.csv/../43.csv",
        "/x/exports/42.csv",
        "/exports\\42.csv",
        "/exports/42.csv;a",
        "/exports/42\xef\xbc\x8ecsv",
    ],
)
def test_a_signature_holds_for_no_other_path(path: str) -> None:
    signed = read(path + GOOD.removeprefix(LINK.path))
    assert isinstance(signed, SignedTarget) and not is_signed_by(signed, SECRET)


@pytest.mark.parametrize(
    "path", ["/exports%2F42.csv", "/exports/42.csv%00", "/%zz", "", "*", "/" * 300, "/a b", "/a#b"]
)
def test_a_path_that_names_nothing_is_malformed(path: str) -> None:
    assert isinstance(read(path + GOOD.removeprefix(LINK.path)), Malformed)


CHANGES = [
    ("expires=1767225600", "expires=1767225601"),
    ("expires=1767225600", "expires=1767225600 "),
    ("expires=1767225600", "expires=01767225600"),
    ("expires=1767225600", "expires=+1767225600"),
    ("expires=1767225600", "expires=1767225600.0"),
    ("expires=1767225600", "expires=1_767225600"),
    ("expires=1767225600", "expires=0"),
    ("expires=1767225600", "expires=-1"),
    ("expires=1767225600", "expires="),
    ("expires=1767225600", "expires=1e99"),
    ("expires=1767225600", "expires=" + "9" * 13),
    ("expires=1767225600", "expires=" + "9" * 5000),
    ("expires=1767225600", "expires=%31767225600"),
    ("expires=1767225600", "expires=\xb2"),
    ("expires=1767225600&", ""),
    ("expires=1767225600", "Expires=1767225600"),
    ("expires=1767225600", "expires=1767225600&expires=1767225600"),
    ("expires=1767225600", "expires=1767225600&expires=9999999999"),
    ("key=main", "key=other"),
    ("key=main", "key="),
    ("key=main", "key=" + "a" * 33),
    ("key=main", "key=ma%69n"),
    ("key=main", "key=main%0A"),
    ("key=main&", ""),
    ("key=main", "key=main&key=main"),
    ("client=192.0.2.0/24", "client=192.0.2.0/8"),
    ("client=192.0.2.0/24", "client=0.0.0.0/0"),
    ("client=192.0.2.0/24", "client="),
    ("client=192.0.2.0/24", "client=192.0.2.0/24%0a"),
    ("client=192.0.2.0/24", "client=192.0.2.0/24&client=0.0.0.0/0"),
    ("client=192.0.2.0/24", "client=" + "1" * 65),
    ("&client=192.0.2.0/24", ""),
    ("filename=a%20b.csv", "filename=b.csv"),
    ("filename=a%20b.csv", "filename=..%2Fb.csv"),
    ("filename=a%20b.csv", "filename=a%0D%0ASet-Cookie:x"),
    ("filename=a%20b.csv", "filename=%ff"),
    ("filename=a%20b.csv", "filename=%ED%B0%80"),
    ("filename=a%20b.csv", "filename=" + "a" * 256),
    ("filename=a%20b.csv", "filename=a%20b.csv&filename="),
    ("&filename=a%20b.csv", ""),
    ("&signature=", "&signature=A"),
    ("&signature=", "&Signature="),
    ("&signature=", "&sign%61ture="),
    ("&signature=", "&amp;signature="),
    ("&signature=", ";signature="),
    ("&signature=", "&signature=&signature="),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_link_that_was_changed_is_not_valid(before: str, after: str) -> None:
    assert before in GOOD
    signed = read(GOOD.replace(before, after, 1))
    assert not (isinstance(signed, SignedTarget) and is_signed_by(signed, SECRET))


@pytest.mark.parametrize("ending", ["=", "==", "%3D", "\n", "A"])
def test_a_signature_has_one_form(ending: str) -> None:
    assert isinstance(read(GOOD + ending), Malformed)
    # 43 characters hold two bits more than the signature: a decoder would accept four last characters.
    signed = read(GOOD[:-1])
    assert isinstance(signed, Malformed)
    others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".replace(GOOD[-1], "")
    for last in others:
        signed = read(GOOD[:-1] + last)
        assert isinstance(signed, SignedTarget) and not is_signed_by(signed, SECRET)


def test_order_and_other_parameters_do_not_matter() -> None:
    path, _, query = GOOD.partition("?")
    turned = "&".join(reversed(query.split("&")))
    for text in (f"{path}?{turned}", f"{path}?utm=1&{query}&C=M&&O=D"):
        signed = read(text)
        assert isinstance(signed, SignedTarget) and is_signed_by(signed, SECRET)
    assert read(f"{path}?utm=1&{query}&C=M") == SignedTarget(LINK, sign(LINK, SECRET), "utm=1&C=M")
    assert isinstance(read(f"{path}?{'a&' * 64}{query}"), Malformed)


def test_a_value_never_moves_into_another() -> None:
    """Each line of the canonical string is one value, so what one value ends with cannot begin the next."""
    lines = canonical_string(LINK).split("\n")
    assert len(lines) == 6
    assert len({sign(LINK, SECRET), sign(Link(LINK.path, 1767225600, "main", "", "192.0.2.0/24"), SECRET)}) == 2


def test_another_secret_makes_another_signature() -> None:
    signed = read(GOOD)
    assert isinstance(signed, SignedTarget)
    assert not is_signed_by(signed, bytes(32))


@given(st.text(max_size=80))
def test_any_target_is_read_without_an_error(text: str) -> None:
    for target in (text, GOOD + text, text + GOOD, GOOD.replace("main", text, 1)):
        read(target)


names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=20)


@given(st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4), st.booleans())
def test_what_is_signed_is_what_is_read(segments: list[str], directory: bool) -> None:
    link = Link(encode(segments, directory), 2000000000, "k")
    signed = read(url_of(link, sign(link, SECRET)))
    assert isinstance(signed, SignedTarget) and signed.link == link and is_signed_by(signed, SECRET)
    assert re.fullmatch(r"[!-~]+", signed.link.path)
