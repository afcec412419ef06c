"""Send HTTP/1.1 and 1.0: a Plan in; its head, and its content framed around file spans, out (RFC 9112).

Only :func:`framing_of` decides how a response ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import assert_never

from freight.model import Fields, Plan, Span
from freight.rfc9110 import PHRASES

_BREAKS = re.compile("[\r\n\0]")

LAST_CHUNK = b"0\r\n\r\n"
"""The last chunk, without trailers (RFC 9112 section 7.1)."""

CHUNK_BYTES = 4 * 1024 * 1024  # large, so that the framing of a chunk costs nothing beside its data


class Framing(Enum):
    """How a client finds the end of a response (RFC 9112 section 6.3)."""

    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "close"
    NONE = "none"


def framing_of(plan: Plan, version: tuple[int, int]) -> Framing:
    """Return how ``plan`` ends for a client of HTTP ``version``.

    NONE for 1xx, 204 and 304, which never have content (RFC 9110 sections 15.2, 15.3.5, 15.4.5). A response to HEAD
    (``plan.content`` False) has the framing of the GET, but never CLOSE.
    """
    if plan.status < 200 or plan.status in (204, 304):
        return Framing.NONE
    if plan.length is not None:
        return Framing.LENGTH
    if version >= (1, 1):
        return Framing.CHUNKED  # never to a client of HTTP/1.0 (RFC 9112 section 6.1)
    return Framing.CLOSE if plan.content else Framing.NONE


def check_fields(fields: Fields) -> None:
    """Raise ValueError for a CR, LF or NUL in a field: sent, it would split the response (RFC 9110 section 5.5)."""
    if _BREAKS.search("".join([text for pair in fields for text in pair])):
        raise ValueError("a line break or NUL in a response field")


def will_close(plan: Plan, version: tuple[int, int], keep_alive: bool) -> bool:
    """Return whether the connection closes after this response. ``keep_alive``: the request allows another."""
    return not keep_alive or plan.close or framing_of(plan, version) is Framing.CLOSE


def head(plan: Plan, *, date: str, version: tuple[int, int], keep_alive: bool) -> bytes:
    """Return the status line and the header section, with the final empty line.

    ``date`` is the text of Date; ``version`` and ``keep_alive`` are the request's. Raise ValueError as
    :func:`check_fields` does, and for text beyond latin-1.
    """
    check_fields(plan.fields)
    lines = [f"HTTP/1.1 {plan.status} {PHRASES.get(plan.status, '')}\r\nDate: {date}\r\nServer: freight\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in plan.fields]
    how = framing_of(plan, version)
    if how is Framing.LENGTH:
        lines.append(f"Content-Length: {plan.length}\r\n")
    elif how is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked\r\n")
    if not keep_alive or plan.close or how is Framing.CLOSE:
        lines.append("Connection: close\r\n\r\n")
    elif version < (1, 1):
        lines.append("Connection: keep-alive\r\n\r\n")
    else:
        lines.append("\r\n")
    return "".join(lines).encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """Return one piece of a producer as a chunk (RFC 9112 section 7.1); b"" for b"", which would be the last chunk."""
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
    """Return the whole response lazily: :func:`head`, then the content as :func:`framed` does."""
    start = head(plan, date=date, version=version, keep_alive=keep_alive)
    return framed(start, plan, size, version=version, chunk=chunk)


def framed(
    start: bytes, plan: Plan, size: int | None, *, version: tuple[int, int], chunk: int = CHUNK_BYTES
) -> Iterator[bytes | Span]:
    """Return ``start`` and the content after it: literal bytes, and spans of the representation of ``size`` bytes.

    Neighbouring literals are joined. A span without a stop ends at ``size``. When that is None (a producer), the span
    is returned unchanged: the caller sends each piece, through :func:`encode_chunk` where :func:`framing_of` says
    CHUNKED, and continues with the next segment. Chunked spans of a known size come in chunks of at most ``chunk``
    bytes. Raise ValueError for parts that do not add up to the length. The iterator keeps nothing that it has yielded:
    thousands of them may wait.
    """
    how = framing_of(plan, version) if plan.content else Framing.NONE
    parts = plan.parts
    total = _sum(parts)
    if total is None:
        parts = [_resolve(part, size) for part in parts]
        total = _sum(parts)
    match how:
        case Framing.NONE:
            return iter((start,))
        case Framing.CHUNKED:
            return _chunked(start, parts, chunk)
        case Framing.LENGTH | Framing.CLOSE:
            if how is Framing.LENGTH and total != plan.length:
                raise ValueError("the parts of a response do not add up to its length")
            return _joined(start, parts)
        case _:
            assert_never(how)


def _resolve(part: bytes | Span, size: int | None) -> bytes | Span:
    if isinstance(part, Span) and part.stop is None and size is not None:
        return Span(part.start, size)
    return part


def _sum(parts: Sequence[bytes | Span]) -> int | None:
    """Return the size of the parts in bytes; None when it is unknown."""
    total = 0
    for part in parts:
        if isinstance(part, bytes):
            total += len(part)
        elif part.stop is None:
            return None
        else:
            total += part.stop - part.start
    return total


def _joined(literal: bytes, parts: Sequence[bytes | Span]) -> Iterator[bytes | Span]:
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


def _chunked(literal: bytes, parts: Sequence[bytes | Span], chunk: int) -> Iterator[bytes | Span]:
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
