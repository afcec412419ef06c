"""The version of a listing: what its entity tag and its date are made of.

Goal: a 304 (Not Modified) only if a new listing would have the same entries, sizes and dates.

A directory's own modification time does not tell this: it stays when a file of the directory is overwritten. So every
entry is examined, as for the listing itself. The tag is made of all that the listing shows. Its date is the latest
status change (ctime) of the directory and of its entries: unlike a modification time, that one cannot be set back.

Left out: directories of more than MAX_ENTRIES entries, where this would take too long. Their listings have neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from freight.sources.entries import Entries
from freight.sources.page import SCRIPT_HASH, STYLE_HASH

MAX_ENTRIES = 4096
"""Largest number of entries of a directory whose listing has a version: they are examined in 10 to 20 ms."""

_FORMAT = f"1 {STYLE_HASH} {SCRIPT_HASH}"  # count up when a listing shows something else for the same entries
_PRIME = 2**127 - 1  # the remainder tells texts apart as a hash does, and hashlib would load a cryptography library


@dataclass(frozen=True, slots=True)
class Version:
    """``tag`` is the text of an entity tag. ``changed_ns`` is the time of the last change, None if it is not known."""

    tag: str
    changed_ns: int | None


def version_of(entries: Entries, directory_ctime_ns: int) -> Version | None:
    """Return the version of a listing; None for too many entries. Blocks on the disk, raises as the listing does."""
    directory, known = entries.directory, True
    changed_ns = directory_ctime_ns
    if entries.has_more_than(MAX_ENTRIES):
        return None
    remainder = _add(0, repr((_FORMAT, directory)))
    for examined in entries.examined():
        for name, (kind, size, mtime_ns, ctime_ns) in examined:
            remainder = _add(remainder, f"{name}/{kind} {size} {mtime_ns}")
            known = known and ctime_ns is not None
            changed_ns = max(changed_ns, ctime_ns or 0)
    return Version(f"{remainder:x}", changed_ns if known else None)


def _add(remainder: int, text: str) -> int:
    return int.from_bytes(remainder.to_bytes(16) + text.encode("utf-8", "surrogatepass")) % _PRIME
