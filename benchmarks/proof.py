"""Verify that a peer sends the bytes of the file, whatever protocol it speaks."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from hashlib import sha256

from h2.exceptions import ProtocolError

from freight.tools.loadgen.network import inside

from .client import insecure_context
from .http2_clients import Http2Client, Response
from .launch import HOT, MIB, PeerFailed, RunningPeer, Site, run_peer
from .peers import Peer


def check(peer: Peer, site: Site) -> None:
    """Compare the length, the first MiB and, if the peer supports ranges, a MiB from the middle, by SHA-256.

    Raises Unfit.
    """
    with run_peer(peer, site) as server:
        body = get(server, {}, lambda head: peer.ranges and head.length != str(site.size))
        compare(body, site, 0)
        if peer.ranges:
            start = site.size // 2 + 1
            part = {"range": f"bytes={start}-{start + MIB - 1}"}
            compare(get(server, part, lambda head: head.status != 206), site, start)


def get(server: RunningPeer, fields: Mapping[str, str], wrong: Callable[[Response], bool] = lambda _: False) -> bytes:
    """Return the first MiB of a response. Raises PeerFailed if there is none, or its head is ``wrong``."""
    try:
        with inside(server.network.client.namespace):
            sock: socket.socket = socket.create_connection((server.network.server.host, server.port), 10)
        with insecure_context(h2=server.h2).wrap_socket(sock) if server.tls else sock as link:
            if server.h2 and isinstance(link, ssl.SSLSocket) and link.selected_alpn_protocol() != "h2":
                raise PeerFailed("it does not speak HTTP/2 over TLS")
            answer = by_http2(link, fields) if server.h2 else by_http1(link, fields)
    except (OSError, http.client.HTTPException, ProtocolError) as error:
        spoken = "by HTTP/2 with prior knowledge" if server.h2 and not server.tls else ""
        raise PeerFailed(" ".join(("it did not answer", spoken)).strip() + f": {error!r}") from error
    if answer.status not in (200, 206) or wrong(answer):
        raise PeerFailed(f"it answered {answer.status} with Content-Length {answer.length}")
    return bytes(answer.content)


def by_http1(link: socket.socket, fields: Mapping[str, str]) -> Response:
    """Request the hot file on an existing connection."""
    exchange = http.client.HTTPConnection("localhost")
    exchange.sock = link
    exchange.request("GET", f"/{HOT}", headers=fields)
    head = exchange.getresponse()
    return Response(head.status, head.getheader("Content-Length"), bytearray(head.read(MIB)))


def by_http2(link: socket.socket, fields: Mapping[str, str]) -> Response:
    """Request the hot file on a stream of HTTP/2."""
    speaker = Http2Client(link, keep=MIB)
    answer = speaker.request(HOT, fields)
    while not answer.ended and len(answer.content) < MIB:
        speaker.read()
    return answer


def compare(body: bytes, site: Site, start: int) -> None:
    with (site.root / HOT).open("rb") as file:
        file.seek(start)
        if sha256(body).digest() != sha256(file.read(MIB)).digest():
            raise PeerFailed(f"its bytes at {start} are not the file's")
