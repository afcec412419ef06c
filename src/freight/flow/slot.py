"""What a transfer needs to run: a slot, for one of the lanes."""

from __future__ import annotations

from freight.fair_queue import Key
from freight.memory.budget import Lane
from freight.protocols import Sink

EXPRESS_BYTES = 1024 * 1024
"""The longest answer of the express lane, in bytes."""


def lane_of(length: int | None, produced: bool) -> Lane:
    """Return the lane of an answer. ``length`` is in bytes, or None if unknown; ``produced``: a producer makes it."""
    if produced:
        return Lane.LISTING
    return Lane.EXPRESS if length is not None and length <= EXPRESS_BYTES else Lane.ORDINARY


class Slot:
    """The right of one transfer to run, for the client ``key``, once the gate has granted it. Only the gate ends it.

    ``waited_seconds`` is how long its request was queued.
    """

    __slots__ = ("key", "lane", "sink", "waited_seconds")

    def __init__(self, key: Key, lane: Lane, sink: Sink) -> None:
        self.key = key
        self.lane = lane
        self.sink = sink
        self.waited_seconds = 0.0
