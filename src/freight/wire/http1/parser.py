"""Receive HTTP/1.1 and 1.0: the bytes of one connection in, heads out (RFC 9112). Sans-IO.

**Goal.** One reading of every request, so that a proxy in front cannot disagree about where a request ends.

**Invariants.**

1. The result depends on the bytes alone, never on how the network split them.
2. The work is linear in the bytes, however they are fed.
3. After an error or after the last request of a connection no byte is parsed.

**Plan.** Lines are parsed strictly from the front of the buffer. Each rule is checked once the line is complete, or is
longer than its limit. A search continues where the last one stopped. The request line leaves the buffer first, then the
field section as a whole; :class:`~freight.wire.http1.body.BodyDiscarder` removes the content.

**Left out.** Reading the content: a file server needs none. Sending is in :mod:`freight.wire.http1.response`, whose
names this module re-exports.
"""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ProtocolError
from freight.wire.events import Head, Preface
from freight.wire.http1 import grammar
from freight.wire.http1.body import BodyDiscarder
from freight.wire.http1.request_head import RequestLine, parse_head, parse_request_line
from freight.wire.http1.response import (
    LAST_CHUNK,
    Framing,
    encode_chunk,
    framed,
    framing_of,
    head,
    segments,
    will_close,
)
from freight.wire.http2.frames import PREFACE

__all__ = [
    "LAST_CHUNK",
    "Framing",
    "Head",
    "Limits",
    "RequestParser",
    "encode_chunk",
    "framed",
    "framing_of",
    "head",
    "segments",
    "will_close",
]

_MAX_BLANK_LINES = 4  # RFC 9112 section 2.2 asks for at least one; old clients send one after a POST


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a request, in bytes except for ``fields``.

    - ``line``: the request line with its CRLF; 414 beyond. RFC 9112 section 3 asks for at least 8000; Apache and nginx
      accept 8 KiB.
    - ``head``: the request line and all field lines; 431 beyond. Node accepts as much: browsers send the cookies and
      tokens of a whole site. Over HTTP/2 the decoded section, with 32 bytes for each field (RFC 9113 section 6.5.2).
    - ``fields``: the number of field lines; 431 beyond. Apache accepts 100.
    - ``content``: request content that is discarded; 413 beyond. A file server needs none; with 64 KiB a form sent by
      mistake does not end the connection.
    """

    line: int = 8 * 1024
    head: int = 16 * 1024
    fields: int = 100
    content: int = 64 * 1024


class RequestParser:
    """The receiving side of one connection: ``feed()`` bytes, call ``next()`` for heads.

    Pipelined requests stay in the buffer until ``next()``. The caller must bound it by not reading during a response.
    After a head with ``keep_alive`` False all input is ignored. ``client`` and ``client_key`` go into each
    Request; ``scheme`` is "http" or "https".
    """

    __slots__ = (
        "_accept",
        "_blank_lines",
        "_buffer",
        "_checked",
        "_client",
        "_client_key",
        "_content",
        "_count",
        "_ended",
        "_head_bytes",
        "_limits",
        "_line",
        "_line_bytes",
        "_may_be_http2",
        "_method",
        "_refusal",
        "_scheme",
        "_searched",
    )

    def __init__(self, client: str, limits: Limits, scheme: str = "http", client_key: str | bytes = "") -> None:
        self._client = client
        self._client_key = client_key
        self._limits = limits
        self._scheme = scheme
        self._buffer = bytearray()
        self._line: RequestLine | None = None
        self._line_bytes = 0
        self._head_bytes = 0
        self._method = ""
        self._accept: str | None = None
        self._blank_lines = 0
        self._searched = 0  # the unfinished line has no LF before this position
        self._checked = 0  # the field lines before this position are complete and valid
        self._count = 0  # the number of those lines
        self._content: BodyDiscarder | None = None
        self._refusal: tuple[int, str] | None = None
        self._ended = False
        # Before the first request a clear-text connection may turn to HTTP/2 (RFC 9113 section 3.3). TLS uses ALPN.
        self._may_be_http2 = scheme == "http"

    @property
    def client_key(self) -> str | bytes:
        """The key of the connection's client."""
        return self._client_key

    @property
    def idle(self) -> bool:
        """Whether no byte has come since the last head and its content."""
        return not self._buffer and self._line is None and self._content is None

    @property
    def refused(self) -> bool:
        """Whether the input was refused: ``next()`` raises."""
        return self._refusal is not None

    @property
    def method(self) -> str:
        """The method of the current request line, or "". A refusal of HEAD must have no content."""
        return self._method

    @property
    def accept(self) -> str | None:
        """The Accept of a refused head, as far as it had come: it selects the form of the error."""
        return self._accept

    @property
    def head_bytes(self) -> int:
        """The size in bytes of the last complete head."""
        return self._head_bytes

    @property
    def skipping(self) -> bool:
        """Whether the last head's content is still coming. An error then concerns a request already answered."""
        return self._content is not None

    def feed(self, data: bytes) -> None:
        """Add received bytes. Never raises: ``next()`` reports errors."""
        if self._ended or self._refusal is not None:
            return
        self._buffer += data
        if self._content is not None:
            try:
                self._discard()
            except ProtocolError as error:
                self._refuse(error)

    def skip_head(self, size: int) -> None:
        """Note that a head of ``size`` bytes was answered without being parsed. The parser must be idle."""
        self._head_bytes, self._blank_lines, self._may_be_http2 = size, 0, False

    def next(self) -> Head | Preface | None:
        """Return the next head after the content of the previous one, or None while more bytes are needed.

        Return a Preface instead, at the start of the connection only; this parser then ignores all input.

        Raise ProtocolError for bytes that are refused, and again on each later call.
        """
        if self._refusal is not None:
            raise ProtocolError(*self._refusal)
        if self._may_be_http2 and self._is_http2():
            return self._read_preface()
        try:
            self._discard()
            if self._content is None and not self._ended and self._buffer:
                if self._line is None:
                    self._read_request_line()
                if self._line is not None:
                    return self._read_fields(self._line)
        except ProtocolError as error:
            self._refuse(error)
            raise
        return None

    def _is_http2(self) -> bool:
        """Return whether the input starts like the HTTP/2 preface, or with a line that is not HTTP/1 either."""
        may_be_preface = self._buffer.startswith(PREFACE[: len(self._buffer)])
        return may_be_preface or grammar.OTHER_PROTOCOL.match(self._buffer) is not None

    def _read_preface(self) -> Preface | None:
        if PREFACE.startswith(self._buffer) and len(self._buffer) < len(PREFACE):
            return None
        received = bytes(self._buffer)
        self._buffer.clear()
        self._ended = True
        return Preface(received)

    def _refuse(self, error: ProtocolError) -> None:
        self._refusal = (error.status, str(error))
        if self._line is not None:  # then the buffer starts with the field section
            found = grammar.ACCEPT.search(bytes(self._buffer[: self._limits.head]))
            self._accept = found[1].decode("latin-1") if found else None
        self._buffer.clear()

    def _discard(self) -> None:
        if self._content is not None and self._content.consume(self._buffer):
            self._content = None

    def _read_request_line(self) -> None:
        buffer, limit = self._buffer, self._limits.line
        self._method = ""
        # "A server ... SHOULD ignore at least one empty line" before a request line (RFC 9112 section 2.2).
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._may_be_http2 = False
            self._blank_lines += 1
            if self._blank_lines > _MAX_BLANK_LINES:
                raise ProtocolError(400, "too many empty lines before a request")
        if not buffer or buffer == b"\r":
            return
        if buffer[0] not in grammar.TOKEN_BYTES:
            # TLS on a clear-text port, say: it has no line end to wait for.
            raise ProtocolError(400, "this is not an HTTP request")
        end = buffer.find(b"\n", self._searched) + 1
        # RFC 9112 section 3: 414 for a target longer than any that the server parses.
        if end > limit or (not end and len(buffer) >= limit):
            raise ProtocolError(414, "the address is too long")
        if not end:
            self._searched = len(buffer)
            return
        self._may_be_http2 = False
        self._line = parse_request_line(bytes(buffer[:end]))
        self._method = self._line.method
        self._line_bytes = end
        del buffer[:end]
        self._searched = 0

    def _read_fields(self, line: RequestLine) -> Head | None:
        buffer, fields, most = self._buffer, self._limits.fields, self._limits.head - self._line_bytes
        if buffer.find(b"\n", self._searched) < 0:
            self._wait_for_fields(most)
            return None
        stop = min(len(buffer), most + 2)
        match = grammar.FIELD_LINES.match(buffer, self._checked, stop)
        end = match.end() if match is not None else self._checked
        del match  # it exports the buffer, which could then not be resized
        self._count += buffer.count(b"\n", self._checked, end)
        self._checked = end
        if self._count > fields or end > most:
            raise ProtocolError(431, "there are too many header fields, or they are too large")
        if buffer.startswith(b"\r\n", end):
            return self._complete_head(line, end)
        bad = buffer.find(b"\n", end) + 1
        if not bad:
            self._wait_for_fields(most)
            return None
        # A line over a limit is 431 (RFC 6585 section 5) even when it is malformed too.
        if bad > most or self._count == fields:
            raise ProtocolError(431, "there are too many header fields, or they are too large")
        # Folded lines, and a space before the colon, are here too (RFC 9112 sections 5.1 and 5.2).
        raise ProtocolError(400, "malformed header field")

    def _wait_for_fields(self, most: int) -> None:
        self._searched = len(self._buffer)
        if self._searched > most + 1:
            raise ProtocolError(431, "the header fields are too large")

    def _complete_head(self, line: RequestLine, end: int) -> Head:
        section, most_content = bytes(self._buffer[:end]), self._limits.content
        found = parse_head(line, section, self._client, self._scheme, most_content, self._client_key)
        self._head_bytes = self._line_bytes + end + 2
        del self._buffer[: end + 2]
        self._line = None
        self._searched = self._checked = self._count = self._blank_lines = 0
        if not found.keep_alive:
            self._ended = True
            self._buffer.clear()
        elif found.content != 0:
            self._content = BodyDiscarder(found.content, self._limits.content)
        return found
