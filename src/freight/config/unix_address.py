"""Unix sockets in settings: the address ``unix:PATH``, and the mode and the owner of the file."""

from __future__ import annotations

import os
from dataclasses import dataclass

UNIX_PREFIX = "unix:"
_PATH_BYTES_MAX = 107  # sun_path of unix(7), without the NUL at its end
_MODE_MAX = 0o777


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket to listen on."""

    path: str

    def __str__(self) -> str:
        return UNIX_PREFIX + self.path


def parse_unix_address(text: str) -> UnixAddress:
    """Read ``unix:PATH``. Raise ValueError with a sentence for the user."""
    path = text.removeprefix(UNIX_PREFIX)
    if not path or path.endswith("/"):
        raise ValueError(f"{text!r} has no name of a socket; write unix:/run/freight.sock")
    if path.startswith("@") or "\0" in path:
        raise ValueError(f"{text!r} is an abstract socket, which has no owner and no mode; write a path")
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise ValueError(f"{text!r} is too long; the path of a Unix socket has at most {_PATH_BYTES_MAX} bytes")
    return UnixAddress(path)


def parse_mode(text: str) -> int:
    """Read the mode of a file, three or four octal digits."""
    if not 3 <= len(text) <= 4 or not set(text) <= set("01234567") or int(text, 8) > _MODE_MAX:
        raise ValueError(f"{text!r} is not a mode; write three octal digits, such as 660")
    return int(text, 8)


def format_mode(mode: int) -> str:
    """Return the text of a mode, which :func:`parse_mode` reads."""
    return f"{mode:04o}"


def parse_owner(text: str) -> tuple[str, str]:
    """Read ``USER``, ``USER:GROUP`` or ``:GROUP``. Return both names, "" for one that is not given."""
    user, _, group = text.partition(":")
    if not (user or group) or ":" in group or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not an owner; write USER, USER:GROUP or :GROUP")
    return user, group


def format_owner(owner: tuple[str, str]) -> str:
    """Return the text of an owner, which :func:`parse_owner` reads."""
    user, group = owner
    return f"{user}:{group}" if group else user
