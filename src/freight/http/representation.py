"""The selected representation of a resource (RFC 9110 section 3.2) and the fields that describe it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from freight.http import accept as negotiation
from freight.http import conditions, dates, disposition, error_pages, etags
from freight.http.error_response import NOSNIFF, VARY
from freight.model import Fields, Resource

_VARY_BY_CODING = ("Vary", "Accept-Encoding")
_CLOCK_SECONDS = 0.1  # the kernel stamps files by a clock that is up to one tick late, 1 to 10 ms


@dataclass(frozen=True, slots=True)
class Representation:
    """A representation, and its validators (None: it has none).

    ``opened`` is the media type that the source opens: it differs from ``media_type`` where browsers get a page.
    """

    resource: Resource
    media_type: str
    opened: str
    etag: str | None
    last_modified: int | None
    negotiated: bool


def select(resource: Resource, accept: str | None, now: float) -> Representation:
    """Select by Accept; when it accepts none, the first offered type rather than 406 (RFC 9110 section 12.4.1)."""
    offered, mtime_ns = resource.media_types, resource.mtime_ns
    negotiated = len(offered) > 1
    media_type = (negotiation.choose(accept, offered) or offered[0]) if negotiated else offered[0]
    for_browser = resource.browser_type and media_type == "text/html" and negotiation.is_browser(accept)
    variant = offered.index(media_type)
    etag = strong_tag(resource, variant)
    if resource.tag:
        etag = etags.weak(resource.tag, f"{variant}p" if for_browser else f"{variant}")
    # A modification time that all versions have is no validator.
    last_modified = None
    if mtime_ns is not None and resource.ctime_ns is None:
        last_modified = conditions.last_modified(mtime_ns, now)
        if resource.tag and last_modified >= int(now - _CLOCK_SECONDS):
            last_modified = None  # it may change again within this second, which the date could not tell
    opened = resource.browser_type if for_browser else media_type
    return Representation(resource, media_type, opened, etag, last_modified, negotiated)


def strong_tag(resource: Resource, variant: int = 0) -> str | None:
    """Return the entity tag of a resource's representation; None if nobody gave one, and size and time do not make one.

    It is strong, unless an application gave a weak one.
    """
    if resource.etag:
        return resource.etag
    if resource.size is None or resource.mtime_ns is None:
        return None
    coding = resource.coding if resource.is_encoded else ""
    return etags.strong(resource.size, resource.mtime_ns, variant, resource.ctime_ns, coding)


def fields(chosen: Representation, media_type: str = "") -> Fields:
    """Return the fields of a response with the representation, or with parts of it.

    ``media_type`` replaces its Content-Type, for an envelope around several ranges.
    """
    name = chosen.resource.name
    found = [
        ("Content-Type", media_type or content_type(chosen)),
        NOSNIFF,
        _encoding(chosen.resource),
        *validators(chosen),
    ]
    if name:
        found.append(("Content-Disposition", disposition.header(name, chosen.media_type, chosen.resource.disposition)))
    elif chosen.media_type == "text/html":
        policy = chosen.resource.policy
        found.append(("Content-Security-Policy", policy) if policy else error_pages.POLICY)
    return tuple(found)


def _encoding(resource: Resource) -> tuple[str, str]:
    """Return the content coding, or else which ranges are accepted.

    An encoded form has ranges for a client that names its tag, but does not offer them: a Range alone selects from the
    form without a coding, whose length is another (:mod:`freight.http.content_coding`). Without the offer, the cache of
    nginx takes no ranges from an encoded form that it has stored.
    """
    if resource.is_encoded:
        return "Content-Encoding", resource.coding
    return "Accept-Ranges", "none" if resource.size is None else "bytes"


def validators(chosen: Representation) -> Fields:
    """Return the fields that a 304 must repeat for caches (RFC 9110 section 15.4.5), and Last-Modified."""
    found = []
    if chosen.etag is not None:
        found.append(("ETag", chosen.etag))
    if chosen.last_modified is not None:
        found.append(("Last-Modified", dates.format(chosen.last_modified)))
    if chosen.last_modified is None or chosen.resource.produced:
        # Without a validator a cache cannot revalidate, and no cache may guess for how long a listing is fresh.
        found.append(("Cache-Control", "no-cache"))
    if chosen.negotiated:
        found.append(VARY)
    if chosen.resource.coding:
        found.append(_VARY_BY_CODING)
    return tuple(found)


def content_type(chosen: Representation) -> str:
    """Return the media type, with ``charset=utf-8`` for freight's own pages and for plain text.

    Browsers read plain text without a charset as windows-1252; UTF-8 is the better guess. CSV is UTF-8 by its
    registration (RFC 7111), and an HTML file declares its own encoding.
    """
    media_type = chosen.media_type
    own_page = media_type == "text/html" and not chosen.resource.name
    return f"{media_type}; charset=utf-8" if own_page or media_type == "text/plain" else media_type
