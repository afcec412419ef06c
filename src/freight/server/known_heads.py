"""The heads that were answered lately with a file, and all that the server knows of them: see ``freight.repeats``."""

from __future__ import annotations

from typing import NamedTuple

from freight.model import RequestDetails
from freight.protocols import RepeatableAnswer
from freight.wire.http1.repeats import Key

MAX_KNOWN = 128
"""The largest number of heads that are known. With 1 KiB each, and as much for what is known, they take 256 KiB."""


class KnownHead(NamedTuple):
    """What is known of a head whose range may differ from the first one's.

    ``head_format`` is the answer's head: :func:`freight.wire.http1.repeats.head_format`. ``cost`` is the request's.
    The others are what the log says of the request.
    """

    answer: RepeatableAnswer
    head_format: bytes
    cost: float
    target: str
    version: tuple[int, int]
    details: RequestDetails | None


class KnownHeads:
    """Known heads by what they have beside their range. The one that was added first is forgotten first."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[Key, KnownHead] = {}

    def get(self, key: Key) -> KnownHead | None:
        """Return what is known of a head."""
        return self._heads.get(key)

    def add(self, key: Key, known: KnownHead) -> None:
        """Add a head that has been answered."""
        if len(self._heads) >= MAX_KNOWN and key not in self._heads:
            del self._heads[next(iter(self._heads))]
        self._heads[key] = known
