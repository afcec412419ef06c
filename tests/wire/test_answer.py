"""HTTP/1 responses: heads by a table, content against an oracle and against another parser."""

from __future__ import annotations

import io
import itertools
from http.client import HTTPResponse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Plan, Span
from freight.wire.http1.parser import Framing, encode_chunk, framing_of, head, segments, will_close

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
START = f"Date: {DATE}\r\nServer: freight\r\n"
V10, V11 = (1, 0), (1, 1)
BODY = (Span(0, None),)

# name, plan, the request's version and keep_alive; status line, framing fields, framing
ANSWERS: list[tuple[str, Plan, tuple[int, int], bool, str, str, Framing, bool]] = [
    ("a length", Plan(200, (), (b"ab",), 2), V11, True, "200 OK", "Content-Length: 2\r\n", Framing.LENGTH, False),
    (
        "a length of nothing",
        Plan(404),
        V11,
        True,
        "404 Not Found",
        "Content-Length: 0\r\n",
        Framing.LENGTH,
        False,
    ),
    (
        "the last answer, because the client wants it so",
        Plan(200, (), (b"ab",), 2),
        V11,
        False,
        "200 OK",
        "Content-Length: 2\r\nConnection: close\r\n",
        Framing.LENGTH,
        True,
    ),
    (
        "the last answer, because the server wants it so",
        Plan(503, close=True),
        V11,
        True,
        "503 Service Unavailable",
        "Content-Length: 0\r\nConnection: close\r\n",
        Framing.LENGTH,
        True,
    ),
    (
        "HTTP/1.0 gets keep-alive (RFC 9112 C.2.2)",
        Plan(206, (), (Span(0, 5),), 5),
        V10,
        True,
        "206 Partial Content",
        "Content-Length: 5\r\nConnection: keep-alive\r\n",
        Framing.LENGTH,
        False,
    ),
    (
        "HTTP/1.0 that does not stay",
        Plan(200, (), (Span(0, 5),), 5),
        V10,
        False,
        "200 OK",
        "Content-Length: 5\r\nConnection: close\r\n",
        Framing.LENGTH,
        True,
    ),
    (
        "an unknown length is chunked on HTTP/1.1",
        Plan(200, (), BODY, None),
        V11,
        True,
        "200 OK",
        "Transfer-Encoding: chunked\r\n",
        Framing.CHUNKED,
        False,
    ),
    (
        "an unknown length ends HTTP/1.0, which has no chunked (RFC 9112 section 6.1)",
        Plan(200, (), BODY, None),
        V10,
        True,
        "200 OK",
        "Connection: close\r\n",
        Framing.CLOSE,
        True,
    ),
    (
        "HEAD names the length of the GET (RFC 9110 section 9.3.2)",
        Plan(200, (), (), 7, content=False),
        V11,
        True,
        "200 OK",
        "Content-Length: 7\r\n",
        Framing.LENGTH,
        False,
    ),
    (
        "HEAD names the coding of the GET",
        Plan(200, (), (), None, content=False),
        V11,
        True,
        "200 OK",
        "Transfer-Encoding: chunked\r\n",
        Framing.CHUNKED,
        False,
    ),
    (
        "HEAD of an unknown length leaves an HTTP/1.0 connection alone",
        Plan(200, (), (), None, content=False),
        V10,
        True,
        "200 OK",
        "Connection: keep-alive\r\n",
        Framing.NONE,
        False,
    ),
    (
        "204 has no length (RFC 9110 section 8.6)",
        Plan(204, (), (), 0, content=False),
        V11,
        True,
        "204 No Content",
        "",
        Framing.NONE,
        False,
    ),
    (
        "304 has no length and no coding",
        Plan(304, (), (), 7, content=False),
        V11,
        True,
        "304 Not Modified",
        "",
        Framing.NONE,
        False,
    ),
    ("1xx has no length", Plan(100, content=False), V11, True, "100 Continue", "", Framing.NONE, False),
    (
        "a status without a phrase keeps its space (RFC 9112 section 4)",
        Plan(299),
        V11,
        True,
        "299 ",
        "Content-Length: 0\r\n",
        Framing.LENGTH,
        False,
    ),
    (
        "the phrases are those of RFC 9110",
        Plan(416),
        V11,
        True,
        "416 Range Not Satisfiable",
        "Content-Length: 0\r\n",
        Framing.LENGTH,
        False,
    ),
]


def answer(plan: Plan, size: int | None, version=V11, keep_alive=True, **more) -> list[bytes | Span]:
    return list(segments(plan, size, date=DATE, version=version, keep_alive=keep_alive, **more))


def joined(pieces: list[bytes | Span], data: bytes) -> bytes:
    return b"".join(data[piece.start : piece.stop] if isinstance(piece, Span) else piece for piece in pieces)


class Stream(io.BytesIO):
    """A readable socket that stays open when the parser closes it, so that the rest can be read."""

    def makefile(self, _mode: str) -> Stream:
        return self

    def close(self) -> None:
        """Stay open."""

    def rest(self) -> bytes:
        return self.read()


def parsed(wire: bytes) -> tuple[HTTPResponse, bytes, bytes]:
    """Parse a response with the standard library: the response, its content, and the bytes left over."""

    stream = Stream(wire)
    response = HTTPResponse(stream, method="GET")  # type: ignore[arg-type]
    response.begin()
    return response, response.read(), stream.rest()


@pytest.mark.parametrize(
    ("plan", "version", "keep_alive", "status", "framing", "how", "closes"),
    [row[1:] for row in ANSWERS],
    ids=[row[0] for row in ANSWERS],
)
def test_a_head_has_the_framing_of_its_response(plan, version, keep_alive, status, framing, how, closes):
    made = head(plan, date=DATE, version=version, keep_alive=keep_alive)
    assert made.decode() == f"HTTP/1.1 {status}\r\n{START}{framing}\r\n"
    assert framing_of(plan, version) is how
    assert will_close(plan, version, keep_alive) == closes


def test_the_fields_of_the_plan_are_sent_in_order_as_latin_1():
    plan = Plan(200, (("B", "2"), ("A", "\xe9"), ("B", "")))
    made = head(plan, date=DATE, version=V11, keep_alive=True)
    assert made == b"HTTP/1.1 200 OK\r\n" + START.encode() + b"B: 2\r\nA: \xe9\r\nB: \r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "field", [("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\r"), ("A", "\0"), ("A\r\nB", "c"), ("A", "\u0394")]
)
def test_a_field_that_would_split_the_response_is_never_sent(field):
    with pytest.raises(ValueError, match=r"line break|latin-1"):
        head(Plan(200, (field,)), date=DATE, version=V11, keep_alive=True)


@pytest.mark.parametrize("status", [200, 204, 304])
def test_head_and_the_statuses_without_content_send_none(status):
    plan = Plan(status, (), (), 7, content=False)
    assert answer(plan, None) == [head(plan, date=DATE, version=V11, keep_alive=True)]


def test_neighbouring_literals_are_joined_and_the_first_is_sent_with_the_head():
    plan = Plan(206, (), (b"--a\r\n\r\n", Span(2, 4), b"\r\n", b"--a--", Span(5, 5)), 7 + 2 + 7)
    start = head(plan, date=DATE, version=V11, keep_alive=True)
    assert answer(plan, 10) == [start + b"--a\r\n\r\n", Span(2, 4), b"\r\n--a--"]


def test_a_span_without_a_stop_ends_at_the_size():
    plan = Plan(200, (), BODY, 10)
    assert answer(plan, 10)[1:] == [Span(0, 10)]


def test_a_response_without_a_length_to_http_1_0_is_the_bare_representation():
    plan = Plan(200, (), BODY, None)
    assert answer(plan, 10, V10)[1:] == [Span(0, 10)]
    assert answer(plan, None, V10)[1:] == [Span(0, None)]


@pytest.mark.parametrize(
    ("parts", "length"), [((b"abc",), 2), ((Span(0, 3),), 4), ((Span(0, None),), 9), ((b"a", Span(0, 2)), 2), ((), 1)]
)
def test_parts_that_do_not_add_up_to_the_length_are_never_sent(parts, length):
    """Neither a byte beyond the declared length nor an incomplete body that looks complete."""
    with pytest.raises(ValueError, match="add up"):
        next(segments(Plan(200, (), parts, length), 10, date=DATE, version=V11, keep_alive=True))


@pytest.mark.parametrize("version", [V10, V11])
def test_a_producer_is_framed_by_the_caller_between_the_head_and_the_last_chunk(version):
    plan = Plan(200, (), (b"title\n", Span(0, None), b"end\n"), None)
    wire = b""
    for segment in segments(plan, None, date=DATE, version=version, keep_alive=True):
        if isinstance(segment, bytes):
            wire += segment
            continue
        assert segment == Span(0, None)
        for piece in (b"one\n", b"", b"two\n"):
            wire += encode_chunk(piece) if framing_of(plan, version) is Framing.CHUNKED else piece
    _, content, rest = parsed(wire)
    assert (content, rest) == (b"title\none\ntwo\nend\n", b"")


def test_the_end_of_a_chunk_is_joined_to_the_next_chunk_size():
    """One literal between two spans: one send(2), then one sendfile(2)."""
    plan = Plan(200, (), BODY, None)
    start = head(plan, date=DATE, version=V11, keep_alive=True)
    assert answer(plan, 33, chunk=16) == [
        start + b"10\r\n",
        Span(0, 16),
        b"\r\n10\r\n",
        Span(16, 32),
        b"\r\n1\r\n",
        Span(32, 33),
        b"\r\n0\r\n\r\n",
    ]


def test_an_empty_file_in_chunks_is_the_last_chunk_alone():
    plan = Plan(200, (), BODY, None)
    assert answer(plan, 0) == [head(plan, date=DATE, version=V11, keep_alive=True) + b"0\r\n\r\n"]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, tuple[bytes | Span, ...]]:
    data = draw(st.binary(max_size=200))
    edge = st.integers(0, len(data))
    span = st.tuples(edge, edge).map(lambda pair: Span(min(pair), max(pair)))
    whole = st.just(Span(0, None))
    return data, tuple(draw(st.lists(st.binary(max_size=20) | span | whole, max_size=6)))


@given(bodies(), st.sampled_from([V10, V11]), st.booleans(), st.booleans(), st.integers(1, 50))
def test_another_parser_reads_any_body_back(body, version, sized, keep_alive, chunk):
    data, parts = body
    content = joined(list(parts), data)
    plan = Plan(200, (("ETag", '"a"'),), parts, len(content) if sized else None)
    pieces = answer(plan, len(data), version, keep_alive, chunk=chunk)
    response, read_content, rest = parsed(joined(pieces, data))
    assert (response.status, response.getheader("etag"), read_content, rest) == (200, '"a"', content, b"")
    assert all(piece if isinstance(piece, bytes) else piece.start < piece.stop <= len(data) for piece in pieces)
    assert not any(isinstance(one, bytes) and isinstance(two, bytes) for one, two in itertools.pairwise(pieces))


def test_the_segments_of_a_terabyte_are_made_lazily():
    plan = Plan(200, (), BODY, None)
    lazily = segments(plan, 1 << 40, date=DATE, version=V11, keep_alive=True)
    first = list(itertools.islice(lazily, 4))
    assert first[1:] == [Span(0, 4 << 20), b"\r\n400000\r\n", Span(4 << 20, 8 << 20)]
    sized = Plan(200, (), BODY, 1 << 40)
    assert answer(sized, 1 << 40)[1:] == [Span(0, 1 << 40)]
