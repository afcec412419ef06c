"""Proactive negotiation by the Accept field (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re

from freight.rfc9110 import TCHAR

# Browsers send about 150 characters and 8 ranges. A field beyond these limits only costs work.
_MAX_CHARACTERS = 2048
_MAX_RANGES = 32
_MAX_PARAMETERS = 8  # in one range

_TOKEN = rf"{TCHAR}++"
_RANGE = re.compile(rf"({_TOKEN})/({_TOKEN})")
# An unclosed string runs to the end, so that the work stays linear.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

_MediaRange = tuple[str, str, bool, float]


def choose(value: str | None, offered: tuple[str, ...]) -> str | None:
    """Return the offered media type that an Accept value prefers, or None when it accepts none of them.

    Of equals the first offered wins. The most specific range that matches a type gives its weight. An absent, empty or
    oversized value, and one with only malformed elements, selects the first offered. Malformed elements are ignored.
    ``offered`` must not be empty, and its types have no parameters.
    """
    if value is None or len(value) > _MAX_CHARACTERS or value.count(",") >= _MAX_RANGES:
        return offered[0]
    # A quoted parameter may hold "," and ";", and never matches a type without parameters.
    elements = _QUOTED.sub("quoted", value).lower().split(",")
    ranges = [found for element in elements if (found := _media_range(element)) is not None]
    if not ranges:
        return offered[0]
    weights = [_weight(media_type, ranges) for media_type in offered]
    best = max(weights)
    return offered[weights.index(best)] if best > 0 else None


def is_browser(value: str | None) -> bool:
    """Return whether an Accept value comes from a browser.

    All browsers name application/xhtml+xml. Programs that read pages for their links (wget, curl, lftp, rclone, pip) do
    not.
    """
    return value is not None and "application/xhtml+xml" in value[:_MAX_CHARACTERS].lower()


def _media_range(element: str) -> _MediaRange | None:
    """Return type, subtype, whether a parameter narrows the range, and weight; None when malformed.

    ``element`` is lower-case. An element with more than 8 parameters counts as malformed.
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
            # Parameters after the weight do not belong to the range.
            return (found[1], found[2], narrowed, float(text)) if _QVALUE.fullmatch(text) else None
        # All of freight's texts are UTF-8, so charset=utf-8 narrows nothing.
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
