"""Signed links: their canonical string, their signature, and what a request target says of them. Pure.

A link is a path with query parameters. Its signature is the HMAC-SHA256 (RFC 2104) of the canonical string, six lines
without a newline at the end, in UTF-8::

    freight-v1
    /exports/42.parquet
    1767225600
    main
    192.0.2.0/24
    report.parquet

They are the version, the path, the time at which the link expires (in seconds since the epoch), the id of the key, the
network of the client and the name to save under. The last two are empty lines if the link has none. No value can hold a
line break, so no two links have the same string. ``docs/reference/signed-links.md`` has test vectors.

The path is what the server looks up: decoded, without dot segments and empty segments, encoded again by
:func:`freight.http.target.encode`. So a signature holds for every spelling of one path, and for no other path.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from freight.http import target as targets
from freight.http.printable import HIDDEN

VERSION = "freight-v1"

PARAMETERS = frozenset({"expires", "key", "client", "filename", "signature"})
"""The names of the query parameters. Each may occur once, in any order; others are not part of the link."""

MAX_EXPIRES = 999_999_999_999
"""The latest time at which a link can expire, in seconds since the epoch: 12 digits."""

MAX_FILENAME_BYTES = 255
"""The longest name to save under, in bytes of UTF-8: Linux takes no longer one."""

KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_EXPIRES = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{43}")
_CLIENT = re.compile(r"[0-9A-Fa-f:./]{0,64}")
_IN_FILENAME = re.compile(f"[{re.escape(''.join(map(chr, HIDDEN)))}/\\\\\ud800-\udfff]")
_MAX_PIECES = 64  # of a query, as in freight.http.target


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says.

    - ``path``: as :func:`freight.http.target.encode` writes it.
    - ``expires``: in seconds since the epoch.
    - ``key``: the id of the key.
    - ``client``: the network that may use it, or "" for all.
    - ``filename``: the name to save under, or "" for that of the file.
    """

    path: str
    expires: int
    key: str
    client: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class SignedTarget:
    """A request target with a signature, which may be wrong. ``query`` is what is not part of the link, encoded."""

    link: Link
    signature: str
    query: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request target with parameters of a link that make no link. ``why`` is a sentence for the client."""

    why: str


def canonical_string(link: Link) -> str:
    """Return the text that is signed."""
    return "\n".join((VERSION, link.path, str(link.expires), link.key, link.client, link.filename))


def sign(link: Link, secret: bytes) -> str:
    """Return the signature of a link: 43 characters of base64url without padding (RFC 4648 section 5)."""
    digest = hmac.digest(secret, canonical_string(link).encode(), "sha256")
    return urlsafe_b64encode(digest)[:43].decode()


def is_signed_by(signed: SignedTarget, secret: bytes) -> bool:
    """Return whether the signature is right. The time that this takes does not depend on where it differs."""
    return hmac.compare_digest(sign(signed.link, secret), signed.signature)


def is_filename(text: str) -> bool:
    """Return whether a link may name a file so: no path separator, no control, no character that reverses the text."""
    if text in (".", "..") or _IN_FILENAME.search(text):
        return False
    return len(text.encode()) <= MAX_FILENAME_BYTES


def read(target: str) -> SignedTarget | Malformed | None:
    """Read a request target. None: it has no signature. Never raises.

    The names of parameters, and all values but the file name and the client, must not be percent-encoded.
    """
    path, _, query = target.partition("?")
    if "signature=" not in query:
        return None
    found: dict[str, str] = {}
    others = []
    pieces = query.split("&", _MAX_PIECES)
    if len(pieces) > _MAX_PIECES:
        return Malformed("This address has too many parameters.")
    for piece in pieces:
        name, _, value = piece.partition("=")
        if name not in PARAMETERS:
            others.append(piece)
        elif name in found:
            return Malformed(f"This link gives {name} twice.")
        else:
            found[name] = value
    if "signature" not in found:
        return None
    link = _link(path, found)
    if isinstance(link, Malformed):
        return link
    return SignedTarget(link, found["signature"], "&".join(others))


def _link(path: str, found: dict[str, str]) -> Link | Malformed:
    if not _SIGNATURE.fullmatch(found["signature"]):
        return Malformed("The signature of this link is incomplete or was changed.")
    if not _EXPIRES.fullmatch(found.get("expires", "")):
        return Malformed("This link does not say correctly when it expires.")
    if not KEY_ID.fullmatch(found.get("key", "")):
        return Malformed("This link does not name its key correctly.")
    client, filename = _decode(found.get("client", "")), _decode(found.get("filename", ""))
    if client is None or not _CLIENT.fullmatch(client):
        return Malformed("This link does not name its client correctly.")
    if filename is None or not is_filename(filename):
        return Malformed("This link has a file name that is not allowed.")
    parsed = targets.parse(path)
    if parsed is None or parsed.unresolvable:
        return Malformed("The path of this link is malformed.")
    encoded = targets.encode(parsed.segments, parsed.directory)
    return Link(encoded, int(found["expires"]), found["key"], client, filename)


def _decode(value: str) -> str | None:
    """Decode a value as forms do ("+" is a space); None if that is no UTF-8."""
    if "%" not in value and "+" not in value:
        return value if value.isascii() else None
    from urllib.parse import unquote_plus  # here, because few links need it

    try:
        return unquote_plus(value, errors="strict") if value.isascii() else None
    except UnicodeDecodeError:
        return None
