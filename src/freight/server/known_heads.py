"""Recent heads that were answered with a file, and all that the server knows of them: see :mod:`freight.repeats`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from freight.model import RequestDetails
from freight.protocols import RepeatableAnswer

if TYPE_CHECKING:  # a server of HTTP/1 does without
    from freight.wire.http2.repeats import SectionFormat

MAX_KNOWN = 128
"""The largest number of heads that are known. With 1 KiB each, and as much for what is known, they take 256 KiB."""

_Key = TypeVar("_Key", bound=Hashable)
_Known = TypeVar("_Known")


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


class KnownSection(NamedTuple):
    """What is known of a header section of HTTP/2. ``section_format`` is the answer's."""

    answer: RepeatableAnswer
    section_format: SectionFormat


class KnownHeads(Generic[_Key, _Known]):
    """Known heads by what they have beside their range. The one that was added first is forgotten first."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[_Key, _Known] = {}

    def get(self, key: _Key) -> _Known | None:
        """Return what is known of a head."""
        return self._heads.get(key)

    def add(self, key: _Key, known: _Known) -> None:
        """Add a head that has been answered."""
        if len(self._heads) >= MAX_KNOWN and key not in self._heads:
            del self._heads[next(iter(self._heads))]
        self._heads[key] = known
