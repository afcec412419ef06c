"""PURE: a manifest: size, modification time and digest of every file below a directory.

It is lines of JSON (docs/reference/stamp.md): a head, then one file per line, in the order of their paths, name by name
and byte by byte. A walk finds files in the same order, so both are compared as they come, and neither is held.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from freight.errors import Unservable

ALGORITHM = "sha256"
LINE_BYTES_MAX = 64 << 10
"""The longest line that is read, in bytes: a path of 4096 bytes may be six times as long when it is escaped."""

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
    """The sort key of a path."""
    return tuple(map(os.fsencode, names))


def head() -> str:
    """The first line."""
    return json.dumps(_HEAD)


def write(stamp: Stamp) -> str:
    """The line of a file, all ASCII."""
    return json.dumps(
        {"path": "/".join(stamp.names), "size": stamp.size, "mtime_ns": stamp.mtime_ns, "digest": stamp.digest}
    )


def read(lines: Iterable[bytes]) -> Iterator[Stamp]:
    """Read the files of a manifest's lines. Raises Unservable, with the line's number, for a line that is wrong."""
    before: tuple[bytes, ...] = ()
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line) if len(line) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            found = None
        if number == 1:
            if found != _HEAD:
                raise Unservable(f"is not a manifest: its first line should be {head()}")
            continue
        stamp = _stamp(found)
        if stamp is None:
            raise Unservable(f"line {number}: needs a path within the directory, size, mtime_ns and digest")
        if order(stamp.names) <= before:
            raise Unservable(f"line {number}: is out of order, or a duplicate")
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
    """The names in a path; None for a path that could leave the directory."""
    names = tuple(path.split("/"))
    if "\0" in path or {"", ".", ".."} & set(names):
        return None
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return None
    return names
