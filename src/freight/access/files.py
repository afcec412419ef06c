"""The files of users and tokens: read at the start, and again on SIGHUP."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from freight.access import tokens, users
from freight.access.tokens import Tokens
from freight.access.users import Users
from freight.config.operator_file import read_secret
from freight.errors import ConfigurationError
from freight.model import Level

MAX_FILE_BYTES = 2 << 20

T = TypeVar("T")

_LOOPBACK = re.compile(r"localhost|::1|127(?:\.[0-9]{1,3}){3}|unix:.*")


def read(path: Path, parse: Callable[[bytes, str], T], setting: str) -> T:
    """Read and parse a file. Raise ConfigurationError, with the setting and the file."""
    try:
        data = read_secret(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", setting) from None
    try:
        return parse(data, str(path))
    except ConfigurationError as error:
        raise ConfigurationError(str(error), setting) from None


class AccessFiles:
    """The users and the tokens of a server. None: it has no such file."""

    def __init__(self, users_file: Path | None, tokens_file: Path | None) -> None:
        """Read the files. Raise ConfigurationError."""
        self._users_file = users_file
        self._tokens_file = tokens_file
        self.users: Users | None = None
        self.tokens: Tokens | None = None
        self._load()

    def reload(self) -> list[tuple[Level, str]]:
        """Read the files again, and return messages for the operator. If one is invalid, nothing changes."""
        try:
            self._load()
        except ConfigurationError as error:
            return [(Level.WARNING, f"users and tokens not reloaded, keeping the current ones: --{error}")]
        found = []
        if self.users is not None:
            found.append(f"{len(self.users.hashes)} users")
        if self.tokens is not None:
            found.append(f"{len(self.tokens.by_digest)} tokens")
        return [(Level.INFO, f"reloaded {' and '.join(found)}")] if found else []

    def _load(self) -> None:
        found_users, found_tokens = self.users, self.tokens
        if self._users_file is not None:
            found_users = read(self._users_file, users.parse, "users")
        if self._tokens_file is not None:
            found_tokens = read(self._tokens_file, tokens.parse, "tokens")
        self.users, self.tokens = found_users, found_tokens


def clear_text_warning(hosts: Sequence[str], *, encrypted: bool, behind_proxy: bool) -> str:
    """Return a warning if credentials can cross a network in clear text, otherwise ""."""
    exposed = [host for host in hosts if _LOOPBACK.fullmatch(host) is None]
    if encrypted or behind_proxy or not exposed:
        return ""
    return (
        f"passwords and tokens are sent in clear text to {', '.join(exposed)}, and others on the way can read them; "
        "give --tls-cert and --tls-key, or serve behind a proxy with HTTPS and give --trusted-proxy"
    )
