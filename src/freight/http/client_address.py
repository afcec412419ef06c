"""Find the client behind trusted proxies, and the key that identifies a client for fair sharing. Pure.

Addresses are text, as :func:`canonical` writes it. ``ipaddress`` is imported only where an address must be parsed: a
server on IPv4 without trusted proxies never loads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from freight.errors import ConfigurationError
from freight.model import Fields
from freight.rfc9110 import TCHAR

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

UNIX = "unix"
"""The client of a connection over a Unix socket, which has no address."""

_MAX_HOPS = 32  # a chain of proxies has two or three
_MAX_PARAMETERS = 16  # in one element of Forwarded; four are registered
_MAX_CHARACTERS = 64  # the longest IPv6 address is 45 (INET6_ADDRSTRLEN), a name of an interface 15 more

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_PREFIX = re.compile(r"[^/%]++(?:/[0-9]{1,3})?")
_TOKEN = rf"{TCHAR}++"
# A list element and its comma, in a reversed value.
_ELEMENT = re.compile(r'((?:"[^"\\]*+"|[^",\\]++)*+)(,|\Z)')
# A parameter of Forwarded after any number of empty ones, and its terminator. RFC 7239 section 4 allows no blanks, but
# senders write them.
_PARAMETER = re.compile(rf'[ \t;]*+(?:({_TOKEN})=(?:({_TOKEN})|"([^"\\]*+)"))?+[ \t]*+(;|\Z)')
# RFC 7239 section 6 without "unknown" and obfuscated names, which are not addresses.
_NODE = re.compile(r"(?:([0-9.]++)|\[([0-9A-Fa-f:.]++)\])(?::(?:[0-9]{1,5}|_[A-Za-z0-9._\-]++))?")


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of networks, as ranges of address numbers. IPv4-mapped IPv6 networks are in ``ipv4``.

    ``unix``: whether it also has the peers of Unix sockets.
    """

    ipv4: tuple[range, ...] = ()
    ipv6: tuple[range, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> Networks:
        """Parse texts such as ``10.0.0.0/8``, ``2001:db8::/32``, ``192.0.2.1`` or ``unix``.

        Raise ConfigurationError for any other text, and for a network with host bits set, which is ambiguous.
        """
        four: list[range] = []
        six: list[range] = []
        for text in texts:
            if text == UNIX:
                continue
            first, count, version = _read_network(text)
            (four if version == 4 else six).append(range(first, first + count))
        return cls(tuple(four), tuple(six), UNIX in texts)

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6 or self.unix)

    def __contains__(self, address: str) -> bool:
        """Return whether ``address`` is in one of the networks. Any other text is in none."""
        if address == UNIX:
            return self.unix
        return bool(self) and (found := _read(address)) is not None and self.contains(found)

    def contains(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether an address, which must not be an IPv4-mapped one, is in one of the networks."""
        number = int(address)
        return any(number in network for network in (self.ipv4 if address.version == 4 else self.ipv6))


NO_NETWORKS = Networks()
"""The empty set: no proxy is trusted."""


def canonical(address: str) -> str:
    """Return an address in the form of RFC 5952, IPv4-mapped ones as IPv4. Any other text is returned unchanged."""
    if _IPV4.fullmatch(address) or address == UNIX:
        return address
    found = _read(address)
    return address if found is None else str(found)


def true_client(peer: str, fields: Fields, trusted: Networks) -> str:
    """Return the canonical address of the client: ``peer``, or the client that trusted proxies name.

    Each proxy appends the address that it received the request from, so the list is read from the right. An address is
    believed when a trusted proxy wrote it. The first address that is not trusted is the client; everything left of it
    was sent by that client and is never read.

    An element that is malformed, empty, unknown or obfuscated (RFC 7239 section 6) ends the search, and so does the
    33rd. The result is then the last believed address. To skip such an element would mean to believe a text that an
    unknown client made up.

    The field is ``Forwarded`` (RFC 7239) or ``X-Forwarded-For``; several lines are one list (RFC 9110 section 5.3). If
    a request has both, its peer is the client: most proxies write one of them and forward the other unchanged, and
    nothing says which.

    Elements are split from the right too, so that an open quote in a client's text hides no element after it. A
    backslash (a quoted pair) is malformed: no address needs one.
    """
    believed = canonical(peer)
    if believed not in trusted:
        return believed
    forwarded = [value for name, value in fields if name == "forwarded"]
    for_lines = [value for name, value in fields if name == "x-forwarded-for"]
    if forwarded and for_lines:
        return believed
    named, lines = (_forwarded_for, forwarded) if forwarded else (_x_forwarded_for, for_lines)
    for element in islice(_elements_from_right(lines), _MAX_HOPS):
        hop = named(element)
        if hop is None:
            break
        believed = str(hop)
        if not trusted.contains(hop):
            break
    return believed


def client_key(address: str) -> str | bytes:
    """Return the key that identifies a client for fair sharing: an IPv4 address, or an IPv6 prefix of 8 bytes.

    A site has at least a /64 (RFC 6177), and a host may use any address in it. All links have the same prefix of
    link-local addresses, so their zone (RFC 4007 section 6) follows the prefix. Mapped addresses count as IPv4, and any
    other text is its own key.
    """
    if ":" not in address:
        return address
    found = _read(address)
    if found is None:
        return address
    if found.version == 4:
        return str(found)
    return found.packed[:8] + (found.scope_id or "").encode()


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, IPv4-mapped ones as IPv4; None for any other text."""
    from ipaddress import IPv6Address, ip_address

    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if mapped is None else mapped


def _read_network(text: str) -> tuple[int, int, int]:
    """Parse a network: its first address as a number, the number of addresses, the IP version."""
    from ipaddress import IPv6Network, ip_network

    try:
        if _PREFIX.fullmatch(text) is None:  # ip_network also takes masks, and scopes
            raise ValueError
        network = ip_network(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a network: 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are") from None
    first, count = network.network_address, network.num_addresses
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped is not None:
        return int(network[0].ipv4_mapped), count, 4
    return int(first), count, network.version


def _elements_from_right(lines: list[str]) -> Iterator[str]:
    """Yield the elements of a list, last first, verbatim. After a malformed element, given as "", it ends."""
    for line in reversed(lines):
        backwards, at, comma = line[::-1], 0, ","
        while comma:
            found = _ELEMENT.match(backwards, at)
            if found is None:
                yield ""
                return
            yield found[1][::-1].strip(" \t")
            comma, at = found[2], found.end()


def _forwarded_for(element: str) -> IPv4Address | IPv6Address | None:
    """Return the one address in the ``for`` of a forwarded-element (RFC 7239 section 4), or None."""
    node: str | None = None
    at = 0
    for _ in range(_MAX_PARAMETERS):
        found = _PARAMETER.match(element, at)
        if found is None:
            return None
        if found[1] and found[1].lower() == "for":
            if node is not None:
                return None
            node = found[2] or found[3]
        if not found[4]:
            return None if node is None else _node_address(node)
        at = found.end()
    return None


def _x_forwarded_for(element: str) -> IPv4Address | IPv6Address | None:
    """Return the address in an element, IPv6 with or without brackets, or None."""
    return _node_address(element if element.count(":") < 2 or element.startswith("[") else f"[{element}]")


def _node_address(node: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a node without its port, or None."""
    found = _NODE.fullmatch(node)
    if found is None or (found[2] and ":" not in found[2]):
        return None
    return _read(found[1] or found[2])
