"""Users and the hashes of their passwords: a file in the format of Apache's htpasswd, with bcrypt only. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from freight.access.credentials import MAX_USER_BYTES
from freight.errors import ConfigurationError

MIN_COST, MAX_COST = 4, 14
"""The costs that are accepted: each doubles the work. A check with cost 14 takes about a second of one core."""

DEFAULT_COST = 10
"""About 50 ms of one core."""

MAX_USERS = 10_000

PASSWORD_BYTES = 72
"""How much of a password bcrypt uses."""

# A salt has 128 bits, so that its 22nd digit is one of four. bcrypt refuses others, at once.
_HASH = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f:]")
# The form of a hash without a password that anybody knows. Its result is never used.
_DECOY = "$2b${:02}$freightfreightfreight.0000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Users:
    """The hash of each user's password.

    ``decoy`` is checked for a name that is no user, so that this takes the same work: it has the cost that most users
    have.
    """

    hashes: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    decoy: bytes = _DECOY.format(DEFAULT_COST).encode()


def parse(data: bytes, file: str) -> Users:
    """Read a file of users: ``NAME:HASH`` in each line, or a comment that begins with ``#``.

    Raise ConfigurationError with the file and the line. It never has a hash in it.
    """
    hashes: dict[str, bytes] = {}
    costs: Counter[int] = Counter()
    for number, name, stored in lines(data, file):
        problem = wrong_name(name) or (f"the user {name!r} is there already" if name in hashes else "")
        match = _HASH.fullmatch(stored)
        if not problem and match is None:
            problem = f"the password of {name!r} is not a bcrypt hash ($2y$, $2b$ or $2a$); freight passwd writes one"
        if not problem and match is not None and not MIN_COST <= int(match[1]) <= MAX_COST:
            problem = f"the hash of {name!r} has cost {int(match[1])}; costs from {MIN_COST} to {MAX_COST} are accepted"
        if not problem and len(hashes) == MAX_USERS:
            problem = f"a file has at most {MAX_USERS:,} users"
        if problem:
            raise ConfigurationError(f"{file}:{number}: {problem}")
        hashes[name] = stored
        costs[int(stored[4:6])] += 1
    decoy = _DECOY.format(costs.most_common(1)[0][0] if costs else DEFAULT_COST).encode()
    return Users(hashes, decoy)


def lines(data: bytes, file: str) -> Iterator[tuple[int, str, bytes]]:
    """Yield the number, the name and the hash of each line that has a user. Raise ConfigurationError as above."""
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, stored = line.partition(b":")
        if not colon:
            raise ConfigurationError(f"{file}:{number}: has no colon; a line is NAME:HASH")
        try:
            yield number, name.decode(), stored
        except UnicodeDecodeError:
            raise ConfigurationError(f"{file}:{number}: the name is not UTF-8") from None


def wrong_name(name: str) -> str:
    """Return what is wrong with the name of a user, or ""."""
    if not name or _NOT_IN_NAMES.search(name) or name.startswith("#"):
        return f"{name!r} cannot be the name of a user"
    if len(name.encode()) > MAX_USER_BYTES:
        return f"the name of a user has at most {MAX_USER_BYTES} bytes"
    return ""
