"""The records of a listing: each is one entry as a text, which sorts as its key does. Pure.

A record is the key of :mod:`freight.sources.ordering`, the size in bytes and the time in ns, with a NUL between them.
The key ends in a NUL and the name, so a record has four fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from freight.sources.ordering import Key

Kind = Literal["directory", "file", "other"]
"""``other``: the entry's kind could not be found out."""

DIRECTORY = "d"
"""In a record of a directory, in place of a size."""

_SIGNS: dict[Kind, str] = {"directory": DIRECTORY, "file": "f", "other": "?"}
_KINDS = {sign: kind for kind, sign in _SIGNS.items()}

Facts = tuple[Kind, int, int | None, int | None]
"""What a stat tells: the kind, the size in bytes (0 if there is none to show), and the times of the last modification
and status change in ns (None if unknown)."""

Item = tuple[str, Kind, int | None, int | None]
"""One entry: its name (as in :mod:`freight.names`), its kind, its size in bytes and its modification time in ns.

A directory has no size. Both numbers are None if the entry could not be examined.
"""


def record_of(key: Key, facts: Facts) -> str:
    """Return a text that begins with the key, so that records are ordered as their keys are."""
    kind, size, mtime_ns, _ = facts
    if mtime_ns is None or kind != "file":
        return f"{key}\0{_SIGNS[kind]}\0{'' if mtime_ns is None else mtime_ns}"
    return f"{key}\0{size}\0{mtime_ns}"


def key_of(record: str) -> Key:
    """Return the key at the start of a record."""
    return record.rsplit("\0", 2)[0]


def item(record: str) -> Item:
    """Return the entry of a record."""
    _, name, size, mtime = record.rsplit("\0", 3)
    if size in _KINDS:
        return name, _KINDS[size], None, int(mtime) if mtime else None
    return name, "file", int(size), int(mtime)


def columns(records: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the names, the sizes and the times of records, as the texts that they have. One split for all is fast."""
    fields = "\0".join(records).split("\0")
    return fields[1::4], fields[2::4], fields[3::4]
