"""Binding a TCP address, and saying in plain words why it cannot be had."""

from __future__ import annotations

import errno
import os
import socket

from freight.errors import Unservable

_ADVICE = "use 127.0.0.1 (only this machine), 0.0.0.0 (every IPv4 address) or :: (every address)"
_UNPRIVILEGED = 1024  # net.ipv4.ip_unprivileged_port_start, unless somebody has changed it


def bind(host: str, port: int, backlog: int, host_setting: str, port_setting: str) -> socket.socket:
    """A bound socket, which listens with a ``backlog`` of more than 0. Raises Unservable, about one of the settings."""
    made = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        made.bind(address)
        if backlog:
            made.listen(backlog)
    except (OSError, UnicodeError) as error:
        if made is not None:
            made.close()
        raise _explained(error, host, port, host_setting, port_setting) from error
    return made


def is_taken(error: Unservable) -> bool:
    """Whether what :func:`bind` has raised says that somebody else listens there."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _explained(error: OSError | UnicodeError, host: str, port: int, host_setting: str, port_setting: str) -> Unservable:
    if isinstance(error, socket.gaierror | UnicodeError):
        return Unservable(f"{host!r} is neither an address nor a known name; {_ADVICE}", host_setting)
    match error.errno:
        case errno.EADDRNOTAVAIL:
            return Unservable(f"{host} is not an address of this machine; {_ADVICE}", host_setting)
        case errno.EADDRINUSE:
            why = f"port {port} of {host} is taken by another program; use another port, or 0 for a free one"
            return Unservable(why, port_setting)
        case errno.EACCES | errno.EPERM:
            why = f"no permission to listen on port {port}"
            if port < _UNPRIVILEGED:
                why += f": ports below {_UNPRIVILEGED} need root, or CAP_NET_BIND_SERVICE; use a higher one"
            return Unservable(why, port_setting)
    return Unservable(f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}", host_setting)
