"""HTTP/1.1 and 1.0, sending: a Plan in; its head, and the body framed around its spans, out (RFC 9112).

One function, :func:`delimitation`, decides how the end of an answer is told; everything else asks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from http import HTTPStatus
from typing import assert_never

from freight.model import Plan, Span

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    421: "Misdirected Request",
    422: "Unprocessable Content",
}

_BREAKS = re.compile("[\r\n\0]")

LAST_CHUNK = b"0\r\n\r\n"
"""The end of chunked content, without trailers (RFC 9112 section 7.1)."""

CHUNK_BYTES = 4 * 1024 * 1024  # a chunk of a file in chunked content: its line and its CRLF are then nothing beside it


class Delimitation(Enum):
    """How a client knows where an answer's content ends (RFC 9112 section 6.3)."""

    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the connection's end"
    NONE = "there is none"


def delimitation(plan: Plan, version: tuple[int, int]) -> Delimitation:
    """How ``plan`` ends for a client that speaks ``version``.

    NONE for 1xx, 204 and 304, which never have content (RFC 9110 sections 15.2, 15.3.5, 15.4.5). An answer to HEAD
    (``plan.content`` False) names what the GET would have, but its missing content cannot end with the connection.
    """
    if plan.status < 200 or plan.status in (204, 304):
        return Delimitation.NONE
    if plan.length is not None:
        return Delimitation.LENGTH
    if version >= (1, 1):
        return Delimitation.CHUNKED  # RFC 9112 section 6.1: never to a client of HTTP/1.0
    return Delimitation.CLOSE if plan.content else Delimitation.NONE


def will_close(plan: Plan, version: tuple[int, int], keep_alive: bool) -> bool:
    """Whether the connection ends behind this answer. ``keep_alive``: the request allowed it to go on."""
    return not keep_alive or plan.close or delimitation(plan, version) is Delimitation.CLOSE


def head(plan: Plan, *, date: str, version: tuple[int, int], keep_alive: bool) -> bytes:
    """The status line and the header section, with the empty line at its end.

    ``date`` is the text of Date; ``version`` and ``keep_alive`` are the request's. Raises ValueError for a CR, LF or
    NUL in a field, or text beyond latin-1: a fault of whoever made the plan, and a response split if it were sent.
    """
    text = "".join([text for pair in plan.fields for text in pair])
    if _BREAKS.search(text):
        raise ValueError("a line break or NUL in a response field")
    lines = [f"HTTP/1.1 {plan.status} {_PHRASES.get(plan.status, '')}\r\nDate: {date}\r\nServer: freight\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in plan.fields]
    how = delimitation(plan, version)
    if how is Delimitation.LENGTH:
        lines.append(f"Content-Length: {plan.length}\r\n")
    elif how is Delimitation.CHUNKED:
        lines.append("Transfer-Encoding: chunked\r\n")
    if not keep_alive or plan.close or how is Delimitation.CLOSE:
        lines.append("Connection: close\r\n\r\n")
    elif version < (1, 1):
        lines.append("Connection: keep-alive\r\n\r\n")
    else:
        lines.append("\r\n")
    return "".join(lines).encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """One piece of a producer as one chunk (RFC 9112 section 7.1). b"" for b"", which would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def segments(
    plan: Plan,
    size: int | None,
    *,
    date: str,
    version: tuple[int, int],
    keep_alive: bool,
    chunk: int = CHUNK_BYTES,
) -> Iterator[bytes | Span]:
    """The whole answer in order, lazily: :func:`head`, and the content by :func:`framed` behind it."""
    start = head(plan, date=date, version=version, keep_alive=keep_alive)
    return framed(start, plan, size, version=version, chunk=chunk)


def framed(
    start: bytes, plan: Plan, size: int | None, *, version: tuple[int, int], chunk: int = CHUNK_BYTES
) -> Iterator[bytes | Span]:
    """``start`` and the content behind it: literal bytes, and spans of the representation of ``size`` bytes.

    Neighbouring literals are one. A span without a stop is resolved by ``size``. When that is None (a producer), it is
    given as it is: the caller sends each piece through :func:`encode_chunk` where :func:`delimitation` says CHUNKED,
    bare otherwise, and goes on with the next segment, the last chunk among them. Chunked spans of a known size come in
    chunks of at most ``chunk`` bytes. Raises ValueError for parts that do not add up to the length. What is returned
    holds nothing that has been taken from it: thousands of them wait at once.
    """
    how = delimitation(plan, version) if plan.content else Delimitation.NONE
    parts = tuple(_resolve(part, size) for part in plan.parts)
    match how:
        case Delimitation.NONE:
            return iter((start,))
        case Delimitation.CHUNKED:
            return _chunked(start, parts, chunk)
        case Delimitation.LENGTH | Delimitation.CLOSE:
            if how is Delimitation.LENGTH and _sum(parts) != plan.length:
                raise ValueError("the parts of an answer do not add up to its length")
            return _joined(start, parts)
        case _:
            assert_never(how)


def _resolve(part: bytes | Span, size: int | None) -> bytes | Span:
    if isinstance(part, Span) and part.stop is None and size is not None:
        return Span(part.start, size)
    return part


def _sum(parts: tuple[bytes | Span, ...]) -> int | None:
    """How many bytes the parts are; None when that cannot be known."""
    total = 0
    for part in parts:
        if isinstance(part, bytes):
            total += len(part)
        elif part.stop is None:
            return None
        else:
            total += part.stop - part.start
    return total


def _joined(literal: bytes, parts: tuple[bytes | Span, ...]) -> Iterator[bytes | Span]:
    for part in parts:
        if isinstance(part, bytes):
            literal += part
        elif part.stop is None or part.start < part.stop:
            if literal:
                ready, literal = literal, b""
                yield ready
                del ready
            yield part
    if literal:
        yield literal


def _chunked(literal: bytes, parts: tuple[bytes | Span, ...], chunk: int) -> Iterator[bytes | Span]:
    for part in parts:
        if isinstance(part, bytes):
            literal += encode_chunk(part)
        elif part.stop is None:
            if literal:
                yield literal
                literal = b""
            yield part
        else:
            for start in range(part.start, part.stop, chunk):
                stop = min(start + chunk, part.stop)
                ready, literal = literal, b"\r\n"
                yield ready + b"%x\r\n" % (stop - start)
                del ready
                yield Span(start, stop)
    yield literal + LAST_CHUNK
