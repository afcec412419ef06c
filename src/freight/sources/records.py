"""The records of a listing: each is one entry as a text, which sorts as its key does. Pure.

A record is the key of :mod:`freight.sources.ordering`, the size in bytes and the time as the listing shows it, with a
NUL between them. The key ends in a NUL and the name, so a record has four fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

Stamp = Callable[[int], str]
"""Returns a time in ns as a listing shows it, without NUL and slash."""

Item = tuple[str, Kind, int | None, str]
"""One entry: its name (as in :mod:`freight.names`), its kind, its size in bytes and its modification time as a text.

A directory has no size. If the entry could not be examined, the size is None and the time is "".
"""


def record_of(key: Key, facts: Facts, stamp: Stamp) -> str:
    """Return a text that begins with the key, so that records are ordered as their keys are."""
    kind, size, mtime_ns, _ = facts
    if mtime_ns is None:
        return f"{key}\0{_SIGNS[kind]}\0"
    return f"{key}\0{size if kind == 'file' else _SIGNS[kind]}\0{stamp(mtime_ns)}"


def key_of(record: str) -> Key:
    """Return the key at the start of a record."""
    return record.rsplit("\0", 2)[0]


def item(record: str) -> Item:
    """Return the entry of a record."""
    _, name, size, time = record.rsplit("\0", 3)
    return name, kind_of(size), int(size) if size.isdecimal() else None, time


def kind_of(size: str) -> Kind:
    """Return the kind of the entry whose record has this in the place of the size."""
    return _KINDS.get(size, "file")


def columns(records: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the names, the sizes and the times of records, as the texts that they have. One split for all is fast."""
    fields = "\0".join(records).split("\0")
    return fields[1::4], fields[2::4], fields[3::4]
