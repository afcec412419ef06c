"""Patterns of paths: against a slow matcher that tries everything, and with paths made to be slow."""

from __future__ import annotations

import itertools

import pytest

from freight.http.globs import MAX_PATTERN, compile_glob

NAMES = ["a", "b", "ab", "aab", "b.a"]
PARTS = ["a", "*", "**", "a*", "*b", "*a*b", "a*b*"]


def matches(pattern: str, path: str) -> bool:
    return compile_glob(pattern).fullmatch(path) is not None


def slowly(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Return whether names match, by trying every division."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(slowly(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return bool(path) and _fits(pattern[0], path[0]) and slowly(pattern[1:], path[1:])


def _fits(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_fits(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return pattern[0] == name[:1] and _fits(pattern[1:], name[1:])


def test_a_pattern_matches_what_trying_everything_finds() -> None:
    paths = [path for count in range(1, 4) for path in itertools.product(NAMES, repeat=count)]
    for parts in (each for count in range(1, 4) for each in itertools.product(PARTS, repeat=count)):
        pattern = compile_glob("/" + "/".join(parts))
        for path in paths:
            assert (pattern.fullmatch("/" + "/".join(path)) is not None) == slowly(parts, path), (parts, path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/", True),
        ("/", "/a", False),
        ("/*", "/", False),
        ("/*", "/a/", False),
        ("/*/", "/a/", True),
        ("/**", "/", True),
        ("/**", "/a/b/", True),
        ("/**/", "/", True),
        ("/**/", "/a/b/", True),
        ("/**/", "/a/b", False),
        ("/docs/**", "/docs", True),
        ("/docs/**", "/docs/", True),
        ("/docs/**", "/docs2", False),
        ("/**/docs/", "/a/docs/", True),
        ("/**/docs/**/a.*", "/docs/a.b", True),
        ("/a.csv", "/axcsv", False),
        ("/[ab]?{c}+$", "/[ab]?{c}+$", True),
        ("/*.csv", "/two\nlines.csv", True),
        ("/a", "/a\n", False),
        ("/A", "/a", False),
        ("/\N{LATIN SMALL LETTER E WITH ACUTE}*", "/\N{LATIN SMALL LETTER E WITH ACUTE}t\udcff", True),
    ],
)
def test_a_pattern_matches_a_path(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) == expected


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "does not start with /"),
        ("a/*", "does not start with /"),
        ("*.csv", "does not start with /"),
        ("/a//b", "has an empty name"),
        ("/a/../b", "has the name '..'"),
        ("/./b", "has the name '.'"),
        ("/a**", r"must stand alone"),
        ("/***", r"must stand alone"),
        ("/two%20words", "has an escape"),
        ("/a\rb", "has a control character"),
        ("/" + "a" * MAX_PATTERN, "at most 256 characters"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "piece"),
    [
        ("/" + "*a" * 120 + "*b", "a"),
        ("/" + "**/*a*/" * 36 + "b", "a/"),
        ("/" + "**/a/" * 50 + "b", "a/"),
        ("/" + "**/*a*a*a*a*b/" * 18 + "b", "aaaaaaa/"),
        ("/**/" + "*a" * 100 + "/b", "aaaa/"),
    ],
)
def test_no_path_makes_a_pattern_slow(pattern: str, piece: str) -> None:
    """The work is bounded by the product of the lengths. With backtracking the test would not end."""
    assert not matches(pattern, "/" + piece * (8000 // len(piece)) + "c")
