"""What each kind of work costs this server: one table, in microseconds of one core.

Measured on Python 3.11 at about 3 GHz and rounded up. What counts is that nothing is far cheaper here than it is: then
a client could have it done for too little. :mod:`freight.guard` says what follows from a cost.
"""

from __future__ import annotations

from freight.wire.frames import Kind

# Arrivals

ACCEPTED = 150.0
"""A connection: accept(2), its task, its socket watched, its end."""

DESERTED = 350.0
"""A connection that its client had closed before it was accepted: what it costs to serve it, a request included."""

HANDSHAKE = 600.0
"""TLS: two steps of ECDSA P-256 and X25519, the sockets of ssl, and the turns between them."""

HTTP2 = 200.0
"""What h2 keeps for a connection, made."""

READ = 20.0
"""A call of recv(2), whatever it gives: a client may send a byte, or a record of TLS with a byte, at a time."""

# Requests

REQUEST = 200.0
"""A request: its task, a stat, the decision, a head, the line of the log. That of its frames and bytes comes on top.
:data:`freight.guard.ORDINARY` is what it comes to with these.
"""

CONTENT = 1500.0
"""Request content over HTTP/1: 64 KiB of it, or 1,024 lines of chunks, which are dropped."""

HEAD_BYTE = 0.05
"""A byte of a head of HTTP/1: the patterns, httptools, a copy or two, and the field's own parser."""

DECODED_BYTE = 0.08
"""A byte of a decoded section of HTTP/2, each field with 32 more: a field that is named by one byte takes 3 us."""

BLOCK_BYTE = 0.15
"""A byte of a section on the wire: hpack undoes Huffman's code in Python, half a byte a step."""

# Frames

FRAME: dict[int, float] = {
    Kind.DATA: 25.0,  # dropped, and the connection's window opened again
    Kind.HEADERS: 60.0,  # a stream of h2's, and a walk over those there are
    Kind.PRIORITY: 15.0,  # checked, and passed over
    Kind.RST_STREAM: 25.0,
    Kind.SETTINGS: 40.0,  # and an acknowledgement; STREAM and SETTING on top
    Kind.PUSH_PROMISE: 60.0,
    Kind.PING: 20.0,  # and its answer
    Kind.GOAWAY: 5.0,
    Kind.WINDOW_UPDATE: 20.0,
    Kind.CONTINUATION: 15.0,
    Kind.PRIORITY_UPDATE: 15.0,  # and a place in the order of streams
}

UNKNOWN = 5.0
"""A frame of another kind: it is cut out, and dropped."""

PAYLOAD_BYTE = 0.005
"""A byte of any frame: copied a few times."""

SETTING = 0.2
"""One setting in a frame of them; one that is unknown is looked at too."""

STREAM = 3.0
"""An open stream, for each frame that concerns all: h2 goes through all of them, and so does the order of turns."""

TINY = 80.0
"""A window that opens by less than TINY_BYTES: a byte of content is read and sent in a call of its own."""

TINY_BYTES = 1024

RESET = 60.0
"""The end of a stream by reset, whoever raises it: a frame, a task that is cancelled, a line of the log."""

# What pays, besides a finished request and time

DELIVERED_BYTE = 1.0 / 1024
"""A byte of content that the client's socket has taken."""

UPDATE_BYTES = 4096
"""A window update that opens by so much, and makes up for content that has come, costs nothing: Go sends one for each
4 KiB that it has read, of the stream and of the connection.
"""
