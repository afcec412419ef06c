"""Preconditions (RFC 9110 section 13), in the order of section 13.2.2:

1. If-Match, by strong comparison: false is 412.
2. Without If-Match, If-Unmodified-Since: false is 412.
3. If-None-Match, by weak comparison: false is 304 for GET and HEAD, else 412.
4. Without If-None-Match, for GET and HEAD, If-Modified-Since: false is 304.
5. For GET with Range, If-Range: false means the whole representation. That is :func:`if_range`.

A date condition with anything but one HTTP-date, or where no modification date is known, is ignored (13.1.3, 13.1.4).
"""

from __future__ import annotations

from enum import Enum

from freight.core import dates, etags
from freight.model import Request

FIELDS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""The fields that are read here."""


class Outcome(Enum):
    """What the preconditions make of a request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    PRECONDITION_FAILED = "precondition failed"


def last_modified(mtime_ns: int, now: float) -> int:
    """The Last-Modified of a modification time, in seconds: never later than the answer's Date (section 8.8.2.1)."""
    return min(mtime_ns // 1_000_000_000, int(now))


def evaluate(request: Request, etag: str | None, last_modified: int | None, now: float, exists: bool = True) -> Outcome:
    """What the preconditions say of a representation with these validators (None: it has none).

    ``last_modified`` and ``now`` are in seconds since the epoch. ``exists`` is False when there is no current
    representation, which matters to ``*``. The caller leaves this out where the answer would be an error anyway, and
    for methods that select no representation (section 13.2.1).
    """
    if not any(name in FIELDS for name, _ in request.fields):
        return Outcome.PROCEED
    if (value := request.field("if-match")) is not None:
        if not _listed(value, etag, exists, weak=False):
            return Outcome.PRECONDITION_FAILED
    elif _changed_since(request, "if-unmodified-since", last_modified, now) is True:
        return Outcome.PRECONDITION_FAILED
    reads = request.method in ("GET", "HEAD")
    if (value := request.field("if-none-match")) is not None:
        if _listed(value, etag, exists, weak=True):
            return Outcome.NOT_MODIFIED if reads else Outcome.PRECONDITION_FAILED
    elif reads and _changed_since(request, "if-modified-since", last_modified, now) is False:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def if_range(value: str, etag: str | None, last_modified: int | None, now: float) -> bool:
    """Whether If-Range lets the Range field count (section 13.1.5): only what proves the very same bytes does.

    A tag must match by strong comparison. A date must be that of Last-Modified exactly, and be strong (section
    8.8.2.2): a file can change twice within a second, so the second must be over at ``now``, which is our Date.
    """
    if etags.is_tag(value):
        return etag is not None and etags.match_strong(value, etag)
    if last_modified is None or last_modified > int(now) - 1:
        return False
    return dates.parse(value, now) == last_modified


def _listed(value: str, etag: str | None, exists: bool, *, weak: bool) -> bool:
    """Whether the current representation is one that ``*`` or a list of entity tags names."""
    if value == "*":
        return exists
    if etag is None:
        return False
    match = etags.match_weak if weak else etags.match_strong
    return any(match(tag, etag) for tag in etags.parse_list(value))


def _changed_since(request: Request, name: str, last_modified: int | None, now: float) -> bool | None:
    """Whether the representation is newer than a condition's date; None when the condition is to be ignored."""
    value = request.field(name)
    if value is None or last_modified is None:
        return None
    date = dates.parse(value, now)
    return None if date is None else last_modified > date
