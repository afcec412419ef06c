"""Discard request content: check and count it, so that the next head is found after it (RFC 9112 section 7.1)."""

from __future__ import annotations

from enum import Enum

from freight.errors import ProtocolError
from freight.wire.http1 import grammar

# Lines of chunked content; a chunk has two. Chunks of one byte would make each byte as expensive as a line.
_MAX_LINES = 1024
_LINE_BYTES = 1024  # a chunk size has at most 16 digits and extensions are rare; a trailer may hold a digest


class _Next(Enum):
    """What comes next (RFC 9112 section 7.1)."""

    SIZE = "chunk-size [chunk-ext] CRLF"
    DATA = "content, or a chunk's data"
    DATA_END = "the CRLF after a chunk's data"
    TRAILER = "a trailer field's line, or the last CRLF"
    NOTHING = "the content is over"


class BodyDiscarder:
    """Discards the content of one request, of ``length`` bytes or chunked (None).

    ``limit`` bytes and 1,024 lines of chunked content are accepted, framing and trailers included, so that neither long
    chunk extensions nor tiny chunks evade the limit. The caller must have checked a known ``length``.
    """

    __slots__ = ("_bytes_allowed", "_chunked", "_left", "_lines_allowed", "_next")

    def __init__(self, length: int | None, limit: int) -> None:
        self._chunked = length is None
        self._left = length or 0
        self._next = _Next.SIZE if length is None else _Next.DATA
        self._bytes_allowed = limit
        self._lines_allowed = _MAX_LINES

    def consume(self, buffer: bytearray) -> bool:
        """Remove this content from the front of ``buffer``. Return True at its end.

        Raise ProtocolError: 400 for malformed chunks, 413 beyond the limit.
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
                raise ProtocolError(400, "a line of the chunked content is too long")
            return False
        line = bytes(buffer[:end])
        del buffer[:end]
        self._spend(end)
        self._lines_allowed -= 1
        if self._next is _Next.SIZE:
            self._begin_chunk(line)
        elif line == b"\r\n":
            self._next = _Next.SIZE if self._next is _Next.DATA_END else _Next.NOTHING
        elif self._next is _Next.DATA_END or grammar.FIELD_LINES.fullmatch(line) is None:
            raise ProtocolError(400, "malformed chunked content")
        return True

    def _begin_chunk(self, line: bytes) -> None:
        match = grammar.CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "malformed chunk size")
        self._left = int(match[1], 16)
        self._spend(self._left)
        self._next = _Next.DATA if self._left else _Next.TRAILER

    def _spend(self, size: int) -> None:
        self._bytes_allowed -= size
        if self._bytes_allowed < 0 or self._lines_allowed < 0:
            raise ProtocolError(413, "the request content is too large")
