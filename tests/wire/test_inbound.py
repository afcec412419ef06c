"""Accepted requests: each message whole, byte by byte, and with the start of another after it."""

from __future__ import annotations

import pytest

from freight.errors import ProtocolError
from freight.model import Fields, Request
from freight.wire.http1.parser import Head, Limits, RequestParser

HOST: Fields = (("host", "x"),)
LIMITS = Limits()


def expected(
    target: str = "/",
    fields: Fields = HOST,
    *,
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    keep_alive: bool = True,
    content: int | None = 0,
    expects: bool = False,
) -> Head:
    return Head(Request(method, target, fields, version, "192.0.2.1"), keep_alive, content, expects)


MESSAGES: list[tuple[str, bytes, list[Head]]] = [
    ("the smallest request of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [expected()]),
    (
        "the smallest request of HTTP/1.0 ends the connection",
        b"GET / HTTP/1.0\r\n\r\n",
        [expected(fields=(), version=(1, 0), keep_alive=False)],
    ),
    (
        "wget's request",
        (
            b"GET /big.csv HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: Wget/1.21.3\r\nAccept: */*\r\n"
            b"Accept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n"
        ),
        [
            expected(
                "/big.csv",
                (
                    ("host", "localhost:8080"),
                    ("user-agent", "Wget/1.21.3"),
                    ("accept", "*/*"),
                    ("accept-encoding", "identity"),
                    ("connection", "Keep-Alive"),
                ),
            )
        ],
    ),
    (
        "names are lower-case, white space about a value is not part of it, the order stays",
        b"HEAD /a?b=c HTTP/1.1\r\nHOST:x\r\nX-OdD:\t a \t b\t \r\nempty:\r\nX-OdD: 2\r\n\r\n",
        [expected("/a?b=c", (*HOST, ("x-odd", "a \t b"), ("empty", ""), ("x-odd", "2")), method="HEAD")],
    ),
    (
        "raw bytes beyond ASCII in a target and in a value are taken as latin-1",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX: \xff\r\n\r\n",
        [expected("/\xc3\xa9", (*HOST, ("x", "\xff")))],
    ),
    (
        "pipelined requests come out one by one",
        b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/1"), expected("/2")],
    ),
    (
        "nothing is parsed after a request that ends the connection",
        b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/1", (*HOST, ("connection", "close")), keep_alive=False)],
    ),
    (
        "empty lines before a request are passed over (RFC 9112 section 2.2)",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected(), expected()],
    ),
    (
        "close is found in any case, in any list, in any line (RFC 9112 section 9.3)",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, ,te\r\nConnection: CLOSE\r\n\r\n",
        [expected(fields=(*HOST, ("connection", "keep-alive, ,te"), ("connection", "CLOSE")), keep_alive=False)],
    ),
    (
        "an option that only begins like close is not close",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n",
        [expected(fields=(*HOST, ("connection", "closed")))],
    ),
    (
        "HTTP/1.0 stays when it asks to",
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        [expected(fields=(("connection", "Keep-Alive"),), version=(1, 0))],
    ),
    (
        "HTTP/1.0 with both options ends",
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        [expected(fields=(("connection", "keep-alive, close"),), version=(1, 0), keep_alive=False)],
    ),
    (
        "a higher minor version is spoken to as 1.1 (RFC 9110 section 2.5)",
        b"GET / HTTP/1.9\r\nHost: x\r\n\r\n",
        [expected()],
    ),
    (
        "an unknown method is accepted: decide answers it",
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/pot", method="BREW")],
    ),
    (
        "a method is case-sensitive (RFC 9110 section 9.1)",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected(method="get")],
    ),
    ("an asterisk for OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [expected("*", method="OPTIONS")]),
    (
        "an absolute form is taken apart and replaces Host (RFC 9112 section 3.2.2)",
        b"GET HTTP://y.example:80/a?b HTTP/1.1\r\nA: 1\r\nHost: x\r\n\r\n",
        [expected("/a?b", (("host", "y.example:80"), ("a", "1")))],
    ),
    (
        "an absolute form without a path",
        b"GET http://y HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/", (("host", "y"),))],
    ),
    (
        "an absolute form with a query and no path",
        b"GET http://[::1]?a=http://z/ HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/?a=http://z/", (("host", "[::1]"),))],
    ),
    (
        "an absolute form on HTTP/1.0 brings the Host it lacks",
        b"GET http://y/ HTTP/1.0\r\n\r\n",
        [expected("/", (("host", "y"),), version=(1, 0), keep_alive=False)],
    ),
    (
        "an absolute form without a path means the server itself to OPTIONS (RFC 9112 section 3.2.4)",
        b"OPTIONS http://y HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("*", (("host", "y"),), method="OPTIONS")],
    ),
    (
        "a path may begin with two slashes: it is no authority",
        b"GET //y/a HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("//y/a")],
    ),
    (
        "CONNECT is reported, and nothing after it is parsed",
        b"CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n\x16\x03\x01",
        [expected("y:443", (("host", "y:443"),), method="CONNECT", keep_alive=False)],
    ),
    (
        "an Upgrade is ignored (RFC 9110 section 7.8)",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        [expected(fields=(*HOST, ("connection", "Upgrade"), ("upgrade", "h2c")))],
    ),
    (
        "content of a length is discarded, whatever it looks like",
        (
            b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\nGET /no HTTP/1.1\r\nA: b\r\n"
            b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
        ),
        [expected("/1", (*HOST, ("content-length", "24")), method="POST", content=24), expected("/2")],
    ),
    (
        "chunked content is passed over, extensions and trailers too (RFC 9112 section 7.1)",
        (
            b"POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b'5\r\n0\r\n\r\n\r\n00A ;a="b"\r\n0123456789\r\n'
            b"000\r\nTrailer: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
        ),
        [
            expected("/1", (*HOST, ("transfer-encoding", "Chunked")), method="POST", content=None),
            expected("/2"),
        ],
    ),
    (
        "no content is content of length 0",
        b"GET /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
        [expected("/1", (*HOST, ("content-length", "00"))), expected("/2")],
    ),
    (
        "content that waits for 100 may never come: the connection ends (RFC 9110 section 10.1.1)",
        b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n",
        [
            expected(
                fields=(*HOST, ("expect", "100-Continue"), ("content-length", "3")),
                method="PUT",
                keep_alive=False,
                content=3,
                expects=True,
            )
        ],
    ),
    (
        "an expectation without content, or of HTTP/1.0, is none (RFC 9110 section 10.1.1)",
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"
            b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        ),
        [
            expected(fields=(*HOST, ("expect", "100-continue"))),
            expected(
                fields=(("expect", "100-continue"), ("content-length", "3")),
                method="PUT",
                version=(1, 0),
                keep_alive=False,
                content=3,
            ),
        ],
    ),
]

HOSTS = [
    "",
    "x",
    "x:",
    ":80",
    "x.example:8080",
    "127.0.0.1",
    "[::1]:80",
    "[fe80::1%25eth0]:80",
    "[fe80::1%eth0]",
    "[v1.a:b]",
    "a_b-c~d.e",
    "a%41",
    "!$&'()*+,;=",
]


@pytest.mark.parametrize(("data", "heads"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
@pytest.mark.parametrize("trailing", [b"", b"GET /next HT"], ids=["alone", "with trailing bytes"])
def test_a_message_gives_the_same_heads_however_it_arrives(read, cut, data, heads, trailing):
    reading = read(cut(data + trailing))
    assert list(reading.heads) == heads
    assert reading.status is None
    assert reading.idle == (not trailing or not heads[-1].keep_alive)


@pytest.mark.parametrize("host", HOSTS)
def test_every_valid_host_is_accepted(read, host):
    """RFC 9112 section 3.2: uri-host [ ":" port ], or empty."""
    reading = read([b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n"])
    assert reading.heads[0].request.field("host") == host


def test_https_is_the_scheme_of_a_tls_connection(read):
    data = b"GET https://y/ HTTP/1.1\r\nHost: x\r\n\r\n"
    assert read([data], None, "https").heads == (expected(fields=(("host", "y"),)),)
    assert read([data], None, "http").status == 421


def test_a_parser_is_idle_between_requests_and_not_within_one():
    parser = RequestParser("c", LIMITS)
    states = [parser.idle]
    for piece in (b"GET / HTT", b"P/1.1\r\n", b"Host: x\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
        parser.feed(piece)
        parser.next()
        states.append(parser.idle)
    assert states == [True, False, False, False, False, True]


def test_content_is_discarded_as_it_comes_and_the_next_head_follows_its_end():
    parser = RequestParser("c", LIMITS)
    parser.feed(b"PUT /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
    assert parser.next() is not None
    for _ in range(60):
        assert parser.skipping
        assert parser.next() is None
        parser.feed(b"x" * 1000)
    assert not parser.skipping
    assert parser.idle


def test_a_refusal_is_repeated_and_later_input_is_ignored():
    parser = RequestParser("c", LIMITS)
    parser.feed(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    for _ in range(2):
        with pytest.raises(ProtocolError) as refused:
            parser.next()
        assert (refused.value.status, str(refused.value)) == (400, "malformed header field")
        parser.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def test_empty_lines_are_counted_for_each_request(read, cut):
    reading = read(cut(b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5))
    assert (len(reading.heads), reading.status) == (5, None)


def test_common_field_names_are_one_string_for_all_requests(read):
    data = b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\nrange: bytes=0-\r\n\r\n"
    first, second = (read([data]).heads[0].request.fields for _ in range(2))
    assert all(one[0] is other[0] for one, other in zip(first, second, strict=True))


def test_a_refused_head_gives_its_accept() -> None:
    """Both for a complete head and for a malformed field line."""
    for head in (
        b"GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\naccept:application/json\r\nbad line\r\n",
    ):
        parser = RequestParser("", Limits())
        parser.feed(head)
        with pytest.raises(ProtocolError):
            parser.next()
        assert parser.accept == "application/json"
