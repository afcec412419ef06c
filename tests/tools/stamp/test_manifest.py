"""A manifest is read strictly: an invalid line, or a path out of the directory, is an error with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import ConfigurationError
from freight.tools.stamp.manifest import LINE_BYTES_MAX, Stamp, head, order, read, write

DIGEST = "0" * 64
NAME = st.binary(min_size=1, max_size=20).filter(
    lambda name: not {b"/"[0], 0} & set(name) and name not in (b".", b"..")
)
NAMES = st.lists(NAME.map(lambda name: name.decode("utf-8", "surrogateescape")), min_size=1, max_size=4).map(tuple)


def line(**fields: object) -> bytes:
    whole = {"path": "a", "size": 1, "mtime_ns": 2, "digest": DIGEST} | fields
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def lines(*more: bytes) -> list[bytes]:
    return [head().encode(), *more]


@given(st.sets(NAMES), st.integers(0, (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_what_was_written_is_read_whatever_the_names_are(paths: set[tuple[str, ...]], size: int, mtime_ns: int) -> None:
    """Names of any bytes, in ASCII."""
    stamps = [Stamp(names, size, mtime_ns, DIGEST) for names in sorted(paths, key=order)]
    written = [head(), *map(write, stamps)]
    assert all(text.isascii() and "\n" not in text for text in written)
    assert list(read(text.encode() for text in written)) == stamps


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../../b", "a/./b", "a\0b", "\ud800"])
def test_a_path_that_leads_anywhere_but_down_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^line 2: "):
        list(read(lines(line(path=path))))


@pytest.mark.parametrize(
    "fields",
    [
        {"path": ...},
        {"size": -1},
        {"size": 1.0},
        {"size": True},
        {"size": 1 << 63},
        {"mtime_ns": "2"},
        {"mtime_ns": 1 << 63},
        {"digest": DIGEST[1:]},
        {"digest": DIGEST[1:] + "G"},
        {"digest": DIGEST[1:] + "A"},
        {"digest": None},
        {"more": 1},
    ],
)
def test_a_line_without_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"^line 3: "):
        list(read(lines(line(path="Z"), line(**fields))))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b"[" * 100_000, b" " * LINE_BYTES_MAX + b"{}", b"\xff"])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^line 2: "):
        list(read(lines(text)))
    with pytest.raises(ConfigurationError, match=r"^is not a manifest: its first line should be "):
        list(read([text]))


@pytest.mark.parametrize(("one", "other"), [("b", "a"), ("a", "a"), ("a.b", "a/b"), ("a/b/c", "a/b")])
def test_out_of_order_or_twice_is_refused(one: str, other: str) -> None:
    """Name by name: ``a/b`` comes before ``a.b``, as a walk has it."""
    with pytest.raises(ConfigurationError, match=r"^line 3: is out of order, or a duplicate"):
        list(read(lines(line(path=one), line(path=other))))


def test_nothing_at_all_is_no_manifest() -> None:
    with pytest.raises(ConfigurationError, match="is empty"):
        list(read([]))
