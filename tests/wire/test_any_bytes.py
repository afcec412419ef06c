"""Properties of the HTTP/1 parser for all bytes, not only for those in a table."""

from __future__ import annotations

import re
import string
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freight.wire.http1 import grammar
from freight.wire.http1.parser import Limits, RequestParser

PIECES = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n1234567",
    b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\nT: u\r\n\r\n",
    b"GET http://y/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"Host: x\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"a" * 40,
    b"A: b\r\n" * 6,
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    *(bytes([byte]) for byte in b"\r\n\0 \t:;,/*#\x16\xffG0"),
    b"\r\n",
]
SMALL = Limits(line=64, head=144, fields=6, content=48)

SPECIAL = {"host", "content-length", "transfer-encoding", "connection", "expect"}  # those the framing depends on

# Bytes that are nearly a request, and random bytes.
streams = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.binary(max_size=300))
tokens = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=20)
methods = tokens.filter(lambda token: token != "CONNECT")  # its target has another form
names = tokens.filter(lambda token: token.lower() not in SPECIAL)
values = st.text(
    st.characters(codec="latin-1", exclude_categories=("Cc",))
    | st.just("\t")
    | st.characters(min_codepoint=128, max_codepoint=255)
).map(lambda text: text.strip(" \t"))
targets = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f#")).map(
    lambda rest: "/" + rest
)


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@given(streams, st.lists(st.integers(min_value=0), max_size=10))
@example(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6 + b"\n", [30])
@example(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 200 + b"\n", [30])
def test_the_result_does_not_depend_on_how_the_bytes_are_split(read, data, places):
    assert read(cut_at(data, places), SMALL) == read([data], SMALL)


@given(streams)
def test_any_bytes_give_heads_or_one_refusal(read, data):
    reading = read([data], SMALL)
    assert reading.status in {None, 400, 413, 414, 421, 431, 501, 505}


@given(methods, targets, st.lists(st.tuples(names, st.sampled_from(["", " ", "\t \t"]), values), max_size=20))
def test_a_valid_head_comes_back_as_it_was_written(read, method, target, fields):
    lines = "".join(f"{name}:{space}{value}{space}\r\n" for name, space, value in fields)
    (head,) = read([f"{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1")]).heads
    assert (head.request.method, head.request.target) == (method, target)
    assert head.request.fields == (("host", "x"), *((name.lower(), value) for name, _, value in fields))
    assert (head.keep_alive, head.content) == (True, 0)


class CountedBuffer(bytearray):
    """A buffer that counts the bytes that are searched."""

    seen = 0

    def find(self, sub, start=0, stop=None):
        at = super().find(sub, start, len(self) if stop is None else stop)
        self.seen += max(0, (at if at >= 0 else len(self) if stop is None else min(stop, len(self))) - start)
        return at

    def count(self, sub, start, stop):
        self.seen += stop - start
        return super().count(sub, start, stop)


class CountedPattern:
    """A pattern that counts the bytes that it may have matched."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.seen = 0

    def match(self, data, start, stop):
        self.seen += stop - start
        return self.pattern.match(data, start, stop)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 8000,
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 16000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A:\r\n" * 90,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"A: " + b"a" * 150 + b"\r\n") * 90,
    ],
    ids=["a long target", "a long value", "many short fields", "many long fields"],
)
@pytest.mark.parametrize("step", [1, 2, 3, 50, 100_000])
def test_the_work_is_linear_in_the_bytes_however_slowly_they_come(monkeypatch, data, step):
    """No search restarts at the front of the buffer."""
    pattern = CountedPattern(grammar.FIELD_LINES)
    monkeypatch.setattr(grammar, "FIELD_LINES", pattern)
    parser = RequestParser("c", Limits())
    buffer = parser._buffer = CountedBuffer()
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        assert parser.next() is None
    assert buffer.seen + pattern.seen <= 6 * len(data)
