"""HTTP/1.1 and 1.0, receiving: the bytes of one connection in, heads out (RFC 9112). Sans-IO.

The buffer is read strictly from its front, line by line, and each rule is asked of a line when its end is there (or its
limit is passed). So what comes out depends on the bytes alone and never on how the network cut them up. Searches go on
where they stopped: the work is linear in the bytes, fed in any way.

Sending is in :mod:`freight.wire.answer`; its names are repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ProtocolError
from freight.wire import syntax
from freight.wire.answer import (
    LAST_CHUNK,
    Delimitation,
    delimitation,
    encode_chunk,
    framed,
    head,
    segments,
    will_close,
)
from freight.wire.content import Discard
from freight.wire.events import Head, Preface
from freight.wire.frames import PREFACE
from freight.wire.request import RequestLine, parse_head, parse_request_line

__all__ = [
    "LAST_CHUNK",
    "Delimitation",
    "Head",
    "Inbound",
    "Limits",
    "delimitation",
    "encode_chunk",
    "framed",
    "head",
    "segments",
    "will_close",
]

_BLANK_LINES = 4  # RFC 9112 section 2.2 asks for one; old clients send one after a POST, nobody sends many


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a request is taken, in bytes unless said otherwise.

    ``line``: the request line with its CRLF, beyond it 414. RFC 9112 section 3 asks for 8000 at least; Apache and nginx
    take 8 KiB. ``head``: the line and all field lines, beyond it 431: as much as Node takes, as cookies and tokens of
    whole sites come along with a download. Over HTTP/2 the decoded section, each field with 32 bytes more (RFC 9113
    section 6.5.2). ``fields``: how many field lines, beyond it 431; Apache takes 100.
    ``content``: request content passed over before the next head, beyond it 413. A file server wants none; 64 KiB pass
    a form sent by mistake without ending the connection.
    """

    line: int = 8 * 1024
    head: int = 16 * 1024
    fields: int = 100
    content: int = 64 * 1024


class Inbound:
    """The receiving side of one connection: ``feed()`` it bytes, ask ``next()`` for heads.

    Pipelined requests stay in the buffer until asked for; its bound is the caller's: do not read while answering.
    Behind a head that ends the connection (``keep_alive`` False) nothing more is taken. ``client`` goes into each
    Request; ``scheme`` is what the connection speaks, "http" or "https".
    """

    __slots__ = (
        "_accept",
        "_blank_lines",
        "_buffer",
        "_checked",
        "_client",
        "_content",
        "_count",
        "_ended",
        "_fresh",
        "_head_bytes",
        "_limits",
        "_line",
        "_line_bytes",
        "_method",
        "_refusal",
        "_scheme",
        "_searched",
    )

    def __init__(self, client: str, limits: Limits, scheme: str = "http") -> None:
        self._client = client
        self._limits = limits
        self._scheme = scheme
        self._buffer = bytearray()  # what has not been taken; the request line leaves it before the field section
        self._line: RequestLine | None = None
        self._line_bytes = 0  # how long it was
        self._head_bytes = 0  # how long the last whole head was
        self._method = ""
        self._accept: str | None = None
        self._blank_lines = 0
        self._searched = 0  # no LF of an unfinished line before this position
        self._checked = 0  # whole good field lines up to this position,
        self._count = 0  # so many
        self._content: Discard | None = None
        self._refusal: tuple[int, str] | None = None
        self._ended = False
        # Nothing has been made of its bytes yet: it may speak HTTP/2; over TLS that is for ALPN to say.
        self._fresh = scheme == "http"

    @property
    def idle(self) -> bool:
        """Between requests: nothing has come since the last head and its content."""
        return not self._buffer and self._line is None and self._content is None

    @property
    def refused(self) -> bool:
        """What has come is refused, as ``next()`` says whenever it is asked."""
        return self._refusal is not None

    @property
    def method(self) -> str:
        """The method of the request line read last, "" while it has not come whole: who refuses a HEAD must know."""
        return self._method

    @property
    def accept(self) -> str | None:
        """The first Accept of a head that was refused, as far as it had come: which form its refusal may take."""
        return self._accept

    @property
    def head_bytes(self) -> int:
        """How long the last head was that was whole."""
        return self._head_bytes

    @property
    def skipping(self) -> bool:
        """The last head's content is still coming. A refusal meanwhile is about a request already answered."""
        return self._content is not None

    def feed(self, data: bytes) -> None:
        """Take what the socket gave. Never raises: a refusal is ``next()``'s to tell."""
        if self._ended or self._refusal is not None:
            return
        self._buffer += data
        if self._content is not None:
            try:
                self._discard()
            except ProtocolError as error:
                self._refuse(error)

    def next(self) -> Head | Preface | None:
        """The next head, once the content of the one before has gone by; None: more bytes are needed.

        A Preface, once and at the beginning only: what comes behind it is another's to read.

        Raises ProtocolError for bytes that are refused, and the same again each time after that.
        """
        if self._refusal is not None:
            raise ProtocolError(*self._refusal)
        if self._fresh and self._is_http2():
            return self._read_preface()
        try:
            self._discard()
            if self._content is None and not self._ended and self._buffer:
                if self._line is None:
                    self._read_request_line()
                if self._line is not None:
                    return self._read_section(self._line)
        except ProtocolError as error:
            self._refuse(error)
            raise
        return None

    def _is_http2(self) -> bool:
        """It begins as the preface does, or with a line of neither wire: then the preface was meant, if anything."""
        whole = self._buffer.startswith(PREFACE[: len(self._buffer)])
        return whole or syntax.NO_HTTP.match(self._buffer) is not None

    def _read_preface(self) -> Preface | None:
        if PREFACE.startswith(self._buffer) and len(self._buffer) < len(PREFACE):
            return None
        ahead = bytes(self._buffer)
        self._buffer.clear()
        self._ended = True
        return Preface(ahead)

    def _refuse(self, error: ProtocolError) -> None:
        self._refusal = (error.status, str(error))
        if self._line is not None:  # what is left of the buffer begins with its field section
            found = syntax.ACCEPT.search(bytes(self._buffer[: self._limits.head]))
            self._accept = found[1].decode("latin-1") if found else None
        self._buffer.clear()

    def _discard(self) -> None:
        if self._content is not None and self._content.consume(self._buffer):
            self._content = None

    def _read_request_line(self) -> None:
        buffer, limit = self._buffer, self._limits.line
        self._method = ""
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._fresh = False
            self._blank_lines += 1
            if self._blank_lines > _BLANK_LINES:
                raise ProtocolError(400, "too many empty lines before a request")
        if not buffer or buffer == b"\r":
            return
        if buffer[0] not in syntax.TCHAR:
            raise ProtocolError(400, "this is not an HTTP request")  # TLS sent to a clear port, say; it has no line end
        end = buffer.find(b"\n", self._searched) + 1
        if end > limit or (not end and len(buffer) >= limit):
            raise ProtocolError(414, "the address is too long")
        if not end:
            self._searched = len(buffer)
            return
        self._fresh = False
        self._line = parse_request_line(bytes(buffer[:end]))
        self._method = self._line.method
        self._line_bytes = end
        del buffer[:end]
        self._searched = 0

    def _read_section(self, line: RequestLine) -> Head | None:
        buffer, fields, most = self._buffer, self._limits.fields, self._limits.head - self._line_bytes
        if buffer.find(b"\n", self._searched) < 0:
            self._wait_section(most)
            return None
        stop = min(len(buffer), most + 2)
        match = syntax.FIELD_LINES.match(buffer, self._checked, stop)
        end = match.end() if match is not None else self._checked
        del match  # it holds the buffer, which could not be cut then
        self._count += buffer.count(b"\n", self._checked, end)
        self._checked = end
        if self._count > fields or end > most:
            raise ProtocolError(431, "this request has too many header fields, or too large ones")
        if buffer.startswith(b"\r\n", end):
            return self._take(line, end)
        bad = buffer.find(b"\n", end) + 1
        if not bad:
            self._wait_section(most)
            return None
        if bad > most or self._count == fields:
            raise ProtocolError(431, "this request has too many header fields, or too large ones")
        raise ProtocolError(400, "malformed header field")

    def _wait_section(self, most: int) -> None:
        self._searched = len(self._buffer)
        if self._searched > most + 1:
            raise ProtocolError(431, "the header fields of this request are too large")

    def _take(self, line: RequestLine, end: int) -> Head:
        found = parse_head(line, bytes(self._buffer[:end]), self._client, self._scheme, self._limits.content)
        self._head_bytes = self._line_bytes + end + 2
        del self._buffer[: end + 2]
        self._line = None
        self._searched = self._checked = self._count = self._blank_lines = 0
        if not found.keep_alive:
            self._ended = True
            self._buffer.clear()
        elif found.content != 0:
            self._content = Discard(found.content, self._limits.content)
        return found
