"""The addresses at which clients reach a listening socket: for a wildcard address, those of this machine.

They are read from /proc, which takes no library and no privilege. Link-local addresses are left out, since they need a
zone, which is another one on each client, and so are temporary and deprecated addresses of IPv6, which soon disappear.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

ANY4, ANY6 = "0.0.0.0", "::"
_LOOPBACK4 = "127.0.0.1"
_ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): no host has it, so its route is the default route
_GLOBAL_SCOPE = "00"  # in if_inet6: neither link-local nor host-local
_EXCLUDED_FLAGS = 0x01 | 0x08 | 0x20 | 0x40  # IFA_F_TEMPORARY, _DADFAILED, _DEPRECATED, _TENTATIVE (linux/if_addr.h)


def host_of(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the host of a socket's address. A link-local one has its zone: ``fe80::1%eth0`` (RFC 4007 section 11).

    The name of the interface is the zone; if it has gone meanwhile, its number.
    """
    if len(address) == 2 or not address[3]:
        return address[0]
    try:
        return f"{address[0]}%{socket.if_indextoname(address[3])}"
    except OSError:
        return f"{address[0]}%{address[3]}"


def is_local(listening: socket.socket) -> bool:
    """Return whether only this machine reaches a listening socket: a Unix socket, or one on a loopback address."""
    if listening.family == socket.AF_UNIX:
        return True
    host = host_of(listening.getsockname()).removeprefix("::ffff:")
    return host == "::1" or host.startswith("127.")


def hosts(listening: socket.socket, root: Path = Path("/")) -> list[str]:
    """Return the hosts to connect to, without brackets. The most reachable comes first, the loopback address last."""
    host = host_of(listening.getsockname())
    if host == ANY4:
        return [*_ordered(ipv4(_text(root, "fib_trie"))), _LOOPBACK4]
    if host != ANY6:
        return [host]
    own = [*ipv6(_text(root, "if_inet6"))]
    if listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return [*own, "::1"]
    return [*_ordered(ipv4(_text(root, "fib_trie"))), *own, _LOOPBACK4]


def ipv4(trie: str) -> Iterator[str]:
    """Iterate over the machine's addresses in the text of /proc/net/fib_trie, each once, without loopback addresses."""
    seen, address = set(), ""
    for line in trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"] and address not in seen and not address.startswith("127."):
            seen.add(address)
            yield address


def ipv6(table: str) -> Iterator[str]:
    """Iterate over the machine's addresses in the text of /proc/net/if_inet6.

    A line has an address, an index, a prefix, a scope, flags and a name.
    """
    for line in table.splitlines():
        digits, _, _, scope, flags, _ = line.split()
        if scope == _GLOBAL_SCOPE and not int(flags, 16) & _EXCLUDED_FLAGS:
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


def _ordered(addresses: Iterator[str]) -> list[str]:
    """Put the address of the default route first: the others may be those of bridges and containers."""
    found = list(addresses)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((_ELSEWHERE, 9))  # sends nothing
            outward = asking.getsockname()[0]
    except OSError:
        return found  # there is no default route
    first = [] if outward.startswith("127.") else [outward]
    return [*first, *(each for each in found if each != outward)]


def _text(root: Path, name: str) -> str:
    try:
        return (root / "proc/net" / name).read_text()
    except OSError:
        return ""  # IPv6 is disabled, or /proc is not mounted
