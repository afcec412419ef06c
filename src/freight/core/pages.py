"""What an error says: a short text, a page for browsers, or a problem document (RFC 9457), as Accept has it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from freight.core import accept as negotiation
from freight.core.markup import BASE, BASE_HASH, ICON, policy, text

TEXT, HTML, PROBLEM = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/problem+json"

_TITLES = {
    308: "Permanent Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
# The text comes first: it is for who has no preference. Who takes JSON takes a problem (RFC 9457 section 3).
_OFFERED = {"text/plain": TEXT, "text/html": HTML, PROBLEM: PROBLEM, "application/json": PROBLEM}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>{title}</title>
{icon}
<style>{style}</style>
<h1>{title}</h1>
{said}
</html>
"""
_AGAIN = (
    '<p>This page tries again by itself in <b data-seconds="{seconds}">{spoken}</b>. '
    "You can close it when the download starts.</p>"
)
# The refresh in the page's head is what tries again, without a script too; this shows how long it still takes.
_COUNT = """
const shown=document.querySelector("b"),end=performance.now()+shown.dataset.seconds*1000;
setInterval(()=>{const left=Math.max(0,Math.ceil((end-performance.now())/1000)),two=String(left%60).padStart(2,"0");
shown.textContent=left>99?`${Math.floor(left/60)}:${two} minutes`:left==1?"1 second":`${left} seconds`},250)
"""
_COUNT_HASH = "sha256-Id8fV8sTcDZbp9kW4+oMiYA7TW4KknlhAnSsUsuo+XM="
POLICY = policy(BASE_HASH)
"""What a page of an error may do."""

RETRY_POLICY = policy(BASE_HASH, script=_COUNT_HASH)
"""What one may do that says when to come back."""


@dataclass(frozen=True, slots=True)
class Link:
    """A way on from an error's page: where it leads, percent-encoded, and what it is called."""

    href: str
    text: str


def title(status: int) -> str:
    """The status's name in the registry, "Error" for one that freight never answers with."""
    return _TITLES.get(status, "Error")


def body(
    status: int, detail: str, accept: str | None, retry_seconds: int | None = None, link: Link | None = None
) -> tuple[str, bytes]:
    """Media type and content for an error of this status. ``detail`` is a sentence or two; ``accept`` the Accept value.

    With ``retry_seconds`` each form says when to come back. A page does so by itself, without a script; a problem has
    ``retry_after_seconds``. Its type stays ``about:blank`` (RFC 9457 section 4.2.1): the member means what Retry-After
    means with any 503, and whatever the reason, a client has the same to do. ``link`` is for a page alone. Text where
    Accept takes nothing of ours: an error in the wrong form tells more than none (RFC 9110 section 12.4.1).
    """
    media_type = _OFFERED[negotiation.choose(accept, tuple(_OFFERED)) or "text/plain"]
    if media_type == HTML:
        return media_type, _page(status, detail, retry_seconds, link).encode("utf-8", "replace")
    if retry_seconds is not None:
        detail = f"{detail} Try again in {_spoken(retry_seconds)}."
    if media_type == PROBLEM:
        problem = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
        if retry_seconds is not None:
            problem["retry_after_seconds"] = retry_seconds
        return media_type, json.dumps(problem).encode("ascii")
    return media_type, f"{status} {title(status)}: {detail}\n".encode("utf-8", "replace")


def _page(status: int, detail: str, retry_seconds: int | None, link: Link | None) -> str:
    refresh, said = "", [f"<p>{text(detail)}</p>"]
    if retry_seconds is not None:
        # A field, Refresh, would do as well, but text and problems have it from Retry-After.
        refresh = f'<meta http-equiv="refresh" content="{retry_seconds}">\n'
        # A download leaves this page where it is, so it says when it is of no use any more.
        said.append(_AGAIN.format(seconds=retry_seconds, spoken=_spoken(retry_seconds)))
    if link is not None:
        said.append(f'<p><a href="{text(link.href)}">{text(link.text)}</a></p>')
    if retry_seconds is not None:
        said.append(f"<script>{_COUNT}</script>")
    return _PAGE.format(
        refresh=refresh, title=f"{status} {text(title(status))}", icon=ICON, style=BASE, said="\n".join(said)
    )


def _spoken(seconds: int) -> str:
    """A time as people say it: exact in seconds, and in minutes from two on, where nobody counts seconds."""
    if seconds < 120:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"about {round(seconds / 60)} minutes"
