"""Close a connection so that its client receives all of the last answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from freight.server.connection_reader import ConnectionReader
from freight.server.context import ServerContext
from freight.server.socket_sink import FIN_BYTES, SocketSink

_ACKNOWLEDGED_POLL_SECONDS = 0.05
_DISCARDED_BYTES_MAX = 256 * 1024  # what a client may send before it sees that the connection has ended
_NO_LINGER = struct.pack("ii", 0, 0)  # struct linger: off. close(2) then leaves it to the kernel to send the rest


async def linger(context: ServerContext, sink: SocketSink, reader: ConnectionReader, seconds: float) -> bool:
    """Shut the sending side down, and discard what the client still sends, for at most ``seconds``.

    A close with unread bytes would be a reset, which takes the end of the answer away from a client that has not read
    it yet (RFC 9112 section 9.6). Return whether the client has closed its sending side.
    """
    sink.finish()
    reader.set_timeout(seconds)
    charges, left = reader.charges, _DISCARDED_BYTES_MAX
    while data := await reader.receive():
        left -= len(data)
        if left < 0 or context.loop.time() > reader.deadline:
            return False
        charges.settle(context.loop.time())
        if charges.quantum_left < 0.0 and not reader.peer_closed:
            await context.turns.wait_turn(charges)
        else:
            # A client may send without end, so other connections run first. After the peer's close bytes are few.
            await asyncio.sleep(0)
    return data is not None


async def wait_acknowledged(context: ServerContext, sink: SocketSink, enough: Callable[[], bool]) -> bool:
    """Wait until the client has acknowledged ``enough``. Acknowledgements send no event, so they are polled.

    Return False when none has come for the time that a client may pause, or the client has reset.
    """
    acknowledged, moved_at = -1, context.loop.time()
    while not enough():
        now, before = context.loop.time(), acknowledged
        acknowledged = sink.acknowledged()
        moved_at = now if acknowledged != before else moved_at
        if now - moved_at > context.transfers.patience_seconds or sink.is_reset:
            return False
        await asyncio.sleep(_ACKNOWLEDGED_POLL_SECONDS)
    return True


def has_all(sink: SocketSink) -> bool:
    """Return whether the client has acknowledged all that its connection was sent, our FIN perhaps excepted."""
    return sink.accepted_bytes - sink.acknowledged() <= FIN_BYTES


def close_gracefully(connected: socket.socket) -> None:
    """Close a socket and let the kernel send the rest. A plain close resets: the listening socket is set up so."""
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    except OSError:
        pass  # the peer has closed first
    connected.close()
