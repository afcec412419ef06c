"""The content of an error: text, a page for browsers, or a problem document (RFC 9457), chosen by Accept. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from freight.http import accept as negotiation
from freight.http.markup import BASE, BASE_HASH, ICON, policy, text
from freight.rfc9110 import PHRASES

TEXT, HTML, PROBLEM = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/problem+json"

# Text is first: a client without a preference gets it. A client that accepts JSON gets a problem (RFC 9457 section 3).
_OFFERED = {"text/plain": TEXT, "text/html": HTML, PROBLEM: PROBLEM, "application/json": PROBLEM}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>{title}</title>
{icon}
<style>{style}</style>
<h1>{title}</h1>
{content}
</html>
"""
_RETRY = (
    '<p>This page retries automatically in <b data-seconds="{seconds}">{spoken}</b>. '
    "You can close it when the download starts.</p>"
)
# The refresh in the page's head does the retry, even without scripts; this script shows the seconds left.
_COUNT = """
const shown=document.querySelector("b"),end=performance.now()+shown.dataset.seconds*1000;
setInterval(()=>{const left=Math.max(0,Math.ceil((end-performance.now())/1000)),two=String(left%60).padStart(2,"0");
shown.textContent=left>99?`${Math.floor(left/60)}:${two} minutes`:left==1?"1 second":`${left} seconds`},250)
"""
_COUNT_HASH = "sha256-Id8fV8sTcDZbp9kW4+oMiYA7TW4KknlhAnSsUsuo+XM="
POLICY = policy(BASE_HASH)
"""The Content-Security-Policy of an error page."""

RETRY_POLICY = policy(BASE_HASH, script=_COUNT_HASH)
"""The Content-Security-Policy of an error page that retries."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link on an error page: a percent-encoded target, and its text."""

    href: str
    text: str


def title(status: int) -> str:
    """Return the status's registered name; "Error" for a status that freight never sends."""
    return PHRASES.get(status, "Error")


def body(
    status: int, detail: str, accept: str | None, retry_seconds: int | None = None, link: Link | None = None
) -> tuple[str, bytes]:
    """Return the media type and the content of an error.

    ``detail`` is one or two sentences, ``accept`` the Accept value. Only a page shows ``link``.

    With ``retry_seconds`` each form says when to retry; a page retries by itself, without a script. A problem has
    ``retry_after_seconds``. Its type stays ``about:blank`` (RFC 9457 section 4.2.1): the member means what Retry-After
    means with any 503.

    If Accept accepts none of the forms, return text: an error in the wrong form is better than none (RFC 9110 section
    12.4.1).
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
    refresh, content = "", [f"<p>{text(detail)}</p>"]
    if retry_seconds is not None:
        # An element and not the Refresh field: text and problems already have Retry-After.
        refresh = f'<meta http-equiv="refresh" content="{retry_seconds}">\n'
        # A download does not replace this page, so the page says when to close it.
        content.append(_RETRY.format(seconds=retry_seconds, spoken=_spoken(retry_seconds)))
    if link is not None:
        content.append(f'<p><a href="{text(link.href)}">{text(link.text)}</a></p>')
    if retry_seconds is not None:
        content.append(f"<script>{_COUNT}</script>")
    return _PAGE.format(
        refresh=refresh, title=f"{status} {text(title(status))}", icon=ICON, style=BASE, content="\n".join(content)
    )


def _spoken(seconds: int) -> str:
    """Return a time in words: in seconds below 120, then in minutes, rounded."""
    if seconds < 120:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"about {round(seconds / 60)} minutes"
