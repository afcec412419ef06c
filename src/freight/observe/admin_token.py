"""The secret of the admin listener: read it from a file, and refuse requests without it."""

from __future__ import annotations

import binascii
from _operator import _compare_digest as compare_digest  # as hmac's, which would load OpenSSL
from pathlib import Path

from freight.config.operator_file import read_regular
from freight.errors import ConfigurationError
from freight.http.error_response import plan_error
from freight.model import Plan, Request

LENGTHS = range(16, 1025)
"""How many characters a secret may have. Fewer could be guessed."""

_SETTING = "admin-token-file"
# Browsers ask for a password where they know Basic (RFC 7617); the others send a bearer token (RFC 6750 section 3).
_CHALLENGES = (
    ("WWW-Authenticate", 'Bearer realm="freight admin"'),
    ("WWW-Authenticate", 'Basic realm="freight admin", charset="UTF-8"'),
)
_OPEN = frozenset({"/healthz", "/readyz"})  # for probes; they tell what a connection attempt tells too


def read_token(path: Path) -> bytes:
    """Return the secret in a file, without blanks around it. Raise ConfigurationError."""
    try:
        secret = read_regular(path, LENGTHS.stop + 2).strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", _SETTING) from None
    if len(secret) not in LENGTHS:
        advice = f"make one with: openssl rand -hex 32 > {path}"
        raise ConfigurationError(
            f"the token in {path} must have from {LENGTHS.start} to {LENGTHS.stop - 1} characters; {advice}", _SETTING
        )
    if not all(0x21 <= each <= 0x7E for each in secret):
        raise ConfigurationError(
            f"the token in {path} has a character that is not printable ASCII, or a blank; use letters and digits",
            _SETTING,
        )
    return secret


def refuse(request: Request, token: bytes) -> Plan | None:
    """Return the plan of a 401 for a request without the ``token``; None: it may be answered."""
    if request.target.partition("?")[0] in _OPEN or _has_token(request.field("authorization"), token):
        return None
    detail = "The token of --admin-token-file is needed, as a bearer token or as the password; any user name will do."
    return plan_error(401, detail, request.field("accept"), _CHALLENGES)


def _has_token(credentials: str | None, token: bytes) -> bool:
    """Return whether credentials contain the token. The time does not depend on how much of it is right."""
    if credentials is None:
        return False
    scheme, _, given = credentials.partition(" ")
    match scheme.lower():
        case "bearer":
            return compare_digest(given.strip(" ").encode("latin-1", "replace"), token)
        case "basic":
            return compare_digest(_password(given.strip(" ")), token)
    return False


def _password(encoded: str) -> bytes:
    """Return the password of Basic credentials; b"" for malformed ones."""
    try:
        return binascii.a2b_base64(encoded, strict_mode=True).partition(b":")[2]
    except ValueError:
        return b""
