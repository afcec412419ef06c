"""What an error says: a short text, a page for browsers, or a problem document (RFC 9457), as Accept has it."""

from __future__ import annotations

import json

from freight.core import accept as negotiation

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
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
{refresh}<title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;margin:20vh auto;max-width:32rem;\
padding:0 1rem}}h1{{font-size:1.4rem}}</style>
<h1>{title}</h1>
{said}
</html>
"""
_BY_ITSELF = "This page does so by itself. Once a download has begun you can close it."


def title(status: int) -> str:
    """The status's name in the registry, "Error" for one that freight never answers with."""
    return _TITLES.get(status, "Error")


def body(status: int, detail: str, accept: str | None, retry_seconds: int | None = None) -> tuple[str, bytes]:
    """Media type and content for an error of this status. ``detail`` is one sentence; ``accept`` the Accept value.

    With ``retry_seconds`` each form says when to come back. A page does so by itself, without a script; a problem has
    ``retry_after_seconds``. Its type stays ``about:blank`` (RFC 9457 section 4.2.1): the member means what Retry-After
    means with any 503, and whatever the reason, a client has the same to do. Text where Accept takes nothing of ours:
    an error in the wrong form tells more than none (RFC 9110 section 12.4.1).
    """
    media_type = _OFFERED[negotiation.choose(accept, tuple(_OFFERED)) or "text/plain"]
    if retry_seconds is not None:
        detail = f"{detail} Try again in {_spoken(retry_seconds)}."
    if media_type == PROBLEM:
        problem = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
        if retry_seconds is not None:
            problem["retry_after_seconds"] = retry_seconds
        return media_type, json.dumps(problem).encode("ascii")
    if media_type == HTML:
        return media_type, _page(status, detail, retry_seconds).encode("utf-8", "replace")
    return media_type, f"{status} {title(status)}: {detail}\n".encode("utf-8", "replace")


def _page(status: int, detail: str, retry_seconds: int | None) -> str:
    from html import escape  # its table of entities is half a megabyte, and most servers meet no browser's mistake

    refresh, said = "", f"<p>{escape(detail)}</p>"
    if retry_seconds is not None:
        # A field, Refresh, would do as well, but text and problems have it from Retry-After.
        refresh = f'<meta http-equiv="refresh" content="{retry_seconds}">\n'
        # A download leaves this page where it is, so it says when it is of no use any more.
        said = f'<p role="status">{escape(detail)}</p>\n<p>{_BY_ITSELF}</p>'
    return _PAGE.format(refresh=refresh, title=f"{status} {escape(title(status))}", said=said)


def _spoken(seconds: int) -> str:
    """A time as people say it: exact in seconds, and in minutes from two on, where nobody counts seconds."""
    if seconds < 120:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"about {round(seconds / 60)} minutes"
