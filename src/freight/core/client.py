"""Who asks: the client behind the proxies that are trusted to say so, and the key by which clients share fairly.

Addresses are text, as :func:`canonical` writes it. ``ipaddress`` is imported where an address must be taken apart: a
server on IPv4 that trusts no proxy never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from freight.errors import Unservable
from freight.model import Fields

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_MAX_HOPS = 32  # a chain of proxies is two or three; who sends more wants us to work
_MAX_PARAMETERS = 16  # of one element of Forwarded; four are registered
_MAX_CHARACTERS = 64  # the longest IPv6 address is 45 (INET6_ADDRSTRLEN), a name of an interface 15 more

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_PREFIX = re.compile(r"[^/%]++(?:/[0-9]{1,3})?")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# A list element and its comma, in a value that is read backwards.
_ELEMENT = re.compile(r'((?:"[^"\\]*+"|[^",\\]++)*+)(,|\Z)')
# A parameter of Forwarded, behind any number of empty ones, and what ends it. RFC 7239 section 4 has no blanks, and
# senders have.
_PARAMETER = re.compile(rf'[ \t;]*+(?:({_TOKEN})=(?:({_TOKEN})|"([^"\\]*+)"))?+[ \t]*+(;|\Z)')
# RFC 7239 section 6, less "unknown" and obfuscated names, which are no addresses.
_NODE = re.compile(r"(?:([0-9.]++)|\[([0-9A-Fa-f:.]++)\])(?::(?:[0-9]{1,5}|_[A-Za-z0-9._\-]++))?")


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks: the addresses in them as numbers, by version. Those of IPv4 mapped into IPv6 are IPv4's."""

    four: tuple[range, ...] = ()
    six: tuple[range, ...] = ()

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> Networks:
        """Networks from texts such as ``10.0.0.0/8``, ``2001:db8::/32`` or ``192.0.2.1``.

        Raises Unservable for what is none, and for one with bits behind its prefix: it may mean a host or a network.
        """
        four: list[range] = []
        six: list[range] = []
        for text in texts:
            first, count, version = _read_network(text)
            (four if version == 4 else six).append(range(first, first + count))
        return cls(tuple(four), tuple(six))

    def __bool__(self) -> bool:
        return bool(self.four or self.six)

    def __contains__(self, address: str) -> bool:
        """Whether an address is in one of them; what is no address is in none."""
        return bool(self) and (found := _read(address)) is not None and self.hold(found)

    def hold(self, address: IPv4Address | IPv6Address) -> bool:
        """The same for an address that is not a mapped one."""
        number = int(address)
        return any(number in network for network in (self.four if address.version == 4 else self.six))


NOBODY = Networks()
"""No network at all: the default."""


def canonical(address: str) -> str:
    """The text of an address for people and logs: RFC 5952's, IPv4 where it is mapped; what is no address as it is."""
    if _IPV4.fullmatch(address):
        return address
    found = _read(address)
    return address if found is None else str(found)


def true_client(peer: str, fields: Fields, trusted: Networks) -> str:
    """The client that a request comes from, canonical: ``peer``, or whom trusted proxies name as theirs.

    Each proxy writes at the right end whom it got the request from, so the list is walked from there. An address is
    believed when a trusted one wrote it: from the peer on past the trusted ones, and the first that is not trusted is
    the client. What stands left of it is what that client sent, true or not, and is never looked at. An element that is
    malformed, empty, unknown or obfuscated (RFC 7239 section 6) stops the walk, and so does the 33rd: the last address
    that was believed is the answer then. To skip such an element would be to believe, on the word of a proxy that did
    not know its client, what that client made up.

    ``Forwarded`` (RFC 7239) or ``X-Forwarded-For``; several lines are one list (RFC 9110 section 5.3). With both in a
    request its peer is the client: most proxies write one and pass the other on as it came, and nothing tells which.
    Elements are found from the right too, so that a quote that a client left open swallows none that was
    written behind it. A backslash (a quoted pair) is malformed: no address needs one.
    """
    believed = canonical(peer)
    if believed not in trusted:
        return believed
    forwarded = [value for name, value in fields if name == "forwarded"]
    for_lines = [value for name, value in fields if name == "x-forwarded-for"]
    if forwarded and for_lines:
        return believed
    named, lines = (_named_by_forwarded, forwarded) if forwarded else (_named_by_x_forwarded_for, for_lines)
    for element in islice(_from_the_right(lines), _MAX_HOPS):
        hop = named(element)
        if hop is None:
            break
        believed = str(hop)
        if not trusted.hold(hop):
            break
    return believed


def client_key(address: str) -> str | bytes:
    """What clients share fairly by: an IPv4 address itself; of an IPv6 address the first 64 bits, as 8 bytes.

    A site has a /64 at least (RFC 6177), and a host in it any of its addresses. Mapped addresses are IPv4; a scope is
    dropped; what is no address is its own key.
    """
    if ":" not in address:
        return address
    found = _read(address)
    if found is None:
        return address
    return str(found) if found.version == 4 else found.packed[:8]


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """An address, a mapped one as IPv4; None for what is none."""
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
    """A network: its first address as a number, how many there are, the version."""
    from ipaddress import IPv6Network, ip_network

    try:
        if _PREFIX.fullmatch(text) is None:  # ip_network also takes masks, and scopes
            raise ValueError
        network = ip_network(text)
    except ValueError:
        raise Unservable(f"{text!r} is not a network: 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are") from None
    first, count = network.network_address, network.num_addresses
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped is not None:
        return int(network[0].ipv4_mapped), count, 4
    return int(first), count, network.version


def _from_the_right(lines: list[str]) -> Iterator[str]:
    """The elements of a list, last first, each as it stands; ends behind what cannot be an element, which is ''."""
    for line in reversed(lines):
        backwards, at, comma = line[::-1], 0, ","
        while comma:
            found = _ELEMENT.match(backwards, at)
            if found is None:
                yield ""
                return
            yield found[1][::-1].strip(" \t")
            comma, at = found[2], found.end()


def _named_by_forwarded(element: str) -> IPv4Address | IPv6Address | None:
    """The address in the ``for`` of a forwarded-element (RFC 7239 section 4); None when there is none, or not one."""
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
            return None if node is None else _named(node)
        at = found.end()
    return None


def _named_by_x_forwarded_for(element: str) -> IPv4Address | IPv6Address | None:
    """The address that an element is; IPv6 with brackets or without."""
    return _named(element if element.count(":") < 2 or element.startswith("[") else f"[{element}]")


def _named(node: str) -> IPv4Address | IPv6Address | None:
    """The address of a node, its port left out."""
    found = _NODE.fullmatch(node)
    if found is None or (found[2] and ":" not in found[2]):
        return None
    return _read(found[1] or found[2])
