"""Read the credentials of a request from its Authorization field (RFC 9110 section 11.6.2). Pure."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from enum import Enum

from freight.model import Fields
from freight.rfc9110 import TCHAR

MAX_USER_BYTES = 255
MAX_PASSWORD_BYTES = 1024

_MAX_CHARACTERS = 4096  # of the field; the longest name and password need 1,720
_CREDENTIALS = re.compile(rf"({TCHAR}{{1,32}}+) ++([A-Za-z0-9\-._~+/]++=*+)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Basic:
    """A user name and a password, in UTF-8 (RFC 7617)."""

    user: str
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token (RFC 6750 section 2.1)."""

    token: str = field(repr=False)


class Unusable(Enum):
    """Why a request has no credentials to check.

    - ABSENT: it has no Authorization, or one of another scheme.
    - SEVERAL: it has more than one Authorization. Programs in front may have read another one than freight would.
    - MALFORMED: it is not of the form that its scheme has, or too long.
    """

    ABSENT = "absent"
    SEVERAL = "several"
    MALFORMED = "malformed"


def read(fields: Fields) -> Basic | Bearer | Unusable:
    """Return the credentials of a request. Never raises."""
    values = [value for name, value in fields if name == "authorization"]
    if not values:
        return Unusable.ABSENT
    if len(values) > 1:
        return Unusable.SEVERAL
    scheme = values[0][:7].lower()
    if not scheme.startswith(("basic ", "bearer ")):
        return Unusable.ABSENT if scheme not in ("basic", "bearer") else Unusable.MALFORMED
    match = _CREDENTIALS.fullmatch(values[0]) if len(values[0]) <= _MAX_CHARACTERS else None
    if match is None:
        return Unusable.MALFORMED
    if match[1].lower() == "bearer":
        return Bearer(match[2])
    return _basic(match[2])


def _basic(encoded: str) -> Basic | Unusable:
    """Decode a name and a password. Text that is not UTF-8 is read as latin-1: that is what Python requests sends."""
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return Unusable.MALFORMED
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    user, colon, password = text.partition(":")
    if not colon or _CONTROLS.search(text):  # RFC 7617 section 2
        return Unusable.MALFORMED
    in_bytes = password.encode()
    if len(user.encode()) > MAX_USER_BYTES or len(in_bytes) > MAX_PASSWORD_BYTES:
        return Unusable.MALFORMED
    return Basic(user, in_bytes)
