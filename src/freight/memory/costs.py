"""What clients cost, in bytes: in the process, and their windows in the kernel. ``tests/load`` measures each cost."""

from __future__ import annotations

CONNECTION_COST = 6 * 1024
"""Cost of an open connection, idle or running: 5.9 KiB with 10,000 of them (decision 025).

In the first second of a download 0.5 KiB more, if its request came later than the connection: its socket is watched.
"""

TLS_COST = 17 * 1024
"""Additional cost of a TLS connection: 500 stalled ones took 22 KiB each, with CONNECTION_COST (decision 014)."""

DETAILS_COST = 1024
"""Additional cost of a connection where the log has details of requests, or responses have ids: two texts of at most
305 bytes, an id of at most 177, the names of users, and the objects that hold them (``sys.getsizeof``)."""

HANDSHAKE_COST = 32 * 1024
"""Additional cost until the TLS handshake is done: a client that stalls after its ClientHello costs 47 KiB with
TLS_COST (decision 014)."""

WAITING_COST = 3 * 1024 // 2
"""Additional cost of a connection or stream without a slot: its place in the queue, or a short answer in progress.

An answer that its client has not acknowledged costs as much, except for the first of each connection.
"""

HTTP2_COST = 24 * 1024
"""Additional cost of an HTTP/2 connection: the most that its HPACK tables and one frame take; the median of idle
connections was 14 to 25 KiB (decision 015)."""

STREAM_COST = 7 * 1024
"""Cost of an HTTP/2 stream, from request to end: 5.9 to 6.3 KiB (decision 025)."""

WINDOW_MIN = 28 * 1024
"""Bytes of kernel memory that are reserved for each running transfer. With 28 KiB, 528 transfers fit in 20 MB, and
stalled clients fill nine tenths of a window (decision 025)."""

FAST_WINDOW = 200 * 1024
"""Largest window of a near client, in bytes: one call of 188 KiB, three segments of the loopback, moves the most bytes
in a CPU second; calls of 156 and 220 KiB cost twice as much (decision 007)."""
