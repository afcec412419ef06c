"""Apply a Range field (RFC 9110 section 14.2) of the unit ``bytes`` to a representation of known size. Pure.

Invariants for every field value:

1. Spans lie within ``[0, size)``, are not empty, and neither overlap nor touch. Their sum never exceeds the size, so a
   response to Range never has more of the representation than a response without.
2. ``max_ranges`` limits their number and the work to find them. Ranges are counted before any number is parsed; a
   longer set is ignored, as sections 14.2 and 17.15 allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from freight.model import Span

_SPEC = re.compile(r"([0-9]*+)-([0-9]*+)")
# Empty elements are legal (section 5.6.1.2): "a reasonable number" of them is accepted.
_COMMAS_PER_RANGE = 4
# No file has 10**19 bytes (off_t ends at 2**63 - 1), so longer numbers need not be parsed.
_MAX_DIGITS = 19
_BEYOND = 10**_MAX_DIGITS


@dataclass(frozen=True, slots=True)
class NoRange:
    """The field is ignored: another unit, malformed, or too many ranges. The response is the whole."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The field is valid, and none of its ranges has a byte in the representation: 416."""


@dataclass(frozen=True, slots=True)
class Satisfiable:
    """The spans to send in the requested order, coalesced (section 15.3.7.2): at least one."""

    spans: tuple[Span, ...]


def parse(value: str, size: int, *, max_ranges: int) -> NoRange | Unsatisfiable | Satisfiable:
    """Return what a Range value selects from ``size`` bytes (sections 14.1.1 and 14.1.2). Never raises.

    A suffix longer than the representation selects all of it. ``-0`` is unsatisfiable. One invalid range (its last
    position before its first) invalidates the field, and an invalid field is ignored. So is any range of an empty
    representation: no Content-Range can express it, and a client that resumes or slices expects 200 with no content.
    """
    unit, equals, listed = value.partition("=")
    if not size or not equals or unit.lower() != "bytes" or listed.count(",") >= _COMMAS_PER_RANGE * max_ranges:
        return NoRange()
    specs = [spec for element in listed.split(",") if (spec := element.strip(" \t"))]
    if not 0 < len(specs) <= max_ranges:
        return NoRange()
    bounds: list[tuple[int, int]] = []
    for spec in specs:
        found = _bounds(spec, size)
        if found is None:
            return NoRange()
        bounds.append(found)
    selected = [(start, stop) for start, stop in bounds if start < size]
    if selected:
        return Satisfiable(tuple(Span(start, stop) for start, stop in _coalesce(selected)))
    return Unsatisfiable()


def _bounds(spec: str, size: int) -> tuple[int, int] | None:
    """Return a range-spec as ``[start, stop)``: start >= size if it is unsatisfiable, None if it is invalid."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        suffix = _number(last)
        return (max(0, size - suffix), size) if suffix else (_BEYOND, _BEYOND)
    start = _number(first)
    # Two numbers beyond any file need no comparison: neither selects a byte.
    stop = _number(last) + 1 if last else max(size, start + 1)
    return None if stop <= start else (start, max(min(stop, size), start + 1))


def _number(digits: str) -> int:
    digits = digits.lstrip("0") if len(digits) > _MAX_DIGITS else digits
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else _BEYOND


def _coalesce(bounds: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge spans that overlap or touch; each result takes the place of its first requested member."""
    if len(bounds) == 1:
        return bounds
    merged: list[tuple[int, int, int]] = []
    for start, stop, place in sorted((start, stop, place) for place, (start, stop) in enumerate(bounds)):
        if merged and start <= merged[-1][1]:
            before = merged.pop()
            merged.append((before[0], max(before[1], stop), min(before[2], place)))
        else:
            merged.append((start, stop, place))
    return [(start, stop) for start, stop, _ in sorted(merged, key=lambda group: group[2])]
