"""Whose connection it is: its PROXY header, read before anything else where one is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from freight.core.client import NOBODY, Networks, canonical
from freight.errors import ProtocolError
from freight.wire import proxy

NOT_PROXIED = "not-proxied"
"""How the log says that a connection had no header, a malformed one, or one from a stranger."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from: ``client``, its address.

    ``trusted``: the networks that may say, in a request's fields, who is behind it. ``ahead``: what came behind the
    header.
    """

    client: str
    trusted: Networks
    ahead: bytes


async def wait_origin(peer: str, trusted: Networks, receive: Callable[[], Awaitable[bytes | None]]) -> Origin | None:
    """Read a connection's PROXY header; None when nothing came at all.

    ``receive`` is the connection's: b"" at the end of the stream, None when the time is over. Raises ProtocolError when
    the peer is none of the ``trusted`` (if any are), and when there is no whole header.
    """
    if trusted and peer not in trusted:
        raise ProtocolError(400, "a connection from a stranger")
    inbound = proxy.Inbound()
    while (found := inbound.next()) is None:
        data = await receive()
        if data:
            inbound.feed(data)
        elif inbound.idle:
            return None  # a port that was knocked at: a check, or a scan
        else:
            raise ProtocolError(400, "an unfinished PROXY header")
    if found.source is None:
        # Whoever wrote these requests, the proxy did not look into them: their fields are nobody's word.
        return Origin(peer, NOBODY, found.rest)
    return Origin(canonical(found.source), trusted, found.rest)
