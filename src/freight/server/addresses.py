"""The addresses by which others reach a listening socket: for one that is bound to all, those of this machine.

They are read from /proc, which takes no library and no privilege. Left out are addresses that no URL can have
(link-local ones need a zone) and those that soon go away (temporary and deprecated ones of IPv6).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

_ANY4, _ANY6 = "0.0.0.0", "::"
_LOOPBACK4 = "127.0.0.1"
_ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): nobody is there, so the way to it is the way out
_GLOBAL_SCOPE = "00"  # of if_inet6: not link-local, not this host's own
_UNFIT = 0x01 | 0x08 | 0x20 | 0x40  # IFA_F_TEMPORARY, _DADFAILED, _DEPRECATED, _TENTATIVE (linux/if_addr.h)


def hosts(listening: socket.socket, root: Path = Path("/")) -> list[str]:
    """The hosts to connect to, without brackets: the one that most others can use first, this machine's own last."""
    host: str = listening.getsockname()[0]
    if host == _ANY4:
        return [*_ordered(ipv4(_text(root, "fib_trie"))), _LOOPBACK4]
    if host != _ANY6:
        return [host]
    own = [*ipv6(_text(root, "if_inet6"))]
    if listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return [*own, "::1"]
    return [*_ordered(ipv4(_text(root, "fib_trie"))), *own, _LOOPBACK4]


def ipv4(trie: str) -> Iterator[str]:
    """The machine's own addresses in a text of /proc/net/fib_trie, each once, without those of the loopback."""
    seen, address = set(), ""
    for line in trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"] and address not in seen and not address.startswith("127."):
            seen.add(address)
            yield address


def ipv6(table: str) -> Iterator[str]:
    """The machine's own addresses in a text of /proc/net/if_inet6 (address, index, prefix, scope, flags, name)."""
    for line in table.splitlines():
        digits, _, _, scope, flags, _ = line.split()
        if scope == _GLOBAL_SCOPE and not int(flags, 16) & _UNFIT:
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


def _ordered(addresses: Iterator[str]) -> list[str]:
    """The address that packets to elsewhere have goes first: the others may be those of bridges and containers."""
    found = list(addresses)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((_ELSEWHERE, 9))  # sends nothing
            outward = asking.getsockname()[0]
    except OSError:
        return found  # there is no way out
    first = [] if outward.startswith("127.") else [outward]
    return [*first, *(each for each in found if each != outward)]


def _text(root: Path, name: str) -> str:
    try:
        return (root / "proc/net" / name).read_text()
    except OSError:
        return ""  # IPv6 is switched off, or /proc is not the kernel's
