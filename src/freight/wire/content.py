"""Request content that nobody wants: it is checked, counted and dropped, so that the next head is found behind it."""

from __future__ import annotations

from enum import Enum

from freight.errors import ProtocolError
from freight.wire import syntax

_MAX_LINES = 1024  # of chunked content; a chunk has two. A byte a chunk would make each byte cost what a line does
_LINE_BYTES = 1024  # a chunk's size has 16 digits at most and extensions are hardly used; a trailer may hold a digest


class _Next(Enum):
    """What the bytes at the front of the buffer are (RFC 9112 section 7.1)."""

    SIZE = "chunk-size [chunk-ext] CRLF"
    DATA = "content, or a chunk's data"
    DATA_END = "the CRLF behind a chunk's data"
    TRAILER = "a trailer field's line, or the last CRLF"
    NOTHING = "the content is over"


class Discard:
    """The content of one request, of ``length`` bytes or chunked (None).

    At most ``limit`` bytes and 1,024 lines of a chunked one are taken, framing and trailers included: a client that
    wraps each byte in a long chunk extension gains nothing, nor does one that sends a byte a chunk. Whoever makes a
    Discard of a known length has checked it.
    """

    __slots__ = ("_chunked", "_left", "_lines", "_next", "_room")

    def __init__(self, length: int | None, limit: int) -> None:
        self._chunked = length is None
        self._left = length or 0
        self._next = _Next.SIZE if length is None else _Next.DATA
        self._room = limit
        self._lines = _MAX_LINES

    def consume(self, buffer: bytearray) -> bool:
        """Drop from the front of ``buffer`` what belongs to this content; True when all of it has gone by.

        Raises ProtocolError: 400 for malformed chunks, 413 beyond the limit.
        """
        while self._next is not _Next.NOTHING:
            if self._next is _Next.DATA:
                gone = min(self._left, len(buffer))
                del buffer[:gone]
                self._left -= gone
                if self._left:
                    return False
                self._next = _Next.DATA_END if self._chunked else _Next.NOTHING
            elif not self._consume_line(buffer):
                return False
        return True

    def _consume_line(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\n", 0, _LINE_BYTES) + 1
        if not end:
            if len(buffer) >= _LINE_BYTES:
                raise ProtocolError(400, "a line too long in chunked content")
            return False
        line = bytes(buffer[:end])
        del buffer[:end]
        self._spend(end)
        self._lines -= 1
        if self._next is _Next.SIZE:
            self._begin_chunk(line)
        elif line == b"\r\n":
            self._next = _Next.SIZE if self._next is _Next.DATA_END else _Next.NOTHING
        elif self._next is _Next.DATA_END or syntax.FIELD_LINES.fullmatch(line) is None:
            raise ProtocolError(400, "malformed chunked content")
        return True

    def _begin_chunk(self, line: bytes) -> None:
        match = syntax.CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "malformed chunk size")
        self._left = int(match[1], 16)
        self._spend(self._left)
        self._next = _Next.DATA if self._left else _Next.TRAILER

    def _spend(self, size: int) -> None:
        self._room -= size
        if self._room < 0 or self._lines < 0:
            raise ProtocolError(413, "more request content than is taken here")
