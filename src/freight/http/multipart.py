"""multipart/byteranges (RFC 9110 section 14.6, RFC 2046 section 5.1), laid out before the file is read. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import overload

from freight.model import Span

_HEAD_END = "\r\n\r\n"


def boundary(seed: str, spans: Sequence[Span]) -> str:
    """Return a boundary of 32 hexadecimal digits for these spans of the representation that ``seed`` (its ETag) names.

    It is a hash and not a random number, so that every replica sends the same response. 128 bits do not occur in
    content by chance. Content made to contain them must foresee its own size, mtime_ns and the requested ranges. Even
    then it misleads only clients that search for boundaries and ignore Content-Range.
    """
    from hashlib import blake2s  # loads a cryptography library, which only this rare response needs

    text = seed + "".join(f" {span.start}-{span.stop}" for span in spans)
    return blake2s(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def content_range(span: Span, size: int) -> str:
    """Return the Content-Range of a span of ``size`` bytes (section 14.4). The span must have a stop."""
    assert span.stop is not None
    return f"bytes {span.start}-{span.stop - 1}/{size}"


class Parts(Sequence[bytes | Span]):
    """The content of a multipart response in order: part heads as bytes, the spans between them, and the last boundary.

    Each part is made when it is read, so a response with 256 ranges holds 6 KiB while it waits or runs. ``size`` is
    that of the whole representation in bytes, ``media_type`` the Content-Type of each part. Every span must have a
    stop. ``length`` is that of the content in bytes.

    A line break precedes the first boundary too. RFC 2046 section 5.1.1 allows it as an empty preamble, and zsync finds
    a part only by the line break before its boundary.
    """

    __slots__ = ("_bounds", "_closing", "_opening", "_size", "length")

    def __init__(self, spans: Sequence[Span], size: int, media_type: str, boundary: str) -> None:
        self._bounds = array("q")
        for span in spans:
            assert span.stop is not None
            self._bounds.extend((span.start, span.stop))
        self._size = size
        self._opening = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
        self._closing = f"\r\n--{boundary}--\r\n".encode("latin-1")
        heads = sum(len(self._opening) + len(content_range(span, size)) + len(_HEAD_END) for span in spans)
        stops, starts = self._bounds[1::2], self._bounds[::2]
        self.length = heads + sum(stops) - sum(starts) + len(self._closing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parts) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._bounds) + 1

    @overload
    def __getitem__(self, at: int) -> bytes | Span: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes | Span]: ...

    def __getitem__(self, at: int | slice) -> bytes | Span | Sequence[bytes | Span]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        if at == len(self._bounds):
            return self._closing
        span = Span(self._bounds[at & ~1], self._bounds[at | 1])
        return span if at & 1 else self._head(span)

    def __iter__(self) -> Iterator[bytes | Span]:
        for at in range(0, len(self._bounds), 2):
            span = Span(self._bounds[at], self._bounds[at + 1])
            yield self._head(span)
            yield span
        yield self._closing

    def _head(self, span: Span) -> bytes:
        return f"{self._opening}{content_range(span, self._size)}{_HEAD_END}".encode("latin-1")
