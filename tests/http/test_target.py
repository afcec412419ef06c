"""Request targets: RFC 9112 section 3.2.1, RFC 3986 sections 2.1 and 3.3."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freight.http.target import Target, as_uri, encode, parse

names = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda raw: raw not in (b".", b"..") and not {0, 47} & set(raw))
    .map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
pieces = st.sampled_from(
    ["/", "..", ".", "%2e", "%2E", "%2f", "%5c", "\\", "%", "%0", "%00", "%252e", "a", "%ff", "?", "\xe9"]
)


@pytest.mark.parametrize(
    ("target", "segments", "directory"),
    [
        ("/", (), True),
        ("/a", ("a",), False),
        ("/a/", ("a",), True),
        ("/a/b.csv", ("a", "b.csv"), False),
        ("/a%20b", ("a b",), False),
        ("/%61", ("a",), False),
        ("/%C3%A9", ("é",), False),
        ("/\xc3\xa9", ("é",), False),
        ("/%FF", ("\udcff",), False),
        ("/%252e", ("%2e",), False),
        ("/a+b", ("a+b",), False),
        ("/a%3Fb", ("a?b",), False),
        ("/...", ("...",), False),
        ("/.hidden", (".hidden",), False),
        ("/a%5Cb", ("a\\b",), False),
        ("/..\\..\\etc", ("..\\..\\etc",), False),
        ("/..", (), True),
        ("/../etc/passwd", ("etc", "passwd"), False),
        ("/a/../b", ("b",), False),
        ("/a/../../../b/c", ("b", "c"), False),
        ("/.", (), True),
        ("/./a", ("a",), False),
        ("/./a:b.csv", ("a:b.csv",), False),
        ("/a/.", ("a",), True),
        ("/a/..", (), True),
        ("/a/b/..", ("a",), True),
        ("/%2e%2e/etc", ("etc",), False),
        ("/%2E./x", ("x",), False),
        ("/.%2e/", (), True),
        ("/a/%2e%2E/%2e/b", ("b",), False),
        ("//", (), True),
        ("//host/a", ("host", "a"), False),
        ("/a//b", ("a", "b"), False),
        ("/a//", ("a",), True),
        ("/a//..", (), True),
    ],
)
def test_a_path_is_decoded_once_and_its_dot_and_empty_segments_are_removed(
    target: str, segments: tuple[str, ...], directory: bool
) -> None:
    assert parse(target) == Target(segments, directory)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "a",
        "*",
        "http://h/",
        "/%",
        "/%4",
        "/%zz",
        "/%2",
        "/a%00",
        "/%00/b",
        "/a b",
        "/a\r\nb",
        "/\x7f",
        "/a#b",
        "/é€",
    ]
    + ["/%?a", "/?a=%00", "/?a=%%00", "/?a b", "/\0"],
)
def test_what_is_not_origin_form_is_malformed(target: str) -> None:
    assert parse(target) is None


@pytest.mark.parametrize(
    "target",
    ["/a%2fb", "/..%2f..%2fetc", "/%2F", "/a/%2e%2e%2fb", "/a%2F../b"],
)
def test_escaped_slashes_are_unresolvable(target: str) -> None:
    found = parse(target)
    assert found is not None and found.unresolvable and found.segments == ()


def test_every_form_of_an_escape_is_decoded() -> None:
    for high in "89abcdefABCDEF":
        for low in "0123456789abcdefABCDEF":
            assert parse(f"/%{high}{low}") == Target((f"{chr(0xDC00 + int(high + low, 16))}",), False)


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", ()),
        ("sort=name", (("sort", "name"),)),
        ("sort=name&order=desc", (("sort", "name"), ("order", "desc"))),
        ("a", (("a", ""),)),
        ("a=1=2", (("a", "1=2"),)),
        ("&&a=1&", (("a", "1"),)),
        ("a+b=c%20d", (("a b", "c d"),)),
        ("a=%C3%A9", (("a", "é"),)),
        ("a=?/", (("a", "?/"),)),
        ("%", (("%", ""),)),
        ("a=50%", (("a", "50%"),)),
        ("a=50%&b=%41", (("a", "50%"), ("b", "A"))),
        ("a=%4&b=%zz%2%41", (("a", "%4"), ("b", "%zz%2A"))),
        ("a=%%%25+%", (("a", "%%% %"),)),
    ],
)
def test_a_query_is_parsed_into_pairs(query: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert parse(f"/x?{query}") == Target(("x",), False, pairs)


def test_only_the_first_pairs_of_a_query_are_parsed() -> None:
    found = parse("/?" + "a=1&" * 10_000)
    assert found is not None and len(found.query) == 64


@given(st.lists(names, min_size=1, max_size=4), st.booleans())
@example(["%41"], False)
@example([" ?#&"], True)
def test_every_file_name_has_a_target_that_parses_back(segments: list[str], directory: bool) -> None:
    target = encode(segments, directory)
    assert target.isascii() and target.isprintable() and not target.startswith("//")
    assert parse(target) == Target(tuple(segments), directory)


@given(st.text(st.characters(max_codepoint=255)))
@example("\xc3\xa9?\xe9")
def test_what_no_uri_has_is_encoded_and_the_target_means_the_same(text: str) -> None:
    target = f"/{text}"
    sent = as_uri(target)
    assert sent.isascii() and not set(sent) & set(' "<>\\^`{|}') and as_uri(sent) == sent
    assert parse(target) is None or parse(sent) == parse(target)


def test_the_root_is_a_slash() -> None:
    assert encode((), True) == "/"


@given(st.one_of(st.text(), st.lists(pieces, max_size=8).map(lambda some: "/" + "".join(some))))
def test_no_target_escapes_and_none_raises(target: str) -> None:
    found = parse(target)
    if found is not None:
        for segment in found.segments:
            assert segment not in ("", ".", "..") and "/" not in segment and "\0" not in segment
