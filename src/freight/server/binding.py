"""Bind a TCP address, or explain why it cannot be bound."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from itertools import permutations
from typing import Any

from freight.config.types import Address
from freight.errors import ConfigurationError
from freight.server.addresses import ANY4, ANY6, host_of

_ADVICE = "use 127.0.0.1 (only this machine), 0.0.0.0 (every IPv4 address) or :: (every address)"
_UNPRIVILEGED = 1024  # the default of net.ipv4.ip_unprivileged_port_start


def bind(address: Address, backlog: int, host_setting: str, port_setting: str) -> socket.socket:
    """Return a bound socket, which listens if ``backlog`` is above 0. Raise ConfigurationError, about one setting."""
    made = None
    try:
        family, found = _resolve(address)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, found[0] != ANY6)
        made.bind(found)
        if backlog:
            made.listen(backlog)
    except (OSError, UnicodeError) as error:
        if made is not None:
            made.close()
        raise _explained(error, address, host_setting, port_setting) from error
    return made


def check_overlaps(addresses: Sequence[Address], setting: str) -> None:
    """Raise ConfigurationError if one of the addresses includes another: the second one could not be bound."""
    found = []
    for address in addresses:
        try:
            found.append((address.host, host_of(_resolve(address)[1])))
        except (OSError, UnicodeError) as error:
            raise _explained(error, address, setting, setting) from error
    for (host, first), (other, second) in permutations(found, 2):
        if first == second:
            what = f"{host} is given twice" if host == other else f"{host} and {other} are the same address"
            raise ConfigurationError(f"{what}; give it once", setting)
        if first == ANY6 or (first == ANY4 and ":" not in second):
            raise ConfigurationError(f"{host} includes {other}; leave {other} out", setting)


def _resolve(address: Address) -> tuple[int, Any]:
    """Return the family and the socket's address of the first address that a host has."""
    # Of a text, Python makes bytes with its codec for IDNA, whose tables are 0.1 MiB and would stay in memory.
    host = address.host.encode() if address.host.isascii() else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0], found[0][4]


def is_in_use(error: ConfigurationError) -> bool:
    """Return whether :func:`bind` failed because another socket listens there."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def _explained(
    error: OSError | UnicodeError, address: Address, host_setting: str, port_setting: str
) -> ConfigurationError:
    host, port = address.host, address.port
    if isinstance(error, socket.gaierror | UnicodeError):
        zone = host.partition("%")[2]
        if zone and zone not in (name for _, name in socket.if_nameindex()):
            return ConfigurationError(f"{host!r}: this machine has no interface {zone!r}", host_setting)
        return ConfigurationError(f"{host!r} is neither an address nor a known name; {_ADVICE}", host_setting)
    if error.errno == errno.EINVAL and host.lower().startswith("fe80:") and "%" not in host:
        return ConfigurationError(f"{host} is link-local and needs its interface; write {host}%eth0", host_setting)
    match error.errno:
        case errno.EADDRNOTAVAIL:
            return ConfigurationError(f"{host} is not an address of this machine; {_ADVICE}", host_setting)
        case errno.EADDRINUSE:
            why = f"port {port} of {host} is taken by another program; use another port, or 0 for a free one"
            return ConfigurationError(why, port_setting)
        case errno.EACCES | errno.EPERM:
            why = f"no permission to listen on port {port}"
            if port < _UNPRIVILEGED:
                why += f": ports below {_UNPRIVILEGED} need root, or CAP_NET_BIND_SERVICE; use a higher one"
            return ConfigurationError(why, port_setting)
    return ConfigurationError(f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}", host_setting)
