"""Errors as whole responses, and what a HEAD response leaves out. Pure."""

from __future__ import annotations

from dataclasses import replace

from freight.errors import ProtocolError
from freight.http import error_pages
from freight.model import Fields, Plan

NOSNIFF = ("X-Content-Type-Options", "nosniff")
VARY = ("Vary", "Accept")
_NO_STORE = ("Cache-Control", "no-store")


def plan_error(
    status: int,
    detail: str,
    accept: str | None = None,
    fields: Fields = (),
    *,
    close: bool = False,
    retry_seconds: int | None = None,
    link: error_pages.Link | None = None,
) -> Plan:
    """Return the whole response for an error.

    ``detail`` is one or two sentences, ``accept`` the request's Accept value, ``fields`` what the status requires
    besides (Allow, say). ``retry_seconds`` goes into Retry-After and into the content. Only a page shows ``link``.

    Every error is ``no-store``: caches may keep 404, 405, 414 and 501 by default (RFC 9110 section 15.1), but the file
    may exist a moment later.
    """
    media_type, content = error_pages.body(status, detail, accept, retry_seconds, link)
    policy: Fields = ()
    if media_type == error_pages.HTML:
        policy = (error_pages.POLICY if retry_seconds is None else error_pages.RETRY_POLICY,)
    if retry_seconds is not None:
        fields = (*fields, ("Retry-After", str(retry_seconds)))
    fixed = (("Content-Type", media_type), NOSNIFF, _NO_STORE, VARY)
    return Plan(status, (*fixed, *policy, *fields), (content,), len(content), close=close)


def plan_protocol_error(error: ProtocolError, accept: str | None, *, close: bool = False) -> Plan:
    """Return the response for bytes that never became a Request. The error's reason becomes a sentence."""
    reason = str(error)
    return plan_error(error.status, f"{reason[0].upper()}{reason[1:]}.", accept, close=close)


def for_method(method: str, plan: Plan) -> Plan:
    """Return ``plan`` as the response to ``method``: HEAD has the fields and the length, but no content."""
    return replace(plan, parts=(), content=False) if method == "HEAD" else plan
