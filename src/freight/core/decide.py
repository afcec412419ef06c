"""The only place that picks a status: a request and what was found at its target become a whole answer.

In this order, the first that applies:

1. 417 for an expectation other than 100-continue; 501 for a method nobody registered; 405 for one that is not ours.
2. 400, 403, 404, 308, 503 for nothing to send; 204 for OPTIONS.
3. 412 and 304 by the preconditions (:mod:`freight.core.conditions`).
4. 416 and 206 by Range, when the method is GET, the size is known and If-Range agrees (:mod:`freight.core.ranges`).
5. 200.

What was decided so can still be turned away, 503, when there is no slot for it (:func:`turn_away`).

HEAD gets the fields and the length of GET in every case but Range, which is for GET alone (RFC 9110 section 14.2).

Every error says ``no-store``: 404, 405, 414 and 501 may be cached by rule of thumb (section 15.1), and the file may be
there a moment later. Every answer with content says ``nosniff``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import assert_never

from freight.core import accept as negotiation
from freight.core import conditions, dates, disposition, etags, multipart, pages, ranges, refusals
from freight.core.target import encode
from freight.legible import legible
from freight.model import Absence, Fields, Missing, Plan, Refused, Request, Resource, Span
from freight.quantities import spaced_size

MAX_RANGES = 32
"""Ranges in one request. PDF viewers and download tools ask for fewer; Apache's 200 buys nothing but small writes."""

ALLOW = "GET, HEAD, OPTIONS"

_ALLOWED = frozenset({"GET", "HEAD", "OPTIONS"})
# The registered methods that clients do send: 405 tells them that they are understood (RFC 9110 section 9.1).
_KNOWN = _ALLOWED | {
    *("POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH"),
    *("UNLOCK", "REPORT", "SEARCH", "QUERY"),
}
_MAX_EXPECTATIONS = 16
_READ = frozenset({"accept", "expect", "range", "if-range"})
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_NO_STORE = ("Cache-Control", "no-store")
_VARY = ("Vary", "Accept")
_ICON = "/favicon.ico"
_ICON_SECONDS = 86_400
_DEPTH_MAX = 64  # levels that a link leads up by "../", as it must behind a proxy that adds a prefix
_NOT_IN_TARGET = re.compile(r"[^!-~]|\\")


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The representation that was selected, what the source opens for it, and its validators (None: it has none)."""

    resource: Resource
    media_type: str
    opened: str
    etag: str | None
    last_modified: int | None
    negotiated: bool


def decide(request: Request, resource: Resource | Absence, now: float) -> Plan:
    """The answer to a request for what was located at its target; ``now`` in seconds since the epoch. Never raises.

    A :class:`Plan` for HEAD, 204 or 304 has no content. The length of a 304 is that of the representation, as a
    Content-Length there may say (RFC 9110 section 8.6).
    """
    asked = _gather(request.fields)
    plan = _refuse_asking(request, asked, resource)
    if plan is None and isinstance(resource, Resource) and request.method != "OPTIONS" and request.target != "*":
        plan = _answer(request, asked, _choose(resource, asked.get("accept"), now), now)
    if plan is None:
        plan = _answer_without(request, resource, asked.get("accept"))
    return _without_content(plan) if request.method == "HEAD" else plan


def trimmed(request: Request) -> Request:
    """The same request, as far as an answer depends on it: thousands wait, and other fields would wait with them."""
    fields = tuple(each for each in request.fields if each[0] in _READ or each[0] in conditions.FIELDS)
    return request if len(fields) == len(request.fields) else replace(request, fields=fields)


def turn_away(request: Request, refused: Refused, resource: Resource | None = None) -> Plan:
    """503: not now, why, and when (RFC 9110 sections 15.6.4 and 10.2.3): Retry-After is at least 1 second.

    ``resource`` is what was asked for: a page leads back to all files. The connection goes on: a client that comes
    back by it needs no other, and one that is to end is the caller's to close.
    """
    # To the one file there is no other way than this one.
    back = _way_back(request.target, resource) if resource is None or not resource.only else None
    detail = refusals.sentence(refused)
    plan = refuse(503, detail, request.field("accept"), retry_seconds=refused.retry_seconds, link=back)
    plan = replace(plan, refused=refused.words)
    return _without_content(plan) if request.method == "HEAD" else plan


def waited(plan: Plan, seconds: float) -> Plan:
    """The same answer, saying how long its request stood in line: ``Server-Timing``, in ms (W3C, section 2)."""
    return replace(plan, fields=(*plan.fields, ("Server-Timing", f"queue;dur={max(seconds, 0.0) * 1000:.1f}")))


def refuse(
    status: int,
    detail: str,
    accept: str | None = None,
    fields: Fields = (),
    *,
    close: bool = False,
    retry_seconds: int | None = None,
    link: pages.Link | None = None,
) -> Plan:
    """An error's whole answer: also for what never became a Request.

    ``detail`` is a sentence or two of our own; ``fields`` are what the status demands besides (Allow). With
    ``retry_seconds`` the answer says when to come back, as a field and in its content. ``link`` is a way on, for a
    page.
    """
    media_type, content = pages.body(status, detail, accept, retry_seconds, link)
    policy: Fields = ()
    if media_type == pages.HTML:
        policy = (pages.POLICY if retry_seconds is None else pages.RETRY_POLICY,)
    if retry_seconds is not None:
        fields = (*fields, ("Retry-After", str(retry_seconds)))
    fixed = (("Content-Type", media_type), _NOSNIFF, _NO_STORE, _VARY)
    return Plan(status, (*fixed, *policy, *fields), (content,), len(content), close=close)


def _without_content(plan: Plan) -> Plan:
    return replace(plan, parts=(), content=False)


def _gather(fields: Fields) -> dict[str, str]:
    """The fields that are read here, in one pass; several lines are one list (RFC 9110 section 5.3)."""
    asked: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _READ:
            asked.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in asked.items()}


def _refuse_asking(request: Request, asked: dict[str, str], resource: Resource | Absence) -> Plan | None:
    """The answer when the request cannot be met whatever is at its target."""
    accept, method = asked.get("accept"), request.method
    if "expect" in asked and not _is_met(asked["expect"]):
        return refuse(417, "This server knows no expectation but 100-continue.", accept)
    if method in _ALLOWED:
        return None
    allow, back = (("Allow", ALLOW),), _way_back(request.target, resource)
    if method in _KNOWN:
        return refuse(405, f"This server only sends files: the methods it takes are {ALLOW}.", accept, allow, link=back)
    return refuse(501, f"This server does not know this method. It takes {ALLOW}.", accept, allow, link=back)


def _is_met(expectations: str) -> bool:
    """Whether a list of expectations has none but 100-continue. One that is too long to be read is not."""
    members = expectations.split(",", _MAX_EXPECTATIONS)
    return len(members) <= _MAX_EXPECTATIONS and all(
        member.strip(" \t").lower() in ("", "100-continue") for member in members
    )


def _answer_without(request: Request, resource: Resource | Absence, accept: str | None) -> Plan:
    """The answer that needs no representation: OPTIONS, and every absence."""
    if request.target == "*":
        if request.method != "OPTIONS":
            return refuse(400, "Only OPTIONS can ask about the whole server, by the target *.", accept)
    elif isinstance(resource, Absence):
        return _answer_absence(request, resource, accept)
    return Plan(204, (("Allow", ALLOW),), content=False)


def _answer_absence(request: Request, absence: Absence, accept: str | None) -> Plan:
    back = _way_back(request.target, absence)
    match absence.why:
        case Missing.ABSENT:
            if request.target == _ICON and request.method != "OPTIONS":
                # Browsers ask for it beside a file that they show; without one, that is no mistake of anybody's.
                return Plan(204, (("Cache-Control", f"max-age={_ICON_SECONDS}"),), content=False)
            if absence.only:
                return refuse(404, f"This server has one file: {legible(absence.only)}", accept, link=back)
            return refuse(404, "There is no such file or directory on this server.", accept, link=back)
        case Missing.UNREADABLE:
            return refuse(403, "The server has no permission to read this.", accept, link=back)
        case Missing.MALFORMED:
            return refuse(400, "The address is malformed: it is not a path with whole %XX escapes.", accept, link=back)
        case Missing.MOVED:
            # One slash in front, and no backslash, which browsers read as one: "//host" is another server.
            path = "/" + _NOT_IN_TARGET.sub(_escape, absence.location).lstrip("/")
            detail = f"This is a directory, and its address ends in a slash: {path}"
            return refuse(308, detail, accept, (("Location", path),), link=pages.Link(path, path))
        case Missing.BUSY:
            return refuse(503, "The file cannot be opened at the moment.", accept, retry_seconds=1, link=back)
        case _:
            assert_never(absence.why)


def _way_back(target: str, found: Resource | Absence | None) -> pages.Link | None:
    """From an error's page to what there is: the root's listing, or the one file. None where the target is that."""
    path = target.partition("?")[0]
    depth = path.count("/") - 1
    if path == "/" or depth < 0:
        return None
    root = "/" if depth > _DEPTH_MAX else "../" * depth or "./"
    if found is not None and found.only:
        return pages.Link(f"{root}{encode((found.only,), False)[1:]}", f"Download {found.only}")
    return pages.Link(root, "\N{LEFTWARDS ARROW} All files")


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))


def _choose(resource: Resource, accept: str | None, now: float) -> _Chosen:
    """Select the representation; the first offered when Accept takes none, rather than 406 (section 12.4.1)."""
    offered, size, mtime_ns = resource.media_types, resource.size, resource.mtime_ns
    negotiated = len(offered) > 1
    media_type = (negotiation.choose(accept, offered) or offered[0]) if negotiated else offered[0]
    pages_for = resource.browser_type and media_type == "text/html" and negotiation.is_browser(accept)
    variant = offered.index(media_type)
    etag = None if size is None or mtime_ns is None else etags.strong(size, mtime_ns, variant)
    last_modified = None if mtime_ns is None else conditions.last_modified(mtime_ns, now)
    opened = resource.browser_type if pages_for else media_type
    return _Chosen(resource, media_type, opened, etag, last_modified, negotiated)


def _answer(request: Request, asked: dict[str, str], chosen: _Chosen, now: float) -> Plan:
    """The answer with a representation at hand: 412, 304, 416, 206 or 200."""
    size = chosen.resource.size
    outcome = conditions.evaluate(request, chosen.etag, chosen.last_modified, now)
    if outcome is conditions.Outcome.PRECONDITION_FAILED:
        detail = "The file is no longer the version that this request asks for."
        return refuse(412, detail, asked.get("accept"), link=_way_back(request.target, chosen.resource))
    if outcome is conditions.Outcome.NOT_MODIFIED:
        return Plan(304, _validators(chosen), (), size, content=False, media_type=chosen.opened)
    if size is None:
        return Plan(200, _describe(chosen), (Span(0, None),), None, media_type=chosen.opened)
    if "range" in asked and request.method == "GET":
        condition = asked.get("if-range")
        if condition is None or conditions.if_range(condition, chosen.etag, chosen.last_modified, now):
            selected = ranges.parse(asked["range"], size, max_ranges=MAX_RANGES)
            if isinstance(selected, ranges.Satisfiable):
                return _answer_part(chosen, selected.spans, size)
            if isinstance(selected, ranges.Unsatisfiable):
                unsatisfied = (("Content-Range", f"bytes */{size}"), ("Accept-Ranges", "bytes"))
                back = _way_back(request.target, chosen.resource)
                return refuse(416, _beyond(size), asked.get("accept"), unsatisfied, link=back)
    parts = (Span(0, size),) if size else ()
    return Plan(200, _describe(chosen), parts, size, media_type=chosen.opened)


def _beyond(size: int) -> str:
    if size == 0:
        return "The file is empty: no range has a byte of it."
    whole = f"{size:,} bytes" + (f" ({spaced_size(size)})" if size > 999 else "")
    return f"The range begins behind the end of the file, which has {whole}. A copy of that size is complete."


def _answer_part(chosen: _Chosen, spans: tuple[Span, ...], size: int) -> Plan:
    """206: one span as it is, several in an envelope (RFC 9110 sections 15.3.7.1 and 15.3.7.2)."""
    media_type = chosen.opened
    if len(spans) == 1:
        fields = (*_describe(chosen), ("Content-Range", multipart.content_range(spans[0], size)))
        start, stop = spans[0].start, spans[0].stop
        return Plan(206, fields, spans, stop - start if stop is not None else None, media_type=media_type)
    boundary = multipart.boundary(chosen.etag or str(size), spans)
    parts, length = multipart.lay_out(spans, size, _content_type(chosen), boundary)
    fields = _describe(chosen, f"multipart/byteranges; boundary={boundary}")
    return Plan(206, fields, parts, length, media_type=media_type)


def _describe(chosen: _Chosen, content_type: str = "") -> Fields:
    """The fields of an answer that carries the representation, or a part of it."""
    name = chosen.resource.name
    fields = [
        ("Content-Type", content_type or _content_type(chosen)),
        _NOSNIFF,
        ("Accept-Ranges", "none" if chosen.resource.size is None else "bytes"),
        *_validators(chosen),
    ]
    if name:
        fields.append(("Content-Disposition", disposition.header(name, chosen.media_type)))
    elif chosen.media_type == "text/html":
        policy = chosen.resource.policy
        fields.append(("Content-Security-Policy", policy) if policy else pages.POLICY)
    return tuple(fields)


def _validators(chosen: _Chosen) -> Fields:
    """What a cache needs of an answer, 304 included (RFC 9110 section 15.4.5), and Last-Modified."""
    fields = []
    if chosen.etag is not None:
        fields.append(("ETag", chosen.etag))
    if chosen.last_modified is not None:
        fields.append(("Last-Modified", dates.format(chosen.last_modified)))
    else:
        # Without a validator nobody could ask whether it is still fresh.
        fields.append(("Cache-Control", "no-cache"))
    if chosen.negotiated:
        fields.append(_VARY)
    return tuple(fields)


def _content_type(chosen: _Chosen) -> str:
    """The media type, with a charset where it is ours to say or where browsers would guess an older one.

    Plain text without one is read as windows-1252; UTF-8 is the better guess. CSV is UTF-8 by its registration (RFC
    7111), and an HTML file says itself what it is in.
    """
    media_type = chosen.media_type
    ours = media_type == "text/html" and not chosen.resource.name
    return f"{media_type}; charset=utf-8" if ours or media_type == "text/plain" else media_type
