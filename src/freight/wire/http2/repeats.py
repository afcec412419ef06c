"""Header sections of HTTP/2 that equal an earlier one, or differ in the range alone: see :mod:`freight.repeats`.

The counterpart of :mod:`freight.wire.http1.repeats`. A section is known only once it has been decoded and checked: what
its bytes mean depends on the table of the connection. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from freight.model import Plan, Request
from freight.wire.http1 import response
from freight.wire.http1.repeats import MAX_HEAD_BYTES, read_numbers

Lines = list[tuple[bytes, bytes]]
"""Field lines of a section to send: names in lower case, and values."""

_UNIT = "bytes="
_DATE_AT = 1  # in the lines of a response


class RangedSection(NamedTuple):
    """A section of a GET with the range of bytes ``first`` to ``last``, both included. None: it has no range.

    ``key`` has a line for the target, for each name and each value of the other fields, and one more for a range: no
    valid section has a line break. One text takes a tenth of the memory of what it is made of.
    """

    key: str
    first: int
    last: int | None


class SectionFormat(NamedTuple):
    """The section of a 200 or 206. ``range_at`` is where its Content-Range is, for a 206 of ``size`` bytes in all."""

    lines: tuple[tuple[bytes, bytes], ...]
    range_at: int | None
    size: bytes

    def fill(self, date: str, first: int, length: int) -> Lines:
        """Return the lines for a date, and for a range if there is one."""
        lines = list(self.lines)
        lines[_DATE_AT] = (b"date", date.encode())
        if self.range_at is not None:
            lines[self.range_at] = (b"content-range", b"bytes %d-%d/%b" % (first, first + length - 1, self.size))
            lines[-1] = (b"content-length", b"%d" % length)
        return lines


def split_range(request: Request) -> RangedSection | None:
    """Return the key and the range of a request. None: it is no GET, too long, or its range has another form."""
    if request.method != "GET":
        return None
    ranges, lines = [], [request.target]
    for name, value in request.fields:
        if name == "range":
            ranges.append(value)
        else:
            lines += (name, value)
    first, last = 0, None
    if ranges:
        if len(ranges) > 1 or not ranges[0].startswith(_UNIT) or not ranges[0].isascii():
            return None
        numbers = read_numbers(ranges[0].removeprefix(_UNIT).encode())
        if numbers is None:
            return None
        first, last = numbers
        lines.append("range")
    key = "\n".join(lines)
    return RangedSection(key, first, last) if len(key) <= MAX_HEAD_BYTES else None


def section_lines(plan: Plan, date: str) -> Lines:
    """Return the lines of a response's section. Raise ValueError as :func:`response.check_fields` does."""
    response.check_fields(plan.fields)
    lines = [(b":status", b"%d" % plan.status), (b"date", date.encode()), (b"server", b"freight")]
    lines += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in plan.fields]
    if response.framing_of(plan, (1, 0)) is response.Framing.LENGTH:
        lines.append((b"content-length", b"%d" % (plan.length or 0)))
    return lines


def section_format(plan: Plan) -> SectionFormat:
    """Return the section of a 200 or 206 of known length as a format. Raise as :func:`section_lines` does."""
    lines = section_lines(plan, "")
    if plan.status == 200:
        return SectionFormat(tuple(lines), None, b"")
    at = [name for name, _ in lines].index(b"content-range")
    return SectionFormat(tuple(lines), at, lines[at][1].rpartition(b"/")[2])
