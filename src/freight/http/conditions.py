"""Evaluate preconditions (RFC 9110 section 13) in the order of section 13.2.2. Pure.

1. If-Match, by strong comparison: false is 412.
2. Without If-Match, If-Unmodified-Since: false is 412.
3. If-None-Match, by weak comparison: false is 304 for GET and HEAD, else 412.
4. Without If-None-Match, for GET and HEAD, If-Modified-Since: false is 304.
5. For GET with Range, If-Range: false means the whole representation (:func:`if_range`).

A date condition is ignored unless it is one HTTP-date and the modification date is known (13.1.3, 13.1.4).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from freight.http import dates, etags
from freight.model import Request

FIELDS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""Names of the fields that :func:`evaluate` reads."""


class Precondition(Enum):
    """The result of evaluating the preconditions of a request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    PRECONDITION_FAILED = "precondition failed"


def last_modified(mtime_ns: int, now: float) -> int:
    """Return the Last-Modified of a modification time, in seconds: at most the response's Date (section 8.8.2.1)."""
    return min(mtime_ns // 1_000_000_000, int(now))


def evaluate(request: Request, etag: str | None, last_modified: int | None, now: float) -> Precondition:
    """Evaluate the preconditions for a current representation with these validators (None: it has none).

    ``last_modified`` and ``now`` are in seconds since the epoch. The caller must not ask where the response is an
    error anyway, or for methods that select no representation (section 13.2.1).
    """
    if not any(name in FIELDS for name, _ in request.fields):
        return Precondition.PROCEED
    if (value := request.field("if-match")) is not None:
        if not _matches(value, etag, etags.match_strong):
            return Precondition.PRECONDITION_FAILED
    elif _changed_since(request, "if-unmodified-since", last_modified, now) is True:
        return Precondition.PRECONDITION_FAILED
    reads = request.method in ("GET", "HEAD")
    if (value := request.field("if-none-match")) is not None:
        if _matches(value, etag, etags.match_weak):
            return Precondition.NOT_MODIFIED if reads else Precondition.PRECONDITION_FAILED
    elif reads and _changed_since(request, "if-modified-since", last_modified, now) is False:
        return Precondition.NOT_MODIFIED
    return Precondition.PROCEED


def if_range(value: str, etag: str | None, last_modified: int | None, now: float) -> bool:
    """Return whether If-Range allows the Range field (section 13.1.5): the validator must prove the same bytes.

    A tag must match by strong comparison. A date must equal Last-Modified and be a strong validator (section 8.8.2.2):
    a file can change twice within a second, so that second must be over at ``now``, the Date of the response.
    """
    if etags.is_tag(value):
        return etag is not None and etags.match_strong(value, etag)
    if last_modified is None or last_modified > int(now) - 1:
        return False
    return dates.parse(value, now) == last_modified


def _matches(value: str, etag: str | None, match: Callable[[str, str], bool]) -> bool:
    """Return whether the current representation is named by ``*`` or, as ``match`` compares, by a list of tags."""
    if value == "*":
        return True
    return etag is not None and any(match(tag, etag) for tag in etags.parse_list(value))


def _changed_since(request: Request, name: str, last_modified: int | None, now: float) -> bool | None:
    """Return whether the representation is newer than a condition's date. None: the condition is ignored."""
    value = request.field(name)
    if value is None or last_modified is None:
        return None
    date = dates.parse(value, now)
    return None if date is None else last_modified > date
