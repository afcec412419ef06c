"""PURE: a manifest: size, modification time and digest of every file below a directory.

It is lines of JSON (docs/reference/sync-mtimes.md): a head, then one line per file, sorted by path, name by name and
byte by byte. A walk finds files in that order, so the two are compared as streams, and neither is held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from freight.errors import ConfigurationError
from freight.names import to_bytes

ALGORITHM = "sha256"
LINE_BYTES_MAX = 64 << 10
"""Longest line that is read, in bytes. Escapes make a path of 4096 bytes up to six times as long."""

_VERSION = 1
_HEAD = {"freight_manifest": _VERSION, "digest": ALGORITHM}
_INTEGER_MAX = 1 << 63
_DIGEST_DIGITS = 64

Names = tuple[str, ...]
"""The names of a path below the directory, as in :mod:`freight.names`."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One file of a manifest. ``size`` in bytes; ``mtime_ns`` since the epoch; ``digest`` in lower-case hex."""

    names: Names
    size: int
    mtime_ns: int
    digest: str


def order(names: Names) -> tuple[bytes, ...]:
    """Return the sort key of a path."""
    return tuple(map(to_bytes, names))


def head() -> str:
    """Return the first line."""
    return json.dumps(_HEAD)


def write(stamp: Stamp) -> str:
    """Return the line of a file, in ASCII."""
    return json.dumps(
        {"path": "/".join(stamp.names), "size": stamp.size, "mtime_ns": stamp.mtime_ns, "digest": stamp.digest}
    )


def read(lines: Iterable[bytes]) -> Iterator[Stamp]:
    """Yield the files of a manifest's lines. Raises ConfigurationError, with the number of an invalid line."""
    before: tuple[bytes, ...] = ()
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line) if len(line) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            found = None
        if number == 1:
            if found != _HEAD:
                raise ConfigurationError(f"is not a manifest: its first line should be {head()}")
            continue
        stamp = _stamp(found)
        if stamp is None:
            raise ConfigurationError(f"line {number}: needs a path within the directory, size, mtime_ns and digest")
        if order(stamp.names) <= before:
            raise ConfigurationError(f"line {number}: is out of order, or a duplicate")
        before = order(stamp.names)
        yield stamp
    if not number:
        raise ConfigurationError("is empty")


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
    """Return the names in a path; None if the path could leave the directory."""
    names = tuple(path.split("/"))
    if "\0" in path or {"", ".", ".."} & set(names):
        return None
    try:
        to_bytes(path)
    except UnicodeEncodeError:  # a surrogate that is no byte
        return None
    return names
