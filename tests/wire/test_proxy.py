"""PROXY headers: tables by HAProxy's proxy-protocol.txt, then properties for all bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freight.errors import ProtocolError
from freight.wire.proxy import ProxyHeaderParser

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

FOUR = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + b"\x12\x34\x00\x50"
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::2") + bytes(4)
UNIX = b"/run/a".ljust(108, b"\0") * 2


def block(command: int, transport: int, addresses: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2; ``length`` replaces the real one."""
    announced = len(addresses) if length is None else length
    return SIGNATURE + bytes((command, transport)) + announced.to_bytes(2, "big") + addresses


def read(pieces: Iterable[bytes]) -> tuple[str | None, bytes] | str:
    """Return the source and all bytes after the header, or "more" while it is incomplete, or "refused"."""
    parser, found, rest = ProxyHeaderParser(), None, b""
    for piece in pieces:
        if found is not None:
            rest += piece
            continue
        parser.feed(piece)
        try:
            found = parser.next()
        except ProtocolError as refusal:
            return "refused" if refusal.status == 400 else f"refused as {refusal.status}"
    return "more" if found is None else (found.source, found.rest + rest)


LINES: list[tuple[str, bytes, str | None]] = [
    ("the example of 2.1", b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1"),
    ("the longest of IPv4", b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    ("the shortest of IPv4", b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0"),
    ("IPv6", b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1"),
    ("IPv6 in full and in capitals", b"PROXY TCP6 2001:0DB8:0:0:0:0:0:1 ::1 1 2\r\n", "2001:db8::1"),
    (
        "the longest of IPv6",
        b"PROXY TCP6 " + b":".join([b"ffff"] * 8) + b" " + b":".join([b"ffff"] * 8) + b" 65535 65535\r\n",
        ":".join(["ffff"] * 8),
    ),
    ("IPv6 with an IPv4 end", b"PROXY TCP6 64:ff9b::192.0.2.1 ::1 1 2\r\n", "64:ff9b::c000:201"),
    ("unknown, the short form", b"PROXY UNKNOWN\r\n", None),
    ("unknown, with what is ignored", b"PROXY UNKNOWN 1.2.3.4 whatever \xff\0\r\n", None),
    ("unknown, with an address that is ignored", b"PROXY UNKNOWN ::1 ::1 1 2\r\n", None),
    ("unknown, 107 bytes", b"PROXY UNKNOWN ".ljust(105, b"f") + b"\r\n", None),
]

BLOCKS: list[tuple[str, bytes, str | None]] = [
    ("TCP over IPv4", block(0x21, 0x11, FOUR), "192.0.2.1"),
    ("TCP over IPv6", block(0x21, 0x21, SIX), "2001:db8::1"),
    ("TLVs are passed over", block(0x21, 0x11, FOUR + b"\x01\x00\x02h2" + b"\x04\x00\x03abc"), "192.0.2.1"),
    ("and are not even read", block(0x21, 0x21, SIX + b"\xff" * 100), "2001:db8::1"),
    ("4 KiB of header", block(0x21, 0x11, FOUR.ljust(4080, b"\x04")), "192.0.2.1"),
    ("LOCAL", block(0x20, 0x00, b""), None),
    ("LOCAL with an address", block(0x20, 0x11, FOUR), None),
    ("LOCAL with a family that is none", block(0x20, 0xFF, b"?"), None),
    ("an unspecified family", block(0x21, 0x00, b""), None),
    ("an unspecified family with bytes", block(0x21, 0x00, FOUR), None),
    ("an unspecified family with a protocol", block(0x21, 0x01, b""), None),
    ("an unspecified protocol", block(0x21, 0x10, FOUR), None),
    ("UDP over IPv4", block(0x21, 0x12, FOUR), None),
    ("UDP over IPv6", block(0x21, 0x22, SIX), None),
    ("a Unix stream", block(0x21, 0x31, UNIX), None),
    ("a Unix datagram", block(0x21, 0x32, UNIX), None),
]

REFUSED: list[tuple[str, bytes]] = [
    ("a request", REQUEST),
    ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01"),
    ("another case", b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("another case of the protocol", b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("another case of unknown", b"PROXY unknown\r\n"),
    ("a blank before it", b" PROXY UNKNOWN\r\n"),
    ("an empty line before it", b"\r\nPROXY UNKNOWN\r\n"),
    ("a tab", b"PROXY\tUNKNOWN\r\n"),
    ("two spaces", b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("two spaces further on", b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n"),
    ("a space at the end", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
    ("more words", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"),
    ("no ports", b"PROXY TCP4 1.2.3.4 1.2.3.4\r\n"),
    ("no protocol", b"PROXY \r\n"),
    ("another protocol", b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("more than unknown", b"PROXY UNKNOWNS\r\n"),
    ("a bare LF", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
    ("a bare LF for unknown", b"PROXY UNKNOWN\n"),
    ("a bare LF in what is ignored", b"PROXY UNKNOWN a\nb\r\n"),
    ("a bare CR in what is ignored", b"PROXY UNKNOWN a\rb\r\n"),
    ("two CRs", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"),
    ("108 bytes", b"PROXY UNKNOWN ".ljust(106, b"f") + b"\r\n"),
    ("a line without an end", b"PROXY UNKNOWN ".ljust(107, b"f")),
    ("an octet of 256", b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n"),
    ("a leading zero", b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"),
    ("three octets", b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
    ("a destination that is none", b"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n"),
    ("IPv6 as TCP4", b"PROXY TCP4 ::1 ::1 1 2\r\n"),
    ("IPv4 as TCP6", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("a name", b"PROXY TCP4 localhost localhost 1 2\r\n"),
    ("IPv6 with two gaps", b"PROXY TCP6 1::2::3 ::1 1 2\r\n"),
    ("IPv6 of seven groups", b"PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n"),
    ("IPv6 with five digits", b"PROXY TCP6 12345::1 ::1 1 2\r\n"),
    ("IPv6 with a scope", b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
    ("IPv6 in brackets", b"PROXY TCP6 [::1] ::1 1 2\r\n"),
    ("an IPv6 destination that is none", b"PROXY TCP6 ::1 ::g 1 2\r\n"),
    ("another IPv6 destination that is none", b"PROXY TCP6 ::1 1:2 1 2\r\n"),
    ("a port of 65536", b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"),
    ("a port of 99999", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n"),
    ("a port with a leading zero", b"PROXY TCP4 1.2.3.4 1.2.3.4 080 2\r\n"),
    ("a port of zeros", b"PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n"),
    ("a port with a sign", b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"),
    ("no port", b"PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n"),
    ("a signature with another end", SIGNATURE[:-1] + b"\r" + block(0x21, 0x11, FOUR)[12:]),
    ("an empty line, but no signature", b"\r\n\r\n" + REQUEST),
    ("version 1 in binary", block(0x11, 0x11, FOUR)),
    ("version 3", block(0x31, 0x11, FOUR)),
    ("version 0", block(0x01, 0x11, FOUR)),
    ("command 2", block(0x22, 0x11, FOUR)),
    ("command 15", block(0x2F, 0x11, FOUR)),
    ("family 4", block(0x21, 0x41, FOUR)),
    ("family 15", block(0x21, 0xF0, b"")),
    ("protocol 3", block(0x21, 0x13, FOUR)),
    ("protocol 15", block(0x21, 0x0F, b"")),
    ("an IPv4 block cut short", block(0x21, 0x11, FOUR[:-1])),
    ("an IPv4 block without bytes", block(0x21, 0x11, b"")),
    ("an IPv6 block as long as one of IPv4", block(0x21, 0x21, FOUR)),
    ("an IPv6 block cut short", block(0x21, 0x21, SIX[:-1])),
    ("a Unix block cut short", block(0x21, 0x31, UNIX[:-1])),
    ("a datagram's block cut short", block(0x21, 0x12, FOUR[:-1])),
    ("more than 4 KiB of header", block(0x21, 0x11, FOUR.ljust(4081, b"\x04"))),
    ("more than 4 KiB for LOCAL", block(0x20, 0x00, bytes(4081))),
    ("the largest length there is", block(0x21, 0x11, FOUR, length=65_535)),
]

TAKEN = LINES + BLOCKS


@pytest.mark.parametrize(("header", "source"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
@pytest.mark.parametrize("trailing", [b"", REQUEST, SIGNATURE, b"\r\n"], ids=["alone", "request", "signature", "CRLF"])
def test_a_header_gives_the_source_and_consumes_only_its_own_bytes(cut, header, source, trailing):
    assert read(cut(header + trailing)) == (source, trailing)


@pytest.mark.parametrize("data", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("trailing", [b"", REQUEST, b"\r\n"], ids=["alone", "request", "CRLF"])
def test_other_bytes_than_a_header_are_refused(cut, data, trailing):
    assert read(cut(data + trailing)) == "refused"


@pytest.mark.parametrize("header", [row[1] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_an_incomplete_header_gives_no_result(header):
    """Section 2: no service before the header is complete."""
    for stop in range(len(header)) if len(header) < 300 else (0, 1, 12, 15, 16, 28, len(header) - 1):
        assert read([header[:stop]]) == "more"


@pytest.mark.parametrize("data", [b"G", b"\x16", b"p", b"PROXI", b"PROXY\r", b"\n", b"\r\r", b"\r\n\r\n\x01"])
def test_bytes_that_cannot_become_a_header_are_refused_at_once(data):
    """Section 2.1: as soon as possible, so that the sender notices."""
    assert read([data]) == "refused"


def test_a_refusal_is_repeated_and_keeps_no_bytes():
    parser = ProxyHeaderParser()
    assert parser.idle
    parser.feed(b"GET / HTTP/1.1\r\n" * 100)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="does not start with a PROXY header"):
            parser.next()
        assert not parser.idle
        parser.feed(b"PROXY UNKNOWN\r\n")
    assert not parser._buffer


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ports = st.integers(0, 65_535)
streams = st.one_of(
    st.binary(max_size=150),
    st.sampled_from([row[1] for row in TAKEN] + [row[1] for row in REFUSED]).flatmap(
        lambda header: st.builds(
            lambda at, byte, tail: header[: at % len(header)] + byte + header[at % len(header) + len(byte) :] + tail,
            st.integers(0),
            st.binary(max_size=2),
            st.binary(max_size=20),
        )
    ),
    st.builds(
        lambda command, transport, length, rest: block(command, transport, rest, length),
        st.sampled_from([0x20, 0x21, 0x22, 0x11]),
        st.integers(0, 255),
        st.integers(0, 65_535) | st.integers(0, 60),
        st.binary(max_size=60),
    ),
)


@given(streams, st.lists(st.integers(0), max_size=6))
@example(b"PROXY UNKNOWN ".ljust(106, b"f") + b"\r\n", [106])
@example(b"PROXY UNKNOWN ".ljust(105, b"f") + b"\r\n", [106])
def test_the_result_does_not_depend_on_how_the_bytes_are_split(data, places):
    """Only ProtocolError is raised."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    whole = read([data])
    assert read(data[start:stop] for start, stop in pairwise(edges)) == whole
    assert read(bytes((byte,)) for byte in data) == whole


@given(addresses, addresses, ports, ports, st.binary(max_size=50))
def test_a_written_header_parses_back(source, destination, source_port, port, rest):
    same = source.version == destination.version
    line = f"PROXY TCP{source.version} {source} {destination} {source_port} {port}\r\n".encode()
    assert read([line + rest]) == ((str(source), rest) if same else "refused")
    if same:
        packed = source.packed + destination.packed + source_port.to_bytes(2, "big") + port.to_bytes(2, "big")
        header = block(0x21, 0x11 if source.version == 4 else 0x21, packed)
        assert read([header + rest]) == (str(source), rest)


def test_an_endless_header_is_never_buffered():
    parser = ProxyHeaderParser()
    parser.feed(block(0x21, 0x11, b"", length=4080))
    assert parser.next() is None
    for _ in range(16):
        parser.feed(bytes(250))
        assert parser.next() is None
    parser.feed(bytes(80))
    found = parser.next()
    assert found is not None
    assert (found.source, found.rest) == ("0.0.0.0", b"")
