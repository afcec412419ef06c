"""Charge a connection for its frames, by the table in :mod:`freight.wire.costs`. Pure."""

from __future__ import annotations

from freight.wire import costs
from freight.wire.accounting import ConnectionAccount
from freight.wire.http2 import frames
from freight.wire.http2.frames import Frame, FrameType

_BLOCKS = frozenset((FrameType.HEADERS, FrameType.CONTINUATION))
_SETTING_BYTES = 6
_MAX_UPDATE_CREDIT = 1 << 26  # bytes: a larger update is never free


def cost_of(frame: Frame, streams: int) -> float:
    """Return the cost of a frame before it is parsed; ``streams`` is the number of streams that h2 knows."""
    kind, size = frame.kind, frame.size
    cost = costs.FRAME.get(kind, costs.UNKNOWN_FRAME) + size * costs.PAYLOAD_BYTE
    if kind in _BLOCKS:
        return cost + size * costs.BLOCK_BYTE
    if kind == FrameType.SETTINGS:
        return cost + size / _SETTING_BYTES * costs.SETTING + streams * costs.OPEN_STREAM
    return cost


class WindowUpdateCharges:
    """Charges a connection for window updates. Updates for delivered content are free.

    One byte of content allows two of updates, as clients update the window of the stream and of the connection.
    """

    __slots__ = ("_charges", "_credit")

    def __init__(self, charges: ConnectionAccount) -> None:
        self._charges = charges
        self._credit = 0  # bytes that free updates may still have

    def delivered(self, count: int) -> None:
        """Count ``count`` bytes of sent content, which pay too."""
        self._credit = min(self._credit + 2 * count, _MAX_UPDATE_CREDIT)
        self._charges.pay(count * costs.DELIVERED_BYTE)

    def take_free(self, size: int) -> bool:
        """Return whether an update of ``size`` bytes is free, and count it as one."""
        if costs.FREE_UPDATE_BYTES <= size <= self._credit:
            self._credit -= size
            return True
        return False

    def charge(self, frame: Frame, open_streams: int) -> None:
        """Charge for a WINDOW_UPDATE beyond :func:`cost_of`, or pay that back if it is free."""
        size = int.from_bytes(frame.payload[:4]) & frames.LAST_STREAM
        cost = 0.0 if frame.stream else open_streams * costs.OPEN_STREAM
        self._charges.charge(cost)
        if self.take_free(size):
            self._charges.pay(costs.FRAME[FrameType.WINDOW_UPDATE] + cost)
        elif size < costs.SMALL_UPDATE_BYTES:
            self._charges.charge(costs.SMALL_UPDATE)
