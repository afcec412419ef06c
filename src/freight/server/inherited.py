"""Listening sockets that somebody else has bound: systemd (sd_listen_fds(3)), or a server that hands over to us.

They stand at descriptors from 3 on. ``LISTEN_FDS`` says how many, ``LISTEN_FDNAMES`` what they are called, with colons
between, and ``LISTEN_PID`` for whom they are.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from freight.errors import Unservable

FIRST = 3
FILES, ADMIN, REDIRECT, AGENT = "files", "admin", "redirect", "agent"
PREDECESSOR = "predecessor"
"""What a stream to the server that hands over is called; it says ``READY`` there (server/handover.py)."""

_COUNT, _FOR, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
_OTHERS = {ADMIN, REDIRECT, AGENT, PREDECESSOR}


def take(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets that were passed to this process, by name; none for most. The variables are taken away with them.

    One whose name is none of ours is ``files``: systemd names a socket after its unit where nobody says otherwise.
    Raises Unservable for what cannot be used.
    """
    count, process, names = (environment.pop(name, "") for name in (_COUNT, _FOR, _NAMES))
    if not count or process != str(os.getpid()):
        return {}
    if not count.isdecimal():
        raise Unservable(f"{_COUNT}: {count!r} is not a number of sockets")
    named = names.split(":") if names else []
    taken: dict[str, socket.socket] = {}
    for at in range(int(count)):
        given = named[at] if at < len(named) else FILES
        name = given if given in _OTHERS else FILES
        if name in taken:
            raise Unservable(
                f"two sockets were passed for {name}; name each with FileDescriptorName=, one for each use"
            )
        taken[name] = _adopt(FIRST + at, name)
    if FILES not in taken and taken.keys() - {PREDECESSOR}:
        raise Unservable("sockets were passed, but none for files; name one with FileDescriptorName=files")
    return taken


def variables(names: list[str], process: int) -> dict[str, str]:
    """What tells ``process`` of sockets of these ``names``, from FIRST on."""
    return {_COUNT: str(len(names)), _FOR: str(process), _NAMES: ":".join(names)}


def _adopt(fd: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        found = socket.socket(fileno=fd)
    except OSError as error:
        raise Unservable(f"the socket passed for {name} (descriptor {fd}) cannot be used: {error.strerror}") from None
    if name != PREDECESSOR and not _listens(found):
        raise Unservable(
            f"the socket passed for {name} does not listen for TCP; in its unit, use ListenStream= and Accept=no"
        )
    return found


def _listens(found: socket.socket) -> bool:
    stream = found.type == socket.SOCK_STREAM and found.family in (socket.AF_INET, socket.AF_INET6)
    return stream and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
