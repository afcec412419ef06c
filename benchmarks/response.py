"""One response, compared byte by byte with the file while it arrives."""

from __future__ import annotations

import re

CHUNK = re.compile(rb"(?:\r\n)?([0-9a-fA-F]+)[^\r\n]*\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
LINE = 4096


class WrongResponse(Exception):
    """A response differs from the file; the text says where."""


class ComparedResponse:
    """The received part of one response, with a length or in chunks (RFC 9112 sections 6 and 7.1).

    ``taken`` counts bytes of the body; all of them equal those of ``content``.
    """

    __slots__ = ("_body", "_ended", "_left", "_text", "content", "taken")

    def __init__(self, content: bytes) -> None:
        self.content, self.taken = content, 0
        self._text = b""  # an incomplete head or chunk line
        self._body = ""  # how it is framed; empty before the head has arrived
        self._left = 0  # of the current chunk
        self._ended = False

    @property
    def is_complete(self) -> bool:
        return self._ended and self.taken == len(self.content)

    def feed(self, data: bytes) -> None:
        """Compare the next bytes of the stream. Raises WrongResponse."""
        if not self._body:
            head, end, data = (self._text + data).partition(b"\r\n\r\n")
            if not end:
                self._text = head
                return
            self._text = b""
            self._read_head(head)
        if self._body == "chunks":
            self._read_chunks(data)
        elif data:
            self._compare(data)
            self._ended = self.taken == len(self.content)

    def _read_head(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200"):
            raise WrongResponse(f"the response was {head[:60]!r}")
        self._body = "chunks" if CHUNKED.search(head) else "length"
        length = LENGTH.search(head)
        if self._body == "length" and (not length or int(length[1]) != len(self.content)):
            raise WrongResponse("the stated length is not the file's")

    def _read_chunks(self, data: bytes) -> None:
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                self._compare(piece)
                continue
            self._text += data
            if not (line := CHUNK.match(self._text)):
                if len(self._text) > LINE:
                    raise WrongResponse("a chunk without a size")
                return
            data, self._text = self._text[line.end() :], b""
            self._left = int(line[1], 16)
            if not self._left:
                self._ended = True
                return

    def _compare(self, piece: bytes) -> None:
        if not self.content.startswith(piece, self.taken):
            raise WrongResponse(f"the bytes from {self.taken} on are not the file's")
        self.taken += len(piece)
