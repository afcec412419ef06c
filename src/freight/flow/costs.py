"""What clients cost, in bytes of the process, by kind. tests/load holds each number to what is measured."""

from __future__ import annotations

CONNECTION_COST = 6 * 1024
"""What one open connection costs, running or idle."""

TLS_COST = 17 * 1024
"""What a connection that speaks TLS costs besides: OpenSSL's state of it (docs/decisions/014)."""

HANDSHAKE_COST = 32 * 1024
"""What one may cost besides until it has shaken hands: OpenSSL's buffers of messages and records."""

WAITING_COST = 3 * 1024 // 2
"""What one that does not run may cost besides: a place in the queue, or a short answer on its way out."""

MULTIPLEX_COST = 24 * 1024
"""What a connection of HTTP/2 costs besides: its state, two tables of HPACK, a frame."""

STREAM_COST = 8 * 1024
"""What one of its streams costs, from request to end."""

ENTRY_COST = 700
"""What an entry in a listing's window costs: two passes of it while they are sorted, its name and its key."""
