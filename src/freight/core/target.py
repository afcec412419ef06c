"""Request targets: from origin form to the names of a path, and back (RFC 9112 section 3.2.1, RFC 3986 section 2.1).

The segments are file names as the file system knows them: bytes decoded as UTF-8 with ``surrogateescape``, so that a
name that is not UTF-8 can be asked for too. Nothing is resolved here. A path with a dot segment, an empty segment or a
``/`` inside a segment, however it was spelt, names nothing: there is no second reading of it that could lead elsewhere.
A backslash is an ordinary byte of a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# RFC 3986's pchar but the semicolon, behind which some clients still see parameters.
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@")
_ESCAPES = tuple(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256))
_MALFORMED = re.compile(rb"[\x00-\x20\x7f#]|%(?![0-9A-Fa-f]{2})|%00")
_MAX_PAIRS = 64
_MAX_SEGMENTS = 256  # a path of the file system has 4,096 bytes at most; nobody nests directories so deep


@dataclass(frozen=True, slots=True)
class Target:
    """A path below the root, and a query.

    ``segments`` never holds "", ".", "..", or a name with "/" or NUL. ``directory`` says whether the path ended in
    "/" (the root always does). ``query`` holds the first 64 ``name=value`` pairs in order, decoded as forms are, and as
    UTF-8 with ``surrogateescape``.
    ``nowhere`` means that the path cannot name anything, or has more than 256 segments; ``segments`` is then empty and
    must not be looked up.
    """

    segments: tuple[str, ...]
    directory: bool
    query: tuple[tuple[str, str], ...] = ()
    nowhere: bool = False


def parse(target: str) -> Target | None:
    """The meaning of a request target in origin form; None when it is malformed (400). Never raises.

    Malformed is: no leading "/", an incomplete escape, NUL, a control, a space, a fragment. Bytes above 127 that were
    sent unescaped stand for themselves, as the text of a request is latin-1.
    """
    try:
        raw = target.encode("latin-1")
    except UnicodeEncodeError:
        return None
    if not raw.startswith(b"/") or _MALFORMED.search(raw):
        return None
    path, _, query = raw.partition(b"?")
    pairs = _pairs(query) if query else ()
    if path.count(b"/") > _MAX_SEGMENTS:
        return Target((), path.endswith(b"/"), pairs, nowhere=True)
    names = [_decode(segment) for segment in path[1:].split(b"/")]
    directory = names[-1] == b""
    if directory:
        names.pop()
    if any(not name or name in (b".", b"..") or b"/" in name for name in names):
        return Target((), directory, pairs, nowhere=True)
    return Target(tuple(name.decode("utf-8", "surrogateescape") for name in names if name), directory, pairs)


def encode(segments: Iterable[str], directory: bool) -> str:
    """The target, in origin form, that :func:`parse` reads as these segments.

    Everything but unreserved characters, sub-delims, ":" and "@" is escaped (RFC 3986 section 3.3). Segments are file
    names, in UTF-8 with ``surrogateescape``.
    """
    path = "/".join(
        "".join(map(_ESCAPES.__getitem__, segment.encode("utf-8", "surrogateescape"))) for segment in segments
    )
    return f"/{path}/" if directory and path else f"/{path}"


def _decode(raw: bytes) -> bytes:
    """Undo the escapes, once; each is complete. A codec does it: a step of Python for each takes ten times as long."""
    if b"%" not in raw:
        return raw
    return raw.replace(b"\\", b"\\\\").replace(b"%", b"\\x").decode("unicode_escape").encode("latin-1")


def _pairs(query: bytes) -> tuple[tuple[str, str], ...]:
    pairs = []
    for piece in query.split(b"&", _MAX_PAIRS)[:_MAX_PAIRS]:
        name, _, value = (_decode(part) for part in piece.replace(b"+", b" ").partition(b"="))
        if name:
            pairs.append((name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")))
    return tuple(pairs)
