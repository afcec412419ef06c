"""Heads that differ from an earlier one in the range alone: a client that reads a file by ranges sends thousands.

**Goal.** What such a head means, and most of the answer's head, is known from the earlier one without parsing.

**Invariant.** Bytes split into a known key and a range only if the parser would accept them as one head that has the
fields of the earlier one, in the same order, and another Range.

That holds because only digits differ: the key has every other byte, and :func:`split` was given the earlier head as a
whole, whose parsed Range field was the one that :func:`split` found (:func:`is_key_of`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from freight.model import Plan, Request
from freight.wire.http1 import response

MAX_HEAD_BYTES = 1024
"""The longest head that is remembered, in bytes."""

_FIELD = b"ange: bytes="
_LINE_STARTS = (b"\r\nR", b"\r\nr")
_ZERO = ord("0")
_MAX_DIGITS = 31  # two numbers of 15 digits: a petabyte

Key = tuple[bytes, bytes]
"""What is before and after the numbers of the Range field."""


class RangedHead(NamedTuple):
    """A head of ``size`` bytes with one range: the bytes ``first`` to ``last``, both included."""

    key: Key
    first: int
    last: int
    size: int


def split(data: bytes) -> RangedHead | None:
    """Return the bytes of a head as its key and its range. None: it has no range, or another form of one."""
    before, _, rest = data.partition(_FIELD)
    digits, _, after = rest.partition(b"\r\n")
    first, _, last = digits.partition(b"-")
    if len(digits) > _MAX_DIGITS or not (first.isdigit() and last.isdigit()):
        return None
    if (first[0] == _ZERO and len(first) > 1) or (last[0] == _ZERO and len(last) > 1):
        return None  # another spelling
    return RangedHead((before, after), int(first), int(last), len(data))


def is_key_of(found: RangedHead, request: Request) -> bool:
    """Return whether the range that :func:`split` found in a head is the Range field of the request parsed from it."""
    ranges = [value for name, value in request.fields if name == "range"]
    return found.key[0].endswith(_LINE_STARTS) and ranges == [f"bytes={found.first}-{found.last}"]


def head_format(plan: Plan, version: tuple[int, int]) -> bytes:
    """Return the head of a 206 with one range, and of a connection that stays open, as a format for any range.

    Its values are the date, the first and the last byte, and the length. Raise as :func:`response.head` does.
    """
    fields = tuple((name, _escape(value)) for name, value in plan.fields if name != "Content-Range")
    (content_range,) = (value for name, value in plan.fields if name == "Content-Range")
    size = content_range.rpartition("/")[2]
    start = tuple(name for name, _ in plan.fields).index("Content-Range")
    fields = (*fields[:start], ("Content-Range", f"bytes %d-%d/{size}"), *fields[start:])
    head = response.head(replace(plan, fields=fields), date="%b", version=version, keep_alive=True)
    assert plan.length is not None
    before, length, after = head.rpartition(b"Content-Length: %d\r\n" % plan.length)
    assert length
    return before + b"Content-Length: %d\r\n" + after


def _escape(value: str) -> str:
    return value.replace("%", "%%")
