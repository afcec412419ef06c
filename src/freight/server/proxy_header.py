"""The PROXY header, which names the client of a connection and comes before anything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from freight.errors import ProtocolError
from freight.http.client_address import NO_NETWORKS, Networks, canonical
from freight.wire import proxy

PROXY_HEADER_FAILED = "proxy-header-failed"
"""How the log says that a connection had no PROXY header, a malformed one, or one from an untrusted peer."""


@dataclass(frozen=True, slots=True)
class ProxiedClient:
    """The client of a connection, by its address.

    ``trusted`` are the networks that may name a request's client in its fields. ``rest`` is what followed the header.
    """

    client: str
    trusted: Networks
    rest: bytes


async def read_proxy_header(
    peer: str, trusted: Networks, receive: Callable[[], Awaitable[bytes | None]]
) -> ProxiedClient | None:
    """Read a connection's PROXY header. Return None if the peer sent nothing at all.

    ``receive`` returns b"" at the end of the stream and None after the timeout. Raise ProtocolError if there are
    ``trusted`` networks and the peer is in none, or if the header is incomplete or malformed.
    """
    if trusted and peer not in trusted:
        raise ProtocolError(400, "a connection from an untrusted peer")
    parser = proxy.ProxyHeaderParser()
    while (found := parser.next()) is None:
        data = await receive()
        if data:
            parser.feed(data)
        elif parser.idle:
            return None  # a health check, or a port scan
        else:
            raise ProtocolError(400, "an unfinished PROXY header")
    if found.source is None:
        # LOCAL or UNKNOWN: the proxy did not write the requests that follow, so their fields are not trusted.
        return ProxiedClient(peer, NO_NETWORKS, found.rest)
    return ProxiedClient(canonical(found.source), trusted, found.rest)
