"""multipart/byteranges (RFC 9110 section 14.6, RFC 2046 section 5.1), laid out to the byte before any is read."""

from __future__ import annotations

from collections.abc import Sequence

from freight.model import Span


def boundary(seed: str, spans: Sequence[Span]) -> str:
    """A boundary of 32 hexadecimal digits for these spans of the representation that ``seed`` (its ETag) names.

    A hash and not a random number: every replica lays out the same answer, and nothing here draws from outside. 128
    bits do not turn up in content by chance. Content made to hold them must foresee its own size, mtime_ns and the
    ranges asked for, and would still mislead only clients that search for boundaries and overlook Content-Range.
    """
    from hashlib import blake2s  # it loads a cryptography library, which only this rare answer needs

    text = seed + "".join(f" {span.start}-{span.stop}" for span in spans)
    return blake2s(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def content_range(span: Span, size: int) -> str:
    """The Content-Range value of a span of ``size`` bytes (section 14.4); the span must have a stop."""
    assert span.stop is not None
    return f"bytes {span.start}-{span.stop - 1}/{size}"


def lay_out(spans: Sequence[Span], size: int, media_type: str, boundary: str) -> tuple[tuple[bytes | Span, ...], int]:
    """The content in order, part heads as bytes between the spans, and its length in bytes.

    ``size`` is that of the whole representation, ``media_type`` the Content-Type of each part. Every span has a stop.
    """
    parts: list[bytes | Span] = []
    length = 0
    opening = f"--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
    for span in spans:
        assert span.stop is not None
        head = f"{opening}{content_range(span, size)}\r\n\r\n".encode("latin-1")
        parts += (head, span)
        length += len(head) + span.stop - span.start
        opening = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
    closing = f"\r\n--{boundary}--\r\n".encode("latin-1")
    return (*parts, closing), length + len(closing)
