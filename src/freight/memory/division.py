"""How the memory is divided: how many slots it has, and what is reserved for everything beside them."""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ConfigurationError
from freight.memory.costs import CONNECTION_COST, FAST_WINDOW, HANDSHAKE_COST, WAITING_COST, WINDOW_MIN
from freight.units import format_size

KIB = 1024

HANDSHAKES_DIVISOR = 8
"""As many TLS handshakes may be open at once as 1/8 of the memory pays for, or eight (decision 014)."""

RESERVE_DIVISOR = 16
"""1/16 of the memory is reserved for connections without a slot, the express lane and one listing (decision 009)."""

LISTING_DIVISOR = 64
"""One listing takes at most 1/64 of the memory at first, but never less than 22 kB and two pieces of 4 KiB."""

CALL_DIVISOR = 32
"""At most 1/32 of the memory is reserved for large calls to near clients (decision 025)."""

_RESERVED_CALLS = 2  # one is sent while the kernel of another client has not acknowledged its own
_MAX_PIECE = 64 * KIB  # of a listing; it costs two, because one is sent while the next is made
_MAX_LISTING = 2800 * KIB  # for the entries of a listing at first; it may ask for more (decision 005)
_LEAST_LISTING = 22_400  # bytes, for the entries of a listing
_LEAST_PIECE = 4 * KIB
_LEAST_PRODUCER = 2 * _LEAST_PIECE + _LEAST_LISTING
_LEAST_HANDSHAKES = 8
_LEAST_EXPRESS = 2  # a listing, and a small answer beside it


@dataclass(frozen=True, slots=True)
class Division:
    """What a budget allows. Sizes are in bytes.

    - ``slots``: how many transfers may run; ``express_slots``: how many more in the express lane.
    - ``max_handshakes``: how many TLS handshakes may be open at once.
    - ``call_reserve``: what is lent to near clients only.
    - ``slotless_reserve``: what is reserved for connections without a slot.
    - ``piece_bytes``, ``listing_bytes``: a piece of a listing, and its entries. ``producer_cost``: two pieces and the
      entries.
    """

    slots: int
    express_slots: int
    max_handshakes: int
    call_reserve: int
    slotless_reserve: int
    piece_bytes: int
    listing_bytes: int
    producer_cost: int


def divide(memory_bytes: int, cost: int = CONNECTION_COST) -> Division:
    """Divide an amount of memory. ``cost`` is what a connection costs, in bytes.

    Raise :class:`~freight.errors.ConfigurationError` if it is less than :func:`least_memory`.
    """
    least = least_memory(cost)
    if memory_bytes < least:
        raise ConfigurationError(
            f"{format_size(memory_bytes)} is too little; the least is {format_size(least)}", "memory"
        )
    share = memory_bytes // RESERVE_DIVISOR
    reserve = max(share, _least_reserve(cost))
    calls = _RESERVED_CALLS * (FAST_WINDOW - WINDOW_MIN)
    call_reserve = min(calls, (memory_bytes - least) // CALL_DIVISOR)
    express_slots = max(_LEAST_EXPRESS, share // 4 // (WINDOW_MIN + cost))
    listing = memory_bytes // LISTING_DIVISOR
    piece_bytes = min(_MAX_PIECE, max(_LEAST_PIECE, listing // 8))
    listing_bytes = min(_MAX_LISTING, max(_LEAST_LISTING, listing - 2 * piece_bytes))
    producer_cost = 2 * piece_bytes + listing_bytes
    return Division(
        slots=(memory_bytes - call_reserve - reserve) // (WINDOW_MIN + cost),
        express_slots=express_slots,
        max_handshakes=max(_LEAST_HANDSHAKES, memory_bytes // HANDSHAKES_DIVISOR // HANDSHAKE_COST),
        call_reserve=call_reserve,
        slotless_reserve=reserve - express_slots * WINDOW_MIN - producer_cost,
        piece_bytes=piece_bytes,
        listing_bytes=listing_bytes,
        producer_cost=producer_cost,
    )


def _least_reserve(cost: int) -> int:
    return _LEAST_EXPRESS * WINDOW_MIN + 4 * (cost + WAITING_COST) + _LEAST_PRODUCER


def least_memory(cost: int = CONNECTION_COST) -> int:
    """Return the least memory that works, in bytes: one download, one listing, one small answer and four connections.

    ``cost`` is what a connection costs, in bytes.
    """
    return -(-(_least_reserve(cost) + WINDOW_MIN + cost) // (64 * KIB)) * 64 * KIB


LEAST_MEMORY = least_memory()
"""The least memory of a server without TLS, in bytes."""
