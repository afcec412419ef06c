r"""The combined format of Apache and nginx, which tools for web logs read (Apache's mod_log_config, "combined")::

    192.0.2.1 - alice [02/Jan/2026:03:04:05 +0000] "GET /huge.csv HTTP/1.1" 206 10 "-" "curl/8.5.0"

Escapes are those of nginx: quotes, backslashes, and all but the printable characters of ASCII are ``\xHH``. So a quoted
field ends at the next quote, and a line at its end, whatever a client sends. Blanks in the user and in the target are
escaped too: a tool that splits at blanks finds the same fields. A line has less than 4,096 bytes, as goaccess reads no
longer ones, and texts that escapes make too long are cut. Imported only where the format is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from time import gmtime

from freight.model import Entry, RequestDetails

# strftime(3) has them in the language of the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ESCAPES = {code: f"\\x{code:02X}" for code in (*range(0x20), ord('"'), ord("\\"), *range(0x7F, 0x100))}
_TARGET_ESCAPES = _ESCAPES | {ord(" "): "%20"}
_USER_ESCAPES = _ESCAPES | {ord(" "): "\\x20"}
# The most characters of an escaped target, and of another escaped text. One character becomes at most ten.
_TARGET_MAX, _TEXT_MAX, _EXPANSION_MAX = 1600, 550, 10
_CUT = "..."
_NO_DETAILS = RequestDetails()

# The status of a request that got no response, which the format cannot leave out: that of nginx where it has one.
_CLIENT_CLOSED, _BAD_REQUEST, _TIMEOUT, _ERROR, _UNAVAILABLE = 499, 400, 408, 500, 503
_STATUSES = {"stalled": _TIMEOUT, "too-slow": _TIMEOUT, "drained": _UNAVAILABLE, "disk-timeout": _UNAVAILABLE}


def combined_line(entry: Entry) -> str:
    """Return an entry as a line of the combined format. The bytes are those of the body; ``-`` is an absent text."""
    details = entry.details or _NO_DETAILS
    user = _escaped(entry.user, _USER_ESCAPES) or "-"
    status = entry.status or _status(entry)
    agent, referer = (_escaped(text) or "-" for text in (details.user_agent, details.referer))
    return (
        f'{entry.client} - {user} [{_second(int(entry.at))}] "{_request_line(entry)}" {status} {entry.sent} '
        f'"{referer}" "{agent}"'
    )


def _request_line(entry: Entry) -> str:
    """Return the request line, or ``-`` if no head was read."""
    if entry.target == "-":
        return "-"
    major, minor = entry.version
    method = _escaped(entry.method, _TARGET_ESCAPES)
    target = _escaped(entry.target, _TARGET_ESCAPES, _TARGET_MAX)
    return f"{method} {target} HTTP/{major}.{minor}"


def _status(entry: Entry) -> int:
    if entry.ended.startswith("error"):
        return _ERROR
    if entry.target == "-":
        return _BAD_REQUEST
    return _STATUSES.get(entry.ended, _CLIENT_CLOSED)


def _escaped(text: str, escapes: Mapping[int, str] = _ESCAPES, most: int = _TEXT_MAX) -> str:
    escaped = text.translate(escapes)
    if not escaped.isascii():
        escaped = escaped.encode("ascii", "backslashreplace").decode()
    if len(escaped) <= most:
        return escaped
    return _escaped(text[: (most - len(_CUT)) // _EXPANSION_MAX], escapes, most) + _CUT


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    """Return a time in the form of the format, in UTC: ``02/Jan/2026:03:04:05 +0000``."""
    year, month, day, hour, minute, second, *_ = gmtime(at)
    return f"{day:02}/{_MONTHS[month - 1]}/{year}:{hour:02}:{minute:02}:{second:02} +0000"
