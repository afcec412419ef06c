"""The sink of a connection in clear text: over TCP, or over a Unix socket."""

from __future__ import annotations

import socket

from freight.http.client_address import UNIX
from freight.protocols import Clock
from freight.server.socket_sink import SocketSink


def plain_again(stream: socket.socket, clock: Clock) -> tuple[socket.socket, SocketSink]:
    """Take the descriptor of a TLS socket back. Return a plain socket, non-blocking, and a sink for it."""
    if stream.family == socket.AF_UNIX:
        from freight.server.unix_socket import UnixSink, UnixStream

        plain: socket.socket = UnixStream(stream.detach())
        sink: SocketSink = UnixSink(plain, clock)
    else:
        plain = socket.socket(fileno=stream.detach())
        sink = SocketSink(plain, clock)
    plain.setblocking(False)
    return plain, sink


def new_sink(connected: socket.socket, clock: Clock, peer: str) -> SocketSink:
    """Return the sink of a connection whose peer has this address."""
    if peer != UNIX:
        return SocketSink(connected, clock)
    from freight.server.unix_socket import UnixSink

    return UnixSink(connected, clock)
