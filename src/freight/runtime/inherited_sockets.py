"""Listening sockets that another process has bound: systemd (sd_listen_fds(3)), or a server that hands over.

The sockets are at descriptors from 3 on. ``LISTEN_FDS`` is their number, ``LISTEN_FDNAMES`` their names, separated by
colons, and ``LISTEN_PID`` the process that is to use them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping

from freight.errors import ConfigurationError

FIRST = 3
FILES, ADMIN, REDIRECT, AGENT = "files", "admin", "redirect", "agent"
PREDECESSOR = "predecessor"
"""The name of the stream to the server that hands over; ``READY`` is sent on it (runtime/handover.py)."""

OWN = "own-"
"""Before the name of a Unix socket whose file freight has made: the last of its processes removes the file."""

_COUNT, _FOR, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
_SEVERAL = {FILES, REDIRECT}
_OTHERS = {ADMIN, REDIRECT, AGENT, PREDECESSOR}


def take(
    environment: MutableMapping[str, str], note_own: Callable[[socket.socket], None] = lambda own: None
) -> dict[str, tuple[socket.socket, ...]]:
    """Return the sockets passed to this process, by name, and remove the variables from ``environment``.

    ``note_own`` is called with each Unix socket whose file a predecessor has made.

    Files, and the redirect to HTTPS, may have several, the others have one. An unknown name means ``files``: systemd
    names a socket after its unit unless FileDescriptorName= says otherwise.
    Raise ConfigurationError for a socket that cannot be used.
    """
    count, process, names = (environment.pop(name, "") for name in (_COUNT, _FOR, _NAMES))
    if not count or process != str(os.getpid()):
        return {}
    if not count.isdecimal():
        raise ConfigurationError(f"{_COUNT}: {count!r} is not a number of sockets")
    named = names.split(":") if names else []
    passed: dict[str, tuple[socket.socket, ...]] = {}
    for at in range(int(count)):
        given = named[at] if at < len(named) else FILES
        own = PREDECESSOR in named and given.startswith(OWN)
        given = given.removeprefix(OWN) if own else given
        name = given if given in _OTHERS else FILES
        if name in passed and name not in _SEVERAL:
            raise ConfigurationError(
                f"two sockets were passed for {name}; name each with FileDescriptorName=, one for each use"
            )
        passed[name] = (*passed.get(name, ()), _adopt(FIRST + at, name))
        if own:
            note_own(passed[name][-1])
    if FILES not in passed and passed.keys() - {PREDECESSOR}:
        raise ConfigurationError("sockets were passed, but none for files; name one with FileDescriptorName=files")
    return passed


def variables(names: list[str], process: int) -> dict[str, str]:
    """Return the environment variables that pass sockets of these ``names``, from FIRST on, to ``process``."""
    return {_COUNT: str(len(names)), _FOR: str(process), _NAMES: ":".join(names)}


def _adopt(fd: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        adopted = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigurationError(
            f"the socket passed for {name} (descriptor {fd}) cannot be used: {error.strerror}"
        ) from None
    if name != PREDECESSOR and not _listens(adopted):
        raise ConfigurationError(
            f"the socket passed for {name} does not listen for streams; in its unit, use ListenStream= and Accept=no"
        )
    if adopted.family == socket.AF_UNIX and name != PREDECESSOR:
        from freight.server.unix_socket import UnixListeningSocket

        return UnixListeningSocket(fileno=adopted.detach())
    return adopted


def _listens(adopted: socket.socket) -> bool:
    stream = adopted.type == socket.SOCK_STREAM and adopted.family in _FAMILIES
    return stream and bool(adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
