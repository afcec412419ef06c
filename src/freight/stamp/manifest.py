"""PURE: a manifest, which says of every file beneath a directory how long it is, when it was modified, and its digest.

It is lines of JSON (docs/reference/stamp.md): a head, then a file a line in the order of their paths, name by name and
byte by byte. A walk meets files in the same order, so the two are compared as they come, and neither is ever held.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from freight.errors import Unservable

ALGORITHM = "sha256"
LINE_BYTES_MAX = 64 << 10
"""The longest line that is read, in bytes: a path of 4096 bytes may be six times as long where it is escaped."""

_VERSION = 1
_HEAD = {"freight_manifest": _VERSION, "digest": ALGORITHM}
_INTEGER_MAX = 1 << 63
_DIGEST_DIGITS = 64

Names = tuple[str, ...]
"""The names of a path, from the directory down, decoded by surrogateescape."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One file of a manifest. ``size`` in bytes; ``mtime_ns`` since the epoch; ``digest`` in lower-case hex."""

    names: Names
    size: int
    mtime_ns: int
    digest: str


def order(names: Names) -> tuple[bytes, ...]:
    """What paths are compared by."""
    return tuple(map(os.fsencode, names))


def head() -> str:
    """The first line."""
    return json.dumps(_HEAD)


def write(stamp: Stamp) -> str:
    """A file's line, all ASCII."""
    return json.dumps(
        {"path": "/".join(stamp.names), "size": stamp.size, "mtime_ns": stamp.mtime_ns, "digest": stamp.digest}
    )


def read(lines: Iterable[bytes]) -> Iterator[Stamp]:
    """The files of a manifest's lines. Raises Unservable, with the number of the line, for what is not one."""
    before: tuple[bytes, ...] = ()
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line) if len(line) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            found = None
        if number == 1:
            if found != _HEAD:
                raise Unservable(f"line 1: is not a manifest's: {head()}")
            continue
        stamp = _stamp(found)
        if stamp is None:
            raise Unservable(f"line {number}: has not a path within the directory, size, mtime_ns and digest")
        if order(stamp.names) <= before:
            raise Unservable(f"line {number}: is out of order, or there twice")
        before = order(stamp.names)
        yield stamp
    if not number:
        raise Unservable("is empty")


def _stamp(found: object) -> Stamp | None:
    match found:
        case {"path": str(path), "size": int(size), "mtime_ns": int(mtime_ns), "digest": str(digest), **more}:
            sensible = not more and 0 <= size < _INTEGER_MAX and -_INTEGER_MAX <= mtime_ns < _INTEGER_MAX
            named = _names(path)
            hexadecimal = len(digest) == _DIGEST_DIGITS and not digest.strip("0123456789abcdef")
            if sensible and hexadecimal and named and not isinstance(size, bool) and not isinstance(mtime_ns, bool):
                return Stamp(named, size, mtime_ns, digest)
    return None


def _names(path: str) -> Names | None:
    """The names in a path, none of which leads anywhere but down; None where it is no such path."""
    names = tuple(path.split("/"))
    if "\0" in path or {"", ".", ".."} & set(names):
        return None
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return None
    return names
