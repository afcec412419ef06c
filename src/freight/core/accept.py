"""Proactive negotiation by the Accept field (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re

# Browsers send some 150 characters and 8 ranges; beyond these bounds a field is a burden, not a preference.
_MAX_CHARACTERS = 2048
_MAX_RANGES = 32
_MAX_PARAMETERS = 8  # of one range

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_RANGE = re.compile(rf"({_TOKEN})/({_TOKEN})")
# An unclosed string runs to the end, so that no character is looked at from two starts.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

_MediaRange = tuple[str, str, bool, float]


def choose(value: str | None, offered: tuple[str, ...]) -> str | None:
    """The offered media type that an Accept value likes best, None when it accepts none of them.

    Of equals the first offered wins. The most specific range that matches a type gives its weight. An absent, empty or
    oversized value prefers nothing: the first offered. A malformed element is passed over; when all are, likewise.
    ``offered`` holds types without parameters, and is not empty.
    """
    if value is None or len(value) > _MAX_CHARACTERS or value.count(",") >= _MAX_RANGES:
        return offered[0]
    # A quoted parameter may hold "," and ";" and cannot match what has no parameters.
    elements = _QUOTED.sub("quoted", value).lower().split(",")
    ranges = [found for element in elements if (found := _media_range(element)) is not None]
    if not ranges:
        return offered[0]
    weights = [_weight(media_type, ranges) for media_type in offered]
    best = max(weights)
    return offered[weights.index(best)] if best > 0 else None


def is_browser(value: str | None) -> bool:
    """Whether an Accept value is one of a program that shows pages to a person.

    All browsers name application/xhtml+xml, which nothing else has a use for; programs that read pages for their links
    (wget, curl, lftp, rclone, pip) do not.
    """
    return value is not None and "application/xhtml+xml" in value[:_MAX_CHARACTERS].lower()


def _media_range(element: str) -> _MediaRange | None:
    """Type, subtype, whether a parameter narrows it, and weight; None when malformed. ``element`` is lower-case.

    One with too many parameters counts as malformed.
    """
    if element.count(";") > _MAX_PARAMETERS:
        return None
    named, *parameters = (piece.strip(" \t") for piece in element.split(";"))
    found = _RANGE.fullmatch(named)
    if found is None or (found[1] == "*" and found[2] != "*"):
        return None
    narrowed = False
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name == "q":
            # What follows the weight is no parameter of the range.
            return (found[1], found[2], narrowed, float(text)) if _QVALUE.fullmatch(text) else None
        # UTF-8 is what every text of ours is in, so asking for it narrows nothing.
        narrowed = narrowed or (parameter != "" and parameter != "charset=utf-8")
    return found[1], found[2], narrowed, 1.0


def _weight(media_type: str, ranges: list[_MediaRange]) -> float:
    kind, _, subtype = media_type.partition("/")
    best = (-1, 0.0)
    for range_kind, range_subtype, narrowed, weight in ranges:
        if narrowed or range_kind not in (kind, "*") or range_subtype not in (subtype, "*"):
            continue
        specificity = (range_kind != "*") + (range_subtype != "*")
        best = max(best, (specificity, weight))
    return best[1]
