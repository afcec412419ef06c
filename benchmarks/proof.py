"""Proves equal work: what a peer answers is the file, whatever it speaks."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from hashlib import sha256

from h2.exceptions import ProtocolError

from .client import trusting
from .launch import HOT, MIB, Running, Site, Unfit, running
from .network import inside
from .peers import Peer
from .speakers import Answer, Speaker


def check(peer: Peer, site: Site) -> None:
    """Compare the first MiB, and a MiB from the middle where ranges are known, by SHA-256; and the length.

    Raises Unfit.
    """
    with running(peer, site) as server:
        body = get(server, {}, lambda head: peer.ranges and head.length != str(site.size))
        compare(body, site, 0)
        if peer.ranges:
            start = site.size // 2 + 1
            part = {"range": f"bytes={start}-{start + MIB - 1}"}
            compare(get(server, part, lambda head: head.status != 206), site, start)


def get(server: Running, fields: Mapping[str, str], wrong: Callable[[Answer], bool] = lambda _: False) -> bytes:
    """The first MiB of an answer. Raises Unfit where there is none, or its head is ``wrong``."""
    try:
        with inside(server.network.clients):
            sock: socket.socket = socket.create_connection((server.network.address, server.port), 10)
        with trusting(h2=server.h2).wrap_socket(sock) if server.tls else sock as link:
            if server.h2 and isinstance(link, ssl.SSLSocket) and link.selected_alpn_protocol() != "h2":
                raise Unfit("it does not speak HTTP/2 over TLS")
            answer = by_http2(link, fields) if server.h2 else by_http1(link, fields)
    except (OSError, http.client.HTTPException, ProtocolError) as error:
        spoken = "by HTTP/2 with prior knowledge" if server.h2 and not server.tls else ""
        raise Unfit(" ".join(("it did not answer", spoken)).strip() + f": {error!r}") from error
    if answer.status not in (200, 206) or wrong(answer):
        raise Unfit(f"it answered {answer.status} with Content-Length {answer.length}")
    return bytes(answer.content)


def by_http1(link: socket.socket, fields: Mapping[str, str]) -> Answer:
    """Ask for the hot file, on a connection that is there."""
    exchange = http.client.HTTPConnection("localhost")
    exchange.sock = link
    exchange.request("GET", f"/{HOT}", headers=fields)
    head = exchange.getresponse()
    return Answer(head.status, head.getheader("Content-Length"), bytearray(head.read(MIB)))


def by_http2(link: socket.socket, fields: Mapping[str, str]) -> Answer:
    """The same, by a stream of its own."""
    speaker = Speaker(link, keep=MIB)
    answer = speaker.ask(HOT, fields)
    while not answer.ended and len(answer.content) < MIB:
        speaker.take()
    return answer


def compare(body: bytes, site: Site, start: int) -> None:
    with (site.root / HOT).open("rb") as file:
        file.seek(start)
        if sha256(body).digest() != sha256(file.read(MIB)).digest():
            raise Unfit(f"its bytes at {start} are not the file's")
