"""Choose the status and plan the whole response for a request and what was located at its target. Pure.

No other module chooses a status for a file. The first of these that applies decides:

1. 417 for an expectation other than 100-continue; 501 for an unregistered method; 405 for an unsupported one.
2. 400, 403, 404, 308, 503 where there is nothing to send; 204 for OPTIONS.
3. 412 and 304 by the preconditions (:mod:`freight.http.conditions`).
4. 416 and 206 by Range: the method is GET, the size is known and If-Range matches (:mod:`freight.http.ranges`).
5. 200.

A request that gets no slot is rejected with 503 instead (:func:`plan_rejection`), and one for which the disk fails with
500 (:func:`plan_unreadable`).

HEAD has the fields and the length of GET, except for Range, which only GET has (RFC 9110 section 14.2).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import assert_never

from freight.http import conditions, error_pages, multipart, ranges, rejections, representation
from freight.http.error_response import for_method, plan_error
from freight.http.printable import printable
from freight.http.representation import Representation
from freight.http.target import as_uri, encode
from freight.model import Fields, NotFound, NotFoundReason, Plan, Rejected, Request, Resource, Span
from freight.units import spaced_size

MAX_RANGES = 256
"""Largest number of ranges in one request. zchunk and zsync2 send up to 256; Apache takes 200."""

ALLOW = "GET, HEAD, OPTIONS"

_ALLOWED = frozenset({"GET", "HEAD", "OPTIONS"})
# Registered methods that clients do send: 405 says that the server knows them (RFC 9110 section 9.1).
_KNOWN = _ALLOWED | {
    *("POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND", "PROPPATCH"),
    *("UNLOCK", "REPORT", "SEARCH", "QUERY"),
}
_MAX_EXPECTATIONS = 16
_FIELDS_READ = frozenset({"accept", "expect", "origin", "range", "if-range"})
_ALL_FILES = "\N{LEFTWARDS ARROW} All files"
_ICON = "/favicon.ico"
_ICON_SECONDS = 86_400
_UNRESPONSIVE_RETRY_SECONDS = 5  # when the first probe is due: freight.sources.disk_queue.PROBE_SECONDS
# Links climb by "../", because a proxy may add a prefix. Beyond this depth a page has none: it would be long, and "/"
# may belong to another server.
_MAX_DEPTH = 64


def plan_response(request: Request, resource: Resource | NotFound, now: float) -> Plan:
    """Return the response to a request. ``now`` is in seconds since the epoch. Never raises.

    A :class:`Plan` for HEAD, 204 or 304 has no content. The length of a 304 is that of the representation, which RFC
    9110 section 8.6 allows as its Content-Length.
    """
    fields = _join_fields(request.fields)
    plan = _plan_refusal(request, fields, resource)
    if plan is None and isinstance(resource, Resource) and request.method != "OPTIONS" and request.target != "*":
        chosen = representation.select(resource, fields.get("accept"), now)
        plan = _plan_representation(request, fields, chosen, now)
    if plan is None:
        plan = _plan_without_representation(request, resource, fields.get("accept"))
    return for_method(request.method, plan)


def trimmed(request: Request, more: Container[str] = ()) -> Request:
    """Return the request with only the fields that its response depends on: thousands may be queued in memory.

    ``more`` are the names of fields on which it depends besides.
    """
    fields = tuple(
        each for each in request.fields if each[0] in _FIELDS_READ or each[0] in conditions.FIELDS or each[0] in more
    )
    return request if len(fields) == len(request.fields) else replace(request, fields=fields)


def plan_rejection(request: Request, rejected: Rejected, resource: Resource | None = None) -> Plan:
    """Return a 503 with the reason and a Retry-After of at least 1 second (RFC 9110 sections 15.6.4 and 10.2.3).

    ``resource`` is the one that was requested: the page links back to the listing. The connection stays open: a client
    that retries needs no other. The caller closes it where it has to end.
    """
    # A server of one file has no other page to link to.
    back = _link_back(request.target, resource) if resource is None or not resource.only_file else None
    detail = rejections.sentence(rejected)
    plan = plan_error(503, detail, request.field("accept"), retry_seconds=rejected.retry_seconds, link=back)
    return for_method(request.method, replace(plan, reject_code=rejected.code))


def plan_unreadable(request: Request) -> Plan:
    """Return a 500 for a disk that failed at the look-up or the open. The connection ends after it."""
    detail = "The server cannot read this file."
    return for_method(request.method, plan_error(500, detail, request.field("accept"), close=True))


def with_queue_timing(plan: Plan, seconds: float) -> Plan:
    """Return the plan with the time that its request was queued: ``Server-Timing``, in ms (W3C, section 2)."""
    return replace(plan, fields=(*plan.fields, ("Server-Timing", f"queue;dur={max(seconds, 0.0) * 1000:.1f}")))


def _join_fields(fields: Fields) -> dict[str, str]:
    """Join the lines of each field that is read here; several lines are one list (RFC 9110 section 5.3)."""
    lines: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _FIELDS_READ:
            lines.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in lines.items()}


def _plan_refusal(request: Request, fields: dict[str, str], resource: Resource | NotFound) -> Plan | None:
    """Return the response to a request that cannot succeed whatever its target is, or None."""
    accept, method = fields.get("accept"), request.method
    if "expect" in fields and not _is_supported(fields["expect"]):
        return plan_error(417, "The only supported expectation is 100-continue.", accept)
    if method in _ALLOWED:
        return None
    allow, back = (("Allow", ALLOW),), _link_back(request.target, resource)
    if method in _KNOWN:
        detail = f"This server only serves files. Supported methods: {ALLOW}."
        return plan_error(405, detail, accept, allow, link=back)
    return plan_error(501, f"Unknown method. Supported methods: {ALLOW}.", accept, allow, link=back)


def _is_supported(expectations: str) -> bool:
    """Return whether a list of expectations has only 100-continue. A list of more than 16 is not supported."""
    members = expectations.split(",", _MAX_EXPECTATIONS)
    return len(members) <= _MAX_EXPECTATIONS and all(
        member.strip(" \t").lower() in ("", "100-continue") for member in members
    )


def _plan_without_representation(request: Request, resource: Resource | NotFound, accept: str | None) -> Plan:
    """Return the response for OPTIONS, or for a target where nothing was found."""
    if request.target == "*":
        if request.method != "OPTIONS":
            return plan_error(400, "The target * is valid only with OPTIONS.", accept)
    elif isinstance(resource, NotFound):
        return _plan_not_found(request, resource, accept)
    return Plan(204, (("Allow", ALLOW),), content=False)


def _plan_not_found(request: Request, absence: NotFound, accept: str | None) -> Plan:
    back = _link_back(request.target, absence)
    match absence.reason:
        case NotFoundReason.ABSENT:
            if request.target == _ICON and request.method != "OPTIONS":
                return _plan_no_icon()
            if absence.only_file:
                detail = f"This server serves one file: {printable(absence.only_file)}"
                return plan_error(404, detail, accept, link=back)
            return plan_error(404, "There is no such file or directory on this server.", accept, link=back)
        case NotFoundReason.UNREADABLE:
            return plan_error(403, "The server has no permission to read this.", accept, link=back)
        case NotFoundReason.MALFORMED:
            detail = "The address is malformed. A path starts with / and two hexadecimal digits follow every %."
            return plan_error(400, detail, accept, link=back)
        case NotFoundReason.MOVED:
            # A relative reference (RFC 9110 section 10.2.2) stays right behind a proxy that strips a prefix. A name
            # with a colon would be a scheme (RFC 3986 section 4.2).
            path, mark, query = as_uri(absence.location).partition("?")
            name = path.rstrip("/").rpartition("/")[2] + "/"
            reference = f"{'./' if ':' in name else ''}{name}{mark}{query}"
            detail = f"This is a directory; its address ends with a slash: {name}"
            return plan_error(308, detail, accept, (("Location", reference),), link=error_pages.Link(reference, name))
        case NotFoundReason.OUTSIDE:
            if request.target == _ICON and request.method != "OPTIONS":
                return _plan_no_icon()
            detail = f"Everything on this server is below {absence.location}"
            return plan_error(404, detail, accept, link=back)
        case NotFoundReason.BUSY:
            return plan_error(503, "The file cannot be opened at the moment.", accept, retry_seconds=1, link=back)
        case NotFoundReason.UNRESPONSIVE:
            detail = "The file system of this file does not answer at the moment."
            plan = plan_error(503, detail, accept, retry_seconds=_UNRESPONSIVE_RETRY_SECONDS, link=back)
            return replace(plan, reject_code="file-system")
        case _:
            assert_never(absence.reason)


def _plan_no_icon() -> Plan:
    """Return the response for the icon that browsers request beside every file: its absence is not an error."""
    return Plan(204, (("Cache-Control", f"max-age={_ICON_SECONDS}"),), content=False)


def _link_back(target: str, found: Resource | NotFound | None) -> error_pages.Link | None:
    """Return a link from an error page to the root's listing or to the one file.

    None: the target is the root, or has so many segments that the link would be long.
    """
    path = target.partition("?")[0]
    depth = path.count("/") - 1
    if depth > _MAX_DEPTH:
        return None
    root = "../" * depth or "./"
    if isinstance(found, NotFound) and found.reason is NotFoundReason.OUTSIDE:
        return error_pages.Link(f"{root}{found.location[1:]}", _ALL_FILES)
    if path == "/" or depth < 0:
        return None
    if found is not None and found.only_file:
        return error_pages.Link(f"{root}{encode((found.only_file,), False)[1:]}", f"Download {found.only_file}")
    return error_pages.Link(root, _ALL_FILES)


def _plan_representation(request: Request, fields: dict[str, str], chosen: Representation, now: float) -> Plan:
    """Return the response with a representation: 412, 304, 416, 206 or 200."""
    size = chosen.resource.size
    # wget -m sends the date of a listing, and after a 304 never looks into the directories below. Their changes do not
    # change this listing, so the date of a listing is no condition.
    dated = None if chosen.resource.produced else chosen.last_modified
    outcome = conditions.evaluate(request, chosen.etag, dated, now)
    if outcome is conditions.Precondition.PRECONDITION_FAILED:
        detail = "The file is not the version that this request requires."
        return plan_error(412, detail, fields.get("accept"), link=_link_back(request.target, chosen.resource))
    if outcome is conditions.Precondition.NOT_MODIFIED:
        return Plan(304, representation.validators(chosen), (), size, content=False, media_type=chosen.opened)
    if size is None:
        return Plan(200, representation.fields(chosen), (Span(0, None),), None, media_type=chosen.opened)
    if "range" in fields and request.method == "GET":
        condition = fields.get("if-range")
        # Both forms of a file may have the same date, so it does not prove the same bytes.
        dated = None if chosen.resource.coding else chosen.last_modified
        if condition is None or conditions.if_range(condition, chosen.etag, dated, now):
            selected = ranges.parse(fields["range"], size, max_ranges=_max_ranges(chosen))
            if isinstance(selected, ranges.Satisfiable):
                return _plan_ranges(chosen, selected.spans, size)
            if isinstance(selected, ranges.Unsatisfiable):
                unsatisfied = (("Content-Range", f"bytes */{size}"), ("Accept-Ranges", "bytes"))
                back = _link_back(request.target, chosen.resource)
                return plan_error(416, _unsatisfiable_detail(size), fields.get("accept"), unsatisfied, link=back)
    parts = (Span(0, size),) if size else ()
    return Plan(200, representation.fields(chosen), parts, size, media_type=chosen.opened)


def _max_ranges(chosen: Representation) -> int:
    """Return the largest number of ranges: one of an encoded form, because an envelope around parts has no coding."""
    return 1 if chosen.resource.is_encoded else MAX_RANGES


def _unsatisfiable_detail(size: int) -> str:
    whole = f"{size:,} bytes" + (f" ({spaced_size(size)})" if size > 999 else "")
    return f"The range starts after the end of the file, which has {whole}. A copy of that size is complete."


def _plan_ranges(chosen: Representation, spans: tuple[Span, ...], size: int) -> Plan:
    """Return a 206: one span as it is, several in an envelope (RFC 9110 sections 15.3.7.1 and 15.3.7.2)."""
    media_type = chosen.opened
    if len(spans) == 1:
        fields = (*representation.fields(chosen), ("Content-Range", multipart.content_range(spans[0], size)))
        start, stop = spans[0].start, spans[0].stop
        return Plan(206, fields, spans, stop - start if stop is not None else None, media_type=media_type)
    boundary = multipart.boundary(chosen.etag or str(size), spans)
    parts = multipart.Parts(spans, size, representation.content_type(chosen), boundary)
    fields = representation.fields(chosen, f"multipart/byteranges; boundary={boundary}")
    return Plan(206, fields, parts, parts.length, media_type=media_type)
