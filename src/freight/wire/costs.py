"""The cost of each kind of work: one table, in microseconds of one core.

Measured on Python 3.11 at about 3 GHz and rounded up. No cost may be far below the real one: a client could then have
much work done for little. :mod:`freight.wire.accounting` says what follows from a cost.
"""

from __future__ import annotations

from freight.wire.http2.frames import FrameType

# Connections

ACCEPT = 150.0
"""A connection: accept(2), its task, watching its socket, closing it."""

ABANDONED = 350.0
"""A connection that its client closed before it was accepted: the cost of serving it with one request."""

HANDSHAKE = 600.0
"""A TLS handshake: two ECDSA P-256 and X25519 operations, the SSL objects, and the event-loop steps between them."""

HTTP2_STATE = 200.0
"""The construction of h2's state for a connection."""

RECEIVE = 20.0
"""A call of recv(2), whatever it returns: a client may send single bytes, or TLS records of one byte."""

# Requests

REQUEST = 200.0
"""A request: its task, stat(2), the decision, a response head, the log line. Frames and bytes are charged besides.

:data:`freight.wire.accounting.REQUEST_ALLOWANCE` is the sum with those.
"""

CONTENT = 1500.0
"""Request content over HTTP/1: up to 64 KiB, or 1,024 lines of chunked content, which are discarded."""

HEAD_BYTE = 0.05
"""A byte of an HTTP/1 head: the patterns, httptools, one or two copies, and the parser of the field."""

DECODED_BYTE = 0.08
"""A byte of a decoded HTTP/2 field section, with 32 more for each field: a field indexed by one byte takes 3 us."""

BLOCK_BYTE = 0.15
"""A byte of a field block on the wire: hpack decodes Huffman codes in Python, half a byte at a time."""

# Frames

FRAME: dict[int, float] = {
    FrameType.DATA: 25.0,  # discarded, and the connection's window updated
    FrameType.HEADERS: 60.0,  # a stream object of h2's, and a loop over all streams
    FrameType.PRIORITY: 15.0,  # checked and ignored
    FrameType.RST_STREAM: 25.0,
    FrameType.SETTINGS: 40.0,  # with its acknowledgement; OPEN_STREAM and SETTING are added
    FrameType.PUSH_PROMISE: 60.0,
    FrameType.PING: 20.0,  # with its acknowledgement
    FrameType.GOAWAY: 5.0,
    FrameType.WINDOW_UPDATE: 20.0,
    FrameType.CONTINUATION: 15.0,
    FrameType.PRIORITY_UPDATE: 15.0,  # with a change in the send order
}

UNKNOWN_FRAME = 5.0
"""A frame of an unknown type, which is discarded."""

PAYLOAD_BYTE = 0.005
"""A byte of any frame: copied a few times."""

SETTING = 0.2
"""One setting of a SETTINGS frame; unknown ones cost as much."""

FREE_UPDATE = 4.0
"""A free window update: only the windows are changed, and h2 does not see it."""

DIRECT_SEND = 100.0
"""A piece of content that is sent as soon as a window opens: 64 KiB at most of the clients that this is for."""

OPEN_STREAM = 3.0
"""An open stream, for each frame that concerns all streams: h2 loops over them, and so does the send order."""

SMALL_UPDATE = 80.0
"""A window update below SMALL_UPDATE_BYTES: a byte of content may then take a read and a send of its own."""

SMALL_UPDATE_BYTES = 1024

RESET = 60.0
"""A reset of a stream by either side: a frame, a cancelled task, a log line."""

# What pays, besides finished requests and time

DELIVERED_BYTE = 1.0 / 1024
"""A byte of content that the kernel has accepted for the client."""

FREE_UPDATE_BYTES = 4096
"""A window update of at least this size is free if it follows delivered content.

Go sends one for each 4 KiB that it has read, of the stream and of the connection.
"""
