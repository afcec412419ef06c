"""Heads that equal an earlier one, or differ in the range alone: a client that reads by ranges sends thousands.

**Goal.** What such a head means, and most of the answer's head, is known from the earlier one without parsing.

**Invariant.** Bytes split into a known key and a range only if the parser would accept them as one head that has the
fields of the earlier one, in the same order, and perhaps another Range.

That holds because only digits differ, as the key has every other byte. The earlier head was given to
:func:`split_range` as a whole, and what that found was the parsed Range field (:func:`is_key_of`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from freight.model import Plan, Request
from freight.wire.http1 import response

MAX_HEAD_BYTES = 1024
"""The longest head that is remembered, in bytes."""

_FIELD = b"ange: bytes="
_END = b"\r\n\r\n"
_LINE_STARTS = (b"\r\nR", b"\r\nr")
_ZERO = ord("0")
_MAX_DIGITS = 31  # two numbers of 15 digits: a petabyte

Key = tuple[bytes, bytes]
"""What is before and after the numbers of the Range field."""


class RangedHead(NamedTuple):
    """A head of ``size`` bytes with one range: the bytes ``first`` to ``last``, both included.

    ``last`` is None for a head without a range.
    """

    key: Key
    first: int
    last: int | None
    size: int


def split_range(data: bytes) -> RangedHead | None:
    """Return the key and the range of a head. None: its range has another form, or it is no whole head."""
    if not data.endswith(_END):
        return None  # the first part of a head may be as long as a whole one: the parser skips empty lines before it
    before, found, rest = data.partition(_FIELD)
    if not found:
        return RangedHead((data, b""), 0, None, len(data))
    digits, _, after = rest.partition(b"\r\n")
    numbers = read_numbers(digits)
    return None if numbers is None else RangedHead((before, after), *numbers, len(data))


def read_numbers(digits: bytes) -> tuple[int, int] | None:
    """Return the two numbers of a range, such as b"0-99". None: it has another form, or another spelling."""
    first, _, last = digits.partition(b"-")
    if len(digits) > _MAX_DIGITS or not (first.isdigit() and last.isdigit()):
        return None
    if (first[0] == _ZERO and len(first) > 1) or (last[0] == _ZERO and len(last) > 1):
        return None
    return int(first), int(last)


def is_key_of(found: RangedHead, request: Request) -> bool:
    """Return whether the range that was found in a head is the Range field of the request parsed from it."""
    ranges = [value for name, value in request.fields if name == "range"]
    if found.last is None:
        return not ranges
    return found.key[0].endswith(_LINE_STARTS) and ranges == [f"bytes={found.first}-{found.last}"]


def head_format(plan: Plan, version: tuple[int, int]) -> bytes:
    """Return the head of a 200 or 206 of a connection that stays open, as a format.

    Its values are the date, and for a 206 the first and the last byte, and the length. Raise as
    :func:`response.head` does.
    """
    fields = tuple((_escape(name), _escape(value)) for name, value in plan.fields)
    if plan.status == 200:
        return response.head(replace(plan, fields=fields), date="%b", version=version, keep_alive=True)
    at = [name for name, _ in fields].index("Content-Range")
    size = fields[at][1].rpartition("/")[2]
    fields = (*fields[:at], ("Content-Range", f"bytes %d-%d/{size}"), *fields[at + 1 :])
    head = response.head(replace(plan, fields=fields), date="%b", version=version, keep_alive=True)
    assert plan.length is not None
    before, length, after = head.rpartition(b"\r\nContent-Length: %d\r\n" % plan.length)
    assert length
    return before + b"\r\nContent-Length: %d\r\n" + after


def _escape(text: str) -> str:
    return text.replace("%", "%%")
