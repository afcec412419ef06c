"""RFC 9110 and RFC 9112 over a socket: bytes to a running server, and its responses."""

from __future__ import annotations

import re

import pytest
from asking import CONTENT, Site, exchange, get, req
from heads import HEADS
from selections import SELECTIONS

ROWS = HEADS + SELECTIONS


@pytest.mark.parametrize(("rule", "request_bytes", "status"), ROWS, ids=[row[0] for row in ROWS])
def test_one_request(site: Site, rule: str, request_bytes: bytes, status: int) -> None:
    """One request, one response, and a connection that then stays or closes as the response says."""
    method = "HEAD" if request_bytes.startswith(b"HEAD") else "GET"
    (answer,) = exchange(site, request_bytes, (method,))
    assert answer.status == status, rule
    if status == 206 and "content-range" in answer.fields:
        place = re.fullmatch(r"bytes (\d+)-(\d+)/1000", answer.fields["content-range"])
        assert place is not None and answer.content == CONTENT[int(place[1]) : int(place[2]) + 1]
    if status == 416:
        assert re.fullmatch(r"bytes \*/1000", answer.fields["content-range"])
    if status == 400 and "malformed" not in answer.content.decode() and "OPTIONS" not in answer.content.decode():
        assert answer.fields["connection"] == "close"


# A request with content, and another after it: no byte of the first is parsed as part of the second.


CHUNKED = "Transfer-Encoding: chunked"
AFTER_CONTENT = [
    ("9112 6.2: a length", req("POST", "/", "Content-Length: 5") + b"GET /"),
    ("9112 7.1: chunks", req("POST", "/", CHUNKED) + b"5\r\nGET /\r\n0\r\n\r\n"),
    ("9112 7.1: a size in upper case, with zeros", req("POST", "/", CHUNKED) + b"000A\r\n0123456789\r\n00\r\n\r\n"),
    ("9112 7.1.1: extensions", req("POST", "/", CHUNKED) + b'1;a;b=c;d="e;f"\r\nx\r\n0;g\r\n\r\n'),
    ("9112 7.1.1: white space before an extension", req("POST", "/", CHUNKED) + b"1 ;a=b\r\nx\r\n0\r\n\r\n"),
    ("9112 7.1.2: trailers", req("POST", "/", CHUNKED) + b"1\r\nx\r\n0\r\nA: b\r\nHost: evil\r\n\r\n"),
    ("9112 6.1: chunked in any case", req("POST", "/", "Transfer-Encoding: CHUNKED") + b"0\r\n\r\n"),
    ("9110 9.3.1: GET with content", req("GET", "/file.bin", "Content-Length: 5") + b"GET /"),
    ("9112 2.2: an empty line after content", req("POST", "/", "Content-Length: 1") + b"x\r\n"),
]


@pytest.mark.parametrize(("rule", "first"), AFTER_CONTENT, ids=[row[0] for row in AFTER_CONTENT])
def test_a_request_after_content_is_found(site: Site, rule: str, first: bytes) -> None:
    """Exactly the content is discarded."""
    answers = exchange(site, first + get("Range: bytes=1-2"), ("GET", "GET"))
    assert answers[0].status in (200, 405) and answers[1].status == 206, rule
    assert answers[1].content == CONTENT[1:3]


BAD_CHUNKS = [
    b"x\r\n", b"-1\r\n", b"+1\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n0\r\n\r\n", b"1\na\r\n0\r\n\r\n", b"1\r\na0\r\n\r\n",
    b"1\r\nab\r\n0\r\n\r\n", b"10000000000000000\r\n", b" 1\r\na\r\n0\r\n\r\n", b"1 \r\na\r\n0\r\n\r\n",
    b"0\r\nA : b\r\n\r\n", b"0\r\n A: b\r\n\r\n",
    b"1;a\nb\r\nx\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"1,1\r\na\r\n0\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("chunks", BAD_CHUNKS, ids=repr)
def test_nothing_after_malformed_chunks_is_parsed_as_a_request(site: Site, chunks: bytes) -> None:
    """RFC 9112 section 7.1: the end of the content is unknown, so the connection must close."""
    with site.served.connect() as client:
        client.send(req("POST", "/", CHUNKED) + chunks + get(target="/file.bin"))
        assert client.read_response().status in (400, 405)
        assert client.read_to_end() == b""


KEEPING = [
    ("9112 9.3: 1.1 stays", req("GET", "/file.bin"), None),
    ("9112 9.6: close", get("Connection: close"), "close"),
    ("9110 7.6.1: options in any case", get("Connection: Close"), "close"),
    ("9110 7.6.1: close in a list", get("Connection: te, close"), "close"),
    ("9110 7.6.1: close in another field", get("Connection: te", "Connection: close"), "close"),
    ("9110 7.6.1: close is a word", get("Connection: closed"), None),
    ("9112 9.3: close beside keep-alive", get("Connection: keep-alive, close"), "close"),
    ("9112 9.3: 1.0 closes", req("GET", "/file.bin", version="1.0"), "close"),
    (
        "9112 9.3: 1.0 with keep-alive stays",
        req("GET", "/file.bin", "Connection: Keep-Alive", version="1.0"),
        "keep-alive",
    ),
    ("9112 9.3: 1.0 without Host", req("GET", "/file.bin", version="1.0", host=None), "close"),
    ("9110 7.8: an upgrade is ignored", get("Connection: upgrade", "Upgrade: h2c"), None),
]


@pytest.mark.parametrize(("rule", "request_bytes", "option"), KEEPING, ids=[row[0] for row in KEEPING])
def test_a_connection_stays_or_closes_as_the_request_demands(
    site: Site, rule: str, request_bytes: bytes, option: str | None
) -> None:
    """RFC 9112 section 9.3. ``exchange`` checks that the connection really stays or closes."""
    (answer,) = exchange(site, request_bytes, ("GET",))
    assert answer.status == 200 and answer.content == CONTENT
    assert answer.fields.get("connection") == option, rule


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """RFC 9112 section 9.3.2."""
    requests = b"".join(get(f"Range: bytes={at}-{at}") for at in range(50))
    answers = exchange(site, requests, ("GET",) * 50)
    assert b"".join(answer.content for answer in answers) == CONTENT[:50]


def test_pipelined_responses_have_clear_ends(site: Site) -> None:
    """RFC 9112 section 6.3."""
    requests = req("HEAD", "/file.bin") + get(target="/none") + req("OPTIONS", "*") + get("If-None-Match: *") + get()
    answers = exchange(site, requests, ("HEAD", "GET", "OPTIONS", "GET", "GET"))
    assert [answer.status for answer in answers] == [200, 404, 204, 304, 200] and answers[-1].content == CONTENT


def test_a_request_after_a_closing_one_is_not_answered(site: Site) -> None:
    """RFC 9112 section 9.6."""
    (answer,) = exchange(site, get("Connection: close") + get(target="/none"), ("GET",))
    assert answer.status == 200


def test_a_half_closed_connection_is_still_answered(site: Site) -> None:
    """RFC 9112 section 9.6: a client may close only its sending side."""
    with site.served.connect() as client:
        client.send(get())
        client.socket.shutdown(1)
        assert client.read_response().content == CONTENT
        assert client.read_to_end() == b""


def test_half_a_head_is_not_a_request(site: Site) -> None:
    """RFC 9112 section 8: an incomplete head is never answered as if it were whole."""
    with site.served.connect() as client:
        client.send(get()[:-2])
        client.socket.shutdown(1)
        assert b" 200 " not in client.read_to_end()


def test_a_head_may_come_a_byte_at_a_time(site: Site) -> None:
    """RFC 9112 section 2.2: how the bytes are split has no meaning."""
    with site.served.connect() as client:
        for byte in get("Range: bytes=3-5"):
            client.send(bytes([byte]))
        assert client.read_response().content == CONTENT[3:6]


def test_tls_on_a_clear_port_is_refused_at_once(site: Site) -> None:
    """A TLS client hello has no line end to wait for."""
    with site.served.connect() as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        assert client.read_response().status == 400


def test_the_http2_preface_is_answered_with_settings(site: Site) -> None:
    """RFC 9113 section 3.4: the server sends SETTINGS, and acknowledges those of the client."""
    with site.served.connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        head = client.read_exactly(9)
        assert (head[3], head[4]) == (4, 0)
        client.read_exactly(int.from_bytes(head[:3]))
        assert client.read_exactly(9) == bytes((0, 0, 0, 4, 1, 0, 0, 0, 0))


@pytest.mark.parametrize("fields", [b"", b"Host: x\r\nHost: y\r\n", b"Host: x\r\nContent-Length: 99999999\r\n"])
def test_a_refused_head_has_no_content(site: Site, fields: bytes) -> None:
    """RFC 9110 section 9.3.2: whatever the status."""
    with site.served.connect() as client:
        client.send(b"HEAD / HTTP/1.1\r\n" + fields + b"\r\n")
        assert client.read_head()[0] in (400, 413)
        assert client.read_to_end() == b""
