"""Bearer tokens, and a file of their SHA-256 hashes. Pure.

A token has 256 random bits, so that its hash needs no salt and no cost: nobody can guess it or compute it from the
hash. Tokens begin with ``freight_``, so that scanners for secrets find them in repositories and logs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from freight.errors import ConfigurationError

PREFIX = "freight_"
RANDOM_BYTES = 32
MAX_TOKENS = 10_000

NAME_RULE = "a name has 1 to 64 letters, digits, and . _ @ + -"

_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_\-]{{43}}")
_NAME = re.compile(r"[A-Za-z0-9._@+\-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """The hash of a token. ``expires_at`` is in seconds since the epoch; None: it does not expire."""

    name: str
    digest: bytes = field(repr=False)
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        """Return whether the token is no longer valid."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens by their hashes."""

    by_digest: Mapping[bytes, Token] = field(default_factory=dict, repr=False)

    def find(self, text: str) -> Token | None:
        """Return the token of this text, expired or not.

        The time that it takes depends on the hash of the text, from which nothing about a token can be computed.
        """
        if not is_token(text):
            return None
        digest = digest_of(text)
        found = self.by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None


def is_token(text: str) -> bool:
    """Return whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(token: str) -> bytes:
    """Return the hash of a token."""
    return hashlib.sha256(token.encode()).digest()


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a token."""
    return _NAME.fullmatch(text) is not None


def parse(data: bytes, file: str) -> Tokens:
    """Read a file of tokens: ``NAME SHA256 [EXPIRY]`` in each line, or a comment that begins with ``#``.

    Several tokens may have one name. Raise ConfigurationError with the file and the line.
    """
    found: dict[bytes, Token] = {}
    for number, token in lines(data, file):
        if token.digest in found:
            raise ConfigurationError(f"{file}:{number}: the token is there already, as {found[token.digest].name!r}")
        if len(found) == MAX_TOKENS:
            raise ConfigurationError(f"{file}:{number}: a file has at most {MAX_TOKENS:,} tokens")
        found[token.digest] = token
    return Tokens(found)


def lines(data: bytes, file: str) -> Iterator[tuple[int, Token]]:
    """Yield the number and the token of each line that has one. Raise ConfigurationError as :func:`parse` does."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            yield number, _read(line.decode("ascii").split())
        except UnicodeDecodeError:
            raise ConfigurationError(f"{file}:{number}: is not ASCII") from None
        except ValueError as error:
            raise ConfigurationError(f"{file}:{number}: {error}") from None


def write(token: Token) -> str:
    """Return the line of a token, without its end."""
    expiry = "" if token.expires_at is None else f" {format_time(token.expires_at)}"
    return f"{token.name} {token.digest.hex()}{expiry}"


def format_time(at: float) -> str:
    """Return a time as ``2027-01-31T00:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Return the time of a text such as ``2027-01-31`` or ``2027-01-31T12:00:00Z``. Raise ValueError."""
    try:
        found = datetime.fromisoformat(text)
        at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time; write 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return at


def _read(words: list[str]) -> Token:
    if words and words[0].startswith(PREFIX) and is_token(words[0]):
        raise ValueError("is a token itself, not its hash; freight token new writes the hash")
    if len(words) not in (2, 3):
        raise ValueError("a line is NAME SHA256 [EXPIRY]")
    name, digest = words[0], words[1].lower()
    if not is_name(name):
        raise ValueError(f"{name!r} is no name of a token: {NAME_RULE}")
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError(f"the hash of {name!r} is not 64 hexadecimal digits; freight token new writes it")
    return Token(name, bytes.fromhex(digest), parse_time(words[2]) if len(words) == 3 else None)
