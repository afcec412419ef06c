"""Refused requests, each with the rule it violates and its status, however the bytes are split."""

from __future__ import annotations

import pytest

from freight.errors import ProtocolError
from freight.wire.http1.parser import Limits, RequestParser

GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
SMALL = Limits(line=64, head=144, fields=4, content=32)

LINES: list[tuple[str, bytes, int]] = [
    ("9112-3 two spaces before the target", b"GET  / HTTP/1.1\r\n", 400),
    ("9112-3 two spaces before the version", b"GET /  HTTP/1.1\r\n", 400),
    ("9112-3 a tab for a space", b"GET\t/ HTTP/1.1\r\n", 400),
    ("9112-3 a space at the end", b"GET / HTTP/1.1 \r\n", 400),
    ("9112-3 a space at the beginning", b" GET / HTTP/1.1\r\n", 400),
    ("9112-3 a space in the target", b"GET /a b HTTP/1.1\r\n", 400),
    ("9112-3 no version: HTTP/0.9", b"GET /\r\n", 400),
    ("9112-3 no target", b"GET HTTP/1.1\r\n", 400),
    ("9112-3 an empty target", b"GET  HTTP/1.1\r\n", 400),
    ("9112-2.2 a bare LF", b"GET / HTTP/1.1\n", 400),
    ("9112-2.2 a bare CR", b"GET /\r HTTP/1.1\r\n", 400),
    ("9112-2.2 two CRs", b"GET / HTTP/1.1\r\r\n", 400),
    ("9112-2.2 more empty lines than a few", b"\r\n" * 5 + GET, 400),
    ("9112-2.2 an empty line of LF", b"\n" + GET, 400),
    ("9112-2.2 an empty line of CR", b"\r" + GET, 400),
    ("9110-5.6.2 a method that is no token", b"G@T / HTTP/1.1\r\n", 400),
    ("9110-5.6.2 a method in brackets", b"(GET) / HTTP/1.1\r\n", 400),
    ("9110-5.6.2 a method beyond ASCII", b"G\xc3\x89T / HTTP/1.1\r\n", 400),
    ("9112-2.3 a version in lower case", b"GET / http/1.1\r\n", 400),
    ("9112-2.3 a version of two digits", b"GET / HTTP/1.10\r\n", 400),
    ("9112-2.3 a version of one number", b"GET / HTTP/1\r\n", 400),
    ("9112-2.3 a version with a sign", b"GET / HTTP/+1.1\r\n", 400),
    ("9112-2.3 another protocol", b"GET / ICAP/1.0\r\n", 400),
    ("9110-15.6.6 version 2.0", b"GET / HTTP/2.0\r\n", 505),
    ("9110-15.6.6 version 0.9", b"GET / HTTP/0.9\r\n", 505),
    ("9113-3.4 what only begins as the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
    ("8446-4.1.2 a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("a NUL at the beginning", b"\x00" + GET, 400),
    ("3986-2 a NUL in the target", b"GET /\x00 HTTP/1.1\r\n", 400),
    ("3986-2 a DEL in the target", b"GET /\x7f HTTP/1.1\r\n", 400),
    ("3986-2 a tab in the target", b"GET /\ta HTTP/1.1\r\n", 400),
]

TARGETS: list[tuple[str, bytes, int]] = [
    ("9112-3.2 a fragment", b"GET /a#b", 400),
    ("9112-3.2 a path without its slash", b"GET a", 400),
    ("9112-3.2 a backslash", b"GET \\a", 400),
    ("9112-3.2.4 an asterisk for another method", b"GET *", 400),
    ("9112-3.2.4 more than an asterisk", b"OPTIONS *a", 400),
    ("9112-3.2.3 an authority for another method", b"GET y:80", 400),
    ("9112-3.2.3 a path for CONNECT", b"CONNECT /", 400),
    ("9112-3.2.3 no port for CONNECT", b"CONNECT y", 400),
    ("9110-4.2.4 userinfo", b"GET http://u:p@y/", 400),
    ("9110-4.2.4 userinfo for CONNECT", b"CONNECT u@y:80", 400),
    ("9110-4.2.1 no host", b"GET http:///a", 400),
    ("9110-4.2.1 no host but a port", b"GET http://:80/a", 400),
    ("3986-3.2.2 an invalid host", b"GET http://y^z/", 400),
    ("3986-3.2.3 an invalid port", b"GET http://y:8o/", 400),
    ("3986-3.2.2 a broken literal", b"GET http://[::1/", 400),
    ("9110-7.4 https on a clear connection", b"GET https://y/", 421),
    ("9110-7.4 another scheme", b"GET ftp://y/", 421),
    ("3986-3 one slash", b"GET http:/y", 400),
    ("3986-3.1 a scheme of digits", b"GET 1http://y/", 400),
]

SECTIONS: list[tuple[str, bytes, int]] = [
    ("9112-5.1 a space before the colon", HOST + b"A : b\r\n", 400),
    ("9112-5.1 a tab before the colon", HOST + b"A\t: b\r\n", 400),
    ("9110-5.1 a space in a name", HOST + b"A b: c\r\n", 400),
    ("9110-5.1 an empty name", HOST + b": b\r\n", 400),
    ("9110-5.1 a name beyond ASCII", HOST + b"\xc3\xa4: b\r\n", 400),
    ("9110-5.1 a name with a NUL", HOST + b"A\x00: b\r\n", 400),
    ("9112-5 no colon", HOST + b"A\r\n", 400),
    ("9112-5.2 a folded line", HOST + b"A: b\r\n c\r\n", 400),
    ("9112-5.2 a line folded with a tab", HOST + b"A: b\r\n\tc\r\n", 400),
    ("9112-5.2 an empty folded line", HOST + b"A: b\r\n \r\n", 400),
    ("9112-2.2 white space before the first field", b" A: b\r\n" + HOST, 400),
    ("9112-2.2 a bare LF", HOST + b"A: b\n", 400),
    ("9112-2.2 a bare CR in a value", HOST + b"A: b\rc\r\n", 400),
    ("9112-2.2 a bare CR at the end of a value", HOST + b"A: b\r\r\n", 400),
    ("9112-2.2 an empty line of LF", HOST + b"\n", 400),
    ("9110-5.5 a NUL in a value", HOST + b"A: \x00\r\n", 400),
    ("9110-5.5 a control byte in a value", HOST + b"A: \x01\r\n", 400),
    ("9110-5.5 a vertical tab in a value", HOST + b"A: b\x0b\r\n", 400),
    ("9110-5.5 a DEL in a value", HOST + b"A: \x7f\r\n", 400),
    ("9112-3.2 no Host", b"A: b\r\n", 400),
    ("9112-3.2 no field at all", b"", 400),
    ("9112-3.2 two Hosts", HOST + HOST, 400),
    ("9112-3.2 two Hosts in one", b"Host: x, y\r\n", 400),
    ("9112-3.2 a path in Host", b"Host: x/y\r\n", 400),
    ("9112-3.2 userinfo in Host", b"Host: u@x\r\n", 400),
    ("9112-3.2 a space in Host", b"Host: x y\r\n", 400),
    ("9112-3.2 a port of letters", b"Host: x:http\r\n", 400),
    ("9112-3.2 two ports", b"Host: x:80:80\r\n", 400),
    ("9112-3.2 a bare IPv6 address", b"Host: ::1\r\n", 400),
    ("9112-3.2 a bad escape in Host", b"Host: %zz\r\n", 400),
    ("9110-15.5.14 more content than is taken", HOST + b"Content-Length: 65537\r\n", 413),
    ("9110-8.6 a length of 19 digits", HOST + b"Content-Length: 9223372036854775808\r\n", 400),
]

CONTENTS: list[tuple[str, bytes, int]] = [
    ("9112-7.1 no size", b"\r\n", 400),
    ("9112-7.1 a size that is no number", b"x\r\n", 400),
    ("9112-7.1 a size with 0x", b"0x5\r\nhello\r\n", 400),
    ("9112-7.1 a size with a sign", b"+5\r\nhello\r\n", 400),
    ("9112-7.1 a negative size", b"-1\r\n", 400),
    ("9112-7.1 a space before the size", b" 5\r\nhello\r\n", 400),
    ("9112-7.1 a space after the size", b"5 \r\nhello\r\n", 400),
    ("9112-7.1 a size of 17 digits", b"00000000000000005\r\nhello\r\n", 400),
    ("9112-7.1 a size with an underscore", b"1_0\r\n", 400),
    ("9112-2.2 a bare LF after the size", b"5\nhello\r\n", 400),
    ("9112-2.2 a bare CR after the size", b"5\rhello\r\n", 400),
    ("9112-2.2 a bare CR in an extension", b"5;a\rb\r\nhello\r\n", 400),
    ("9112-7.1.1 a bare LF in an extension", b"5;a\nhello\r\n", 400),
    ("9112-7.1.1 an endless extension", b"5;" + b"a" * 1024, 400),
    ("9112-7.1 data longer than its size", b"5\r\nhello!\r\n", 400),
    ("9112-7.1 data ended by LF", b"5\r\nhello\n", 400),
    ("9112-7.1 data ended by two other bytes", b"5\r\nhelloXX0\r\n\r\n", 400),
    ("9112-7.1 data ended by what could be a trailer", b"5\r\nhelloA: b\r\n\r\n", 400),
    ("9112-7.1.2 a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", 400),
    ("9112-7.1.2 a trailer without a colon", b"0\r\nGET / HTTP/1.1\r\n\r\n", 400),
    ("9112-7.1.2 trailers without end", b"0\r\n" + b"A: b\r\n" * 12000, 413),
    ("9110-15.5.14 one chunk beyond the limit", b"10001\r\n", 413),
    ("9110-15.5.14 a size beyond any", b"ffffffffffffffff\r\n", 413),
    ("9110-15.5.14 many chunks beyond the limit", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 66, 413),
]

LIMITED: list[tuple[str, bytes, int | None]] = [
    ("a request line at the limit", b"GET /" + b"a" * 48 + b" HTTP/1.1\r\n" + HOST, None),
    ("9112-3 a request line beyond the limit", b"GET /" + b"a" * 49 + b" HTTP/1.1\r\n" + HOST, 414),
    ("9112-3 a request line that never ends", b"GET /" + b"a" * 59, 414),
    ("a section at the limit", GET + HOST + b"A: " + b"a" * 114 + b"\r\n", None),
    ("6585-5 a section beyond the limit", GET + HOST + b"A: " + b"a" * 115 + b"\r\n", 431),
    ("6585-5 a section that never ends", GET + HOST + b"A: " + b"a" * 118, 431),
    ("6585-5 a malformed line beyond the limit", GET + HOST + b"A " + b"a" * 119, 431),
    ("as many fields as the limit", GET + HOST + b"A:\r\n" * 3, None),
    ("6585-5 more fields than the limit", GET + HOST + b"A:\r\n" * 4, 431),
    ("6585-5 a malformed line beyond as many fields", GET + HOST + b"A:\r\n" * 3 + b"A b\r\n", 431),
    ("content at the limit", GET + HOST + b"Content-Length: 32\r\n", None),
    ("9110-15.5.14 content beyond the limit", GET + HOST + b"Content-Length: 33\r\n\r\n", 413),
]

REFUSED = (
    [(name, line + HOST + b"\r\n", status) for name, line, status in LINES]
    + [(name, start + b" HTTP/1.1\r\n" + HOST + b"\r\n", status) for name, start, status in TARGETS]
    + [(name, GET + section + b"\r\n", status) for name, section, status in SECTIONS]
)


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("trailing", [b"", GET + HOST + b"\r\n"], ids=["alone", "with trailing bytes"])
def test_a_head_that_violates_a_rule_is_refused(read, cut, data, status, trailing):
    reading = read(cut(data + trailing))
    assert (reading.heads, reading.status) == ((), status)


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in CONTENTS], ids=[row[0] for row in CONTENTS])
def test_chunked_content_that_violates_a_rule_is_refused_and_hides_no_request(read, cut, data, status):
    start = b"POST /1 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    reading = read(cut(start + data + b"\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert (reading.targets, reading.status) == (["/1"], status)


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in LIMITED], ids=[row[0] for row in LIMITED])
def test_a_limit_is_the_largest_accepted_size(read, cut, data, status):
    """Rows without an end show that a limit is enforced before the terminator has come."""
    reading = read(cut(data if status else data + b"\r\n"), SMALL)
    assert (len(reading.heads), reading.status) == (0 if status else 1, status)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\x16", 400), (b"\xff", 400), (b"\n", 400), (b"GET / HTTP/1.1\n", 400), (GET + b"Host: x\n", 400)],
)
def test_bytes_that_cannot_become_a_request_are_refused_at_once(read, data, status):
    """The parser does not wait for a line end that another protocol never sends."""
    assert read([data]).status == status


def test_a_refusal_never_echoes_the_bytes_of_the_client():
    parser = RequestParser("c", Limits())
    parser.feed(GET + b"Host: <script>\r\n\r\n")
    with pytest.raises(ProtocolError) as refused:
        parser.next()
    assert "script" not in str(refused.value)
