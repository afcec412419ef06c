"""Choose the form of a file: as it is, or compressed by a content coding (RFC 9110 sections 8.4 and 12.5.3). Pure.

The forms of one file have different bytes, so a client that continues a download must get the form that it began:

1. A form whose tag If-Match or If-Range names. The client has a part of it.
2. A form whose tag If-None-Match names, if the request accepts it: the client has it already.
3. For a GET with Range and neither If-Match nor If-Range: the file as it is. Its positions are those of the file.
4. The first form that Accept-Encoding prefers. A Range whose If-Range names no form is ignored for it: 200.

A compressed form is selected only if Accept-Encoding accepts its coding, whatever tag is named. So a client that
decodes what it stores, and continues with ``Accept-Encoding: identity``, never gets compressed bytes from the middle.
The file as it is stands in for what a request does not accept; freight never answers 406.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from freight.http import etags
from freight.http.representation import strong_tag
from freight.model import Request, Resource

CODINGS = ("zstd", "br", "gzip")
"""The content codings, best compression first. Of those that a client weighs equally, the first one is selected."""

SUFFIXES = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}
"""The end of a form's name, by its content coding."""

FIELDS = frozenset({"accept-encoding"})
"""Names of the fields that are read here and nowhere else."""

# Browsers send about 30 characters and 4 codings. A field beyond these limits selects the file as it is.
_MAX_CHARACTERS = 512
_MAX_ELEMENTS = 32

_ELEMENT = re.compile(
    r"[ \t]*+([!#$%&'*+\-.^_`|~0-9a-z]++)[ \t]*+(?:;[ \t]*+q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*+)?"
)


def wanted(request: Request) -> tuple[str, ...]:
    """Return the codings of which the request may get a form, preferred first."""
    if request.method not in ("GET", "HEAD"):
        return ()
    value = request.field("accept-encoding")
    if value is None or len(value) > _MAX_CHARACTERS or (_is_ranged(request) and not _is_tagged(request)):
        return ()
    return accepted(value)


def names_forms(request: Request) -> bool:
    """Return whether the request names tags of forms, so that all forms must be known."""
    return any(name in ("if-none-match", "if-match", "if-range") for name, _ in request.fields)


@lru_cache(maxsize=32)
def accepted(value: str) -> tuple[str, ...]:
    """Return the codings that an Accept-Encoding value prefers to the file as it is, in the order of their weights.

    ``*`` stands for gzip only, which every client that sends it can decode. Malformed elements are ignored.
    """
    weights: dict[str, float] = {}
    elements = value.lower().split(",", _MAX_ELEMENTS)
    if len(elements) > _MAX_ELEMENTS:
        return ()
    for element in elements:
        if found := _ELEMENT.fullmatch(element):
            coding = "gzip" if found[1] == "x-gzip" else found[1]
            weights[coding] = 1.0 if found[2] is None else float(found[2])
    if "*" in weights:
        weights.setdefault("gzip", weights["*"])
    least = weights.get("identity", 0.0)
    usable = [coding for coding in CODINGS if weights.get(coding, 0.0) > 0 and weights[coding] >= least]
    return tuple(sorted(usable, key=lambda coding: -weights[coding]))


def choose(request: Request, original: Resource, encoded: tuple[Resource, ...]) -> Resource:
    """Return the form that the request gets. ``encoded`` are those that it accepts, preferred first."""
    forms = (*encoded, original)
    ranged = _is_ranged(request)
    for name, applies, match in (
        ("if-match", True, etags.match_strong),
        ("if-range", ranged, etags.match_strong),
        ("if-none-match", True, etags.match_weak),
    ):
        value = request.field(name) if applies else None
        if value is not None and (named := _named(value, forms, match)) is not None:
            return named
    return original if ranged and request.field("if-range") is None else forms[0]


def _named(value: str, forms: tuple[Resource, ...], match: Callable[[str, str], bool]) -> Resource | None:
    tags = etags.parse_list(value)
    for form in forms:
        tag = strong_tag(form)
        if tag is not None and any(match(each, tag) for each in tags):
            return form
    return None


def _is_ranged(request: Request) -> bool:
    """Return whether the request has a Range that counts: only that of GET does (section 14.2)."""
    return request.method == "GET" and any(name == "range" for name, _ in request.fields)


def _is_tagged(request: Request) -> bool:
    return any(name in ("if-match", "if-range") for name, _ in request.fields)
