"""Violations of RFC 9113 by a client, one row each: the bytes sent, and the expected verdict.

``goaway`` ends the connection, ``reset`` one stream; None: no violation. The numbers are error codes (section 7).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from hpack import Encoder

from support.raw_h2 import PREFACE, frame, settings

NO, PROTOCOL, FLOW, SIZE, CLOSED, REFUSED, CANCEL, COMPRESSION, CALM = 0, 1, 3, 6, 5, 7, 8, 9, 11
REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/nothing")]
PLAIN = b"\x82\x86\x84\x01\x01x"  # GET, http, /, and x, without a change of the table
HELLO = PREFACE + settings()


def block(*fields: tuple[str, str], table: bool = False) -> bytes:
    """Return a field block; without ``table`` it does not depend on other blocks."""
    encoder = Encoder()
    if not table:
        encoder.header_table_size = 0
    return bytes(encoder.encode([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]))


def headers(*fields: tuple[str, str], stream: int = 1, ends: bool = True) -> bytes:
    """Return a HEADERS frame with exactly these fields."""
    return frame(1, 4 | ends, stream, block(*fields))


def get(*more: tuple[str, str], stream: int = 1, ends: bool = True) -> bytes:
    """Return a HEADERS frame of a valid request with more fields."""
    return headers(*REQUEST, *more, stream=stream, ends=ends)


def without(name: str) -> list[tuple[str, str]]:
    return [pair for pair in REQUEST if pair[0] != name]


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


GOAWAY = frame(7, payload=u32(0) + u32(0))
MALFORMED = ("reset", PROTOCOL)
RULES: list[tuple[str, bytes, tuple[str, int] | None]] = [
    # Section 3.4
    ("3.4 something else than the preface's end", PREFACE[:-2] + b"xx" + settings(), ("goaway", PROTOCOL)),
    ("3.4 no settings first", PREFACE + frame(6, payload=bytes(8)), ("goaway", PROTOCOL)),
    ("3.4 an acknowledgement first", PREFACE + frame(4, 1), ("goaway", PROTOCOL)),
    # Section 4
    ("4.1 an unknown type", HELLO + frame(200, 0xFF, 7, b"x"), None),
    ("4.1 unknown flags", HELLO + frame(6, 0xFE, 0, bytes(8)), None),
    ("4.1 the reserved bit", HELLO + frame(6, 0, 1 << 31, bytes(8)), None),
    ("4.2 DATA too long", HELLO + get(ends=False) + frame(0, 0, 1, bytes(16385)), ("goaway", SIZE)),
    ("4.2 HEADERS too long", HELLO + frame(1, 5, 1, bytes(16385)), ("goaway", SIZE)),
    ("4.3 a broken header block", HELLO + frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"), ("goaway", COMPRESSION)),
    ("4.3 an index beyond the table", HELLO + frame(1, 5, 1, b"\xfe"), ("goaway", COMPRESSION)),
    ("4.3 the table's size changed twice", HELLO + frame(1, 5, 1, b"\x20\x3f\xe1\x1f" + PLAIN), None),
    ("4.3 three times", HELLO + frame(1, 5, 1, b"\x20\x20\x20" + PLAIN), ("goaway", COMPRESSION)),
    ("4.3 a table larger than it may be", HELLO + frame(1, 5, 1, b"\x3f\xe2\x1f"), ("goaway", COMPRESSION)),
    ("4.3 another frame within a block", HELLO + frame(1, 1, 1) + frame(6, payload=bytes(8)), ("goaway", PROTOCOL)),
    ("4.3 an unknown frame within a block", HELLO + frame(1, 1, 1, b"") + frame(200), ("goaway", PROTOCOL)),
    # Section 5
    ("5.1 idle: DATA", HELLO + frame(0, 1, 1, b"x"), ("goaway", PROTOCOL)),
    ("5.1 idle: RST_STREAM", HELLO + frame(3, 0, 1, u32(CANCEL)), ("goaway", PROTOCOL)),
    ("5.1 idle: WINDOW_UPDATE", HELLO + frame(8, 0, 1, u32(1)), ("goaway", PROTOCOL)),
    ("5.1 idle: CONTINUATION", HELLO + frame(9, 4, 1), ("goaway", PROTOCOL)),
    ("5.1 half-closed: DATA", HELLO + get() + frame(0, 1, 1, b"x"), ("reset", CLOSED)),
    ("5.1 half-closed: HEADERS", HELLO + get() + get(), ("reset", CLOSED)),
    ("5.1.1 a stream of even number", HELLO + get(stream=2), ("goaway", PROTOCOL)),
    ("5.1.1 a number that has been passed", HELLO + get(stream=5) + get(stream=3), ("goaway", PROTOCOL)),
    # Section 6
    ("6.1 DATA on stream 0", HELLO + frame(0, 1, 0, b"x"), ("goaway", PROTOCOL)),
    ("6.1 more padding than DATA", HELLO + get(ends=False) + frame(0, 9, 1, b"\x05x"), ("goaway", PROTOCOL)),
    ("6.2 HEADERS on stream 0", HELLO + get(stream=0), ("goaway", PROTOCOL)),
    ("6.2 more padding than HEADERS", HELLO + frame(1, 0xD, 1, b"\xff" + block(*REQUEST)), ("goaway", PROTOCOL)),
    ("6.3 PRIORITY on stream 0", HELLO + frame(2, 0, 0, bytes(5)), ("goaway", PROTOCOL)),
    ("6.3 PRIORITY of another length", HELLO + get() + frame(2, 0, 1, bytes(4)), ("goaway", SIZE)),
    ("6.3 PRIORITY of an idle stream", HELLO + frame(2, 0, 9, u32(0) + b"\0"), None),
    ("6.4 RST_STREAM on stream 0", HELLO + frame(3, 0, 0, u32(CANCEL)), ("goaway", PROTOCOL)),
    ("6.4 RST_STREAM of another length", HELLO + get() + frame(3, 0, 1, bytes(3)), ("goaway", SIZE)),
    ("6.5 SETTINGS on a stream", HELLO + frame(4, 0, 1), ("goaway", PROTOCOL)),
    ("6.5 SETTINGS of a broken length", HELLO + frame(4, payload=bytes(5)), ("goaway", SIZE)),
    ("6.5 a SETTINGS acknowledgement with a payload", HELLO + frame(4, 1, payload=bytes(6)), ("goaway", SIZE)),
    ("6.5.2 ENABLE_PUSH of 2", HELLO + settings((2, 2)), ("goaway", PROTOCOL)),
    ("6.5.2 a window too large", HELLO + settings((4, 1 << 31)), ("goaway", FLOW)),
    ("6.5.2 frames too small", HELLO + settings((5, 16383)), ("goaway", PROTOCOL)),
    ("6.5.2 frames too large", HELLO + settings((5, 1 << 24)), ("goaway", PROTOCOL)),
    ("6.5.2 an unknown setting", HELLO + settings((0xFF, 1)), None),
    ("6.6 PUSH_PROMISE", HELLO + get(ends=False) + frame(5, 4, 1, u32(2) + block(*REQUEST)), ("goaway", PROTOCOL)),
    ("6.7 PING on a stream", HELLO + frame(6, 0, 1, bytes(8)), ("goaway", PROTOCOL)),
    ("6.7 PING of another length", HELLO + frame(6, 0, 0, bytes(7)), ("goaway", SIZE)),
    ("6.8 GOAWAY on a stream", HELLO + frame(7, 0, 1, bytes(8)), ("goaway", PROTOCOL)),
    ("6.8 GOAWAY too short", HELLO + frame(7, 0, 0, bytes(7)), ("goaway", SIZE)),
    ("6.9 WINDOW_UPDATE of another length", HELLO + frame(8, 0, 0, bytes(3)), ("goaway", SIZE)),
    ("6.9 an increment of 0", HELLO + frame(8, 0, 0, u32(0)), ("goaway", PROTOCOL)),
    ("6.9 an increment of 0, of a stream", HELLO + get(ends=False) + frame(8, 0, 1, u32(0)), ("reset", PROTOCOL)),
    ("6.9.1 a window that overflows", HELLO + frame(8, 0, 0, u32((1 << 31) - 1)), ("goaway", FLOW)),
    # Twice, because content sent meanwhile may use up the first.
    ("6.9.1 a stream's that does", HELLO + get(ends=False) + frame(8, 0, 1, u32((1 << 31) - 1)) * 2,
     ("reset", FLOW)),
    ("6.9.1 more DATA than the window of a stream", HELLO + get(ends=False) + frame(0, 0, 1, bytes(16384)) * 4,
     ("goaway", FLOW)),
    ("6.9.2 SETTINGS that make it overflow", HELLO + frame(1, 4, 1, block(*REQUEST)) + frame(8, 0, 1, u32(1 << 30))
     + settings((4, (1 << 31) - 1)), ("goaway", FLOW)),
    ("6.10 CONTINUATION after END_HEADERS", HELLO + get(ends=False) + frame(9, 4, 1), ("goaway", PROTOCOL)),
    ("6.10 CONTINUATION of another stream", HELLO + frame(1, 1, 1) + frame(9, 4, 3), ("goaway", PROTOCOL)),
    # Section 8
    ("8.1 a second head that does not end", HELLO + get(ends=False) + headers(("a", "b"), ends=False),
     ("goaway", PROTOCOL)),
    ("8.1 a pseudo-header in trailers", HELLO + get(ends=False) + headers((":path", "/")), MALFORMED),
    ("8.1.1 content beyond its length", HELLO + get(("content-length", "1"), ends=False) + frame(0, 1, 1, b"xy"),
     ("goaway", PROTOCOL)),
    ("8.1.1 the content is shorter than Content-Length", HELLO + get(("content-length", "1")), MALFORMED),
    ("8.2.1 an upper-case name", HELLO + get(("X-A", "b")), MALFORMED),
    ("8.2.1 a line break in a value", HELLO + get(("x-a", "b\r\nc: d")), MALFORMED),
    ("8.2.1 a NUL in a value", HELLO + get(("x-a", "b\0")), MALFORMED),
    ("8.2.1 a space at the end of a value", HELLO + get(("x-a", "b ")), MALFORMED),
    ("8.2.1 a colon in a name", HELLO + get(("x:a", "b")), MALFORMED),
    ("8.2.2 Connection", HELLO + get(("connection", "keep-alive")), MALFORMED),
    ("8.2.2 Transfer-Encoding", HELLO + get(("transfer-encoding", "chunked")), MALFORMED),
    ("8.2.2 Upgrade", HELLO + get(("upgrade", "x")), MALFORMED),
    ("8.2.2 TE", HELLO + get(("te", "gzip")), MALFORMED),
    ("8.3 an unknown pseudo-header", HELLO + headers(*REQUEST, (":x", "y")), MALFORMED),
    ("8.3 a pseudo-header of responses", HELLO + headers(*REQUEST, (":status", "200")), MALFORMED),
    ("8.3 a pseudo-header after a field", HELLO + headers(("a", "b"), *REQUEST), MALFORMED),
    ("8.3.1 no method", HELLO + headers(*without(":method")), MALFORMED),
    ("8.3.1 no scheme", HELLO + headers(*without(":scheme")), MALFORMED),
    ("8.3.1 no path", HELLO + headers(*without(":path")), MALFORMED),
    ("8.3.1 an empty path", HELLO + headers(*without(":path"), (":path", "")), MALFORMED),
    ("8.3.1 two methods", HELLO + headers(*REQUEST[:1], *REQUEST), MALFORMED),
    ("8.3.1 two paths", HELLO + headers(*REQUEST, REQUEST[3]), MALFORMED),
    ("8.3.1 a Host that is not the authority", HELLO + get(("host", "y")), MALFORMED),
    ("8.3.1 neither", HELLO + headers(*without(":authority")), MALFORMED),
    ("8.3.1 userinfo", HELLO + headers(*without(":authority"), (":authority", "me@x")), MALFORMED),
    ("8.5 CONNECT", HELLO + headers((":method", "CONNECT"), (":authority", "y:443")), None),
    ("8.5 CONNECT without an authority", HELLO + headers((":method", "CONNECT"), ("host", "y:443")), MALFORMED),
    ("8.5 CONNECT without a port", HELLO + headers((":method", "CONNECT"), (":authority", "y")), MALFORMED),
    ("8.5 CONNECT with a path", HELLO + headers(*without(":method"), (":method", "CONNECT")), MALFORMED),
    # RFC 9218 section 7.1
    ("9218-7.1 PRIORITY_UPDATE on a stream", HELLO + frame(16, 0, 1, u32(1) + b"u=1"), ("goaway", PROTOCOL)),
    ("9218-7.1 PRIORITY_UPDATE of stream 0", HELLO + frame(16, 0, 0, u32(0) + b"u=1"), ("goaway", PROTOCOL)),
    ("9218-7.1 PRIORITY_UPDATE too short", HELLO + frame(16, 0, 0, b"x"), ("goaway", SIZE)),
    ("9218-7.1 PRIORITY_UPDATE with an invalid value", HELLO + frame(16, 0, 0, u32(9) + b"\xff?"), None),
]  # fmt: skip

Flood = tuple[str, bytes, Callable[[int], bytes]]


def by_stream(each: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a flood's parts of 100 new streams each."""
    return lambda part: b"".join(each(stream) for stream in range(200 * part + 1, 200 * part + 201, 2))


def constant(data: bytes) -> Callable[[int], bytes]:
    """Return a flood's parts that are all equal."""
    return lambda _: data


def _literal(size: int) -> bytes:
    """Return an HPACK string length above 126, without Huffman coding."""
    return bytes([127, (size - 127) % 128 | 128, (size - 127) // 128])


OVERFLOW = u32((1 << 31) - 1)
OPEN = b"".join(get(stream=stream, ends=False) for stream in range(1, 201, 2))  # a hundred streams
INDEXED = frame(1, 5, 1, PLAIN + b"\x69" + _literal(4000) + b"," * 4000)  # If-None-Match, which it adds to the table

FLOODS: list[Flood] = [
    ("rapid reset: CVE-2023-44487", b"", by_stream(lambda n: get(stream=n) + frame(3, 0, n, u32(CANCEL)))),
    ("a window that overflows: CVE-2025-8671", b"", by_stream(lambda n: get(stream=n) + frame(8, 0, n, OVERFLOW))),
    ("DATA after END_STREAM: CVE-2025-8671", b"", by_stream(lambda n: get(stream=n) + frame(0, 0, n, b"x"))),
    ("an increment of 0: CVE-2025-8671", b"", by_stream(lambda n: get(stream=n) + frame(8, 0, n, u32(0)))),
    ("HEADERS after END_STREAM: CVE-2025-8671", b"", by_stream(lambda n: get(stream=n) * 2)),
    ("streams that are refused", b"", by_stream(lambda n: get(stream=n, ends=False))),
    ("malformed requests", b"", by_stream(lambda n: get(("te", "x"), stream=n))),
    ("fields named from the table", INDEXED,
     by_stream(lambda n: frame(1, 5, 200 + n, PLAIN + b"\xbe" * 3) + frame(3, 0, 200 + n, u32(CANCEL)))),
    ("Huffman's rarest codes", b"", by_stream(lambda n: get(("x", "\x16" * 1000), stream=n))),
    ("settings: CVE-2019-9515", b"", constant(settings() * 500)),
    ("settings over open streams", OPEN, constant((settings((4, 0)) + settings((4, 1))) * 250)),
    ("pings: CVE-2019-9512", b"", constant(frame(6, payload=bytes(8)) * 500)),
    ("priorities: CVE-2019-9513", b"", constant(frame(2, 0, 1, u32(0) + b"\0") * 1000)),
    ("priority updates", b"", constant(frame(16, 0, 0, u32(1) + b"u=1") * 1000)),
    ("priority updates of streams", OPEN, constant(frame(16, 0, 0, u32(1) + b"u=1") * 1000)),
    ("unknown frames", b"", constant(frame(200) * 2000)),
    ("empty DATA: CVE-2019-9518", get(ends=False), constant(frame(0, 0, 1) * 1000)),
    ("DATA of a stream that was reset", get(ends=False) + frame(3, 0, 1, u32(CANCEL)),
     constant(frame(0, 0, 1, b"x") * 500)),
    ("HEADERS of a stream that was reset", get(ends=False) + frame(3, 0, 1, u32(CANCEL)), constant(get() * 500)),
    ("tiny window updates", b"", constant(frame(8, 0, 0, u32(1)) * 500)),
    ("tiny window updates over open streams", OPEN, constant(frame(8, 0, 0, u32(1)) * 500)),
    ("window updates without delivered content", b"", constant(frame(8, 0, 0, u32(4096)) * 1000)),
    ("CONTINUATION: CVE-2024-27316", b"", constant(frame(1, 1, 1, block(*REQUEST)) + frame(9, 0, 1) * 2000)),
    ("an endless field block", b"", constant(frame(1, 1, 1, block(*REQUEST)) + frame(9, 0, 1, bytes(16000)) * 40)),
    ("an HPACK bomb: CVE-2016-6581", b"",
     constant(frame(1, 5, 1, block(*REQUEST, *[("a", "b" * 4000)] * 2000, table=True)))),
]  # fmt: skip
"""Endless loads by a client: a name, the first bytes, and a function for the part of a number."""

FLOOD_PARTS = 200
"""Largest number of parts: the server must end each flood long before."""


def rapid_reset(path: str) -> Callable[[int], bytes]:
    """Return what makes a part of a flood: a hundred requests for a path, each followed by its reset."""

    def part(number: int) -> bytes:
        streams = range(200 * number + 1, 200 * number + 201, 2)
        return b"".join(headers(*REQUEST[:3], (":path", path), stream=n) + frame(3, 0, n, u32(CANCEL)) for n in streams)

    return part
