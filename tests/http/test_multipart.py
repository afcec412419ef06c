"""multipart/byteranges: RFC 9110 section 14.6, RFC 2046 section 5.1."""

import tracemalloc
from email.parser import BytesParser

from hypothesis import given
from hypothesis import strategies as st

from freight.http.multipart import Parts, boundary, content_range
from freight.model import Span

# Without CR and LF, where the stdlib parser sees line ends.
CONTENT = bytes(byte for byte in range(256) if byte not in b"\r\n") * 4
spans = st.lists(
    st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 64)).map(
        lambda pair: Span(pair[0], min(pair[0] + pair[1], len(CONTENT)))
    ),
    min_size=1,
    max_size=6,
)


def test_the_layout_is_that_of_the_rfc() -> None:
    """RFC 2046 section 5.1.1: the break before a boundary belongs to it, the first one included."""
    parts = Parts([Span(0, 2), Span(8, 10)], 10, "text/csv", "B")
    assert list(parts) == [
        b"\r\n--B\r\nContent-Type: text/csv\r\nContent-Range: bytes 0-1/10\r\n\r\n",
        Span(0, 2),
        b"\r\n--B\r\nContent-Type: text/csv\r\nContent-Range: bytes 8-9/10\r\n\r\n",
        Span(8, 10),
        b"\r\n--B--\r\n",
    ]
    assert (parts[-1], parts[1:3], len(parts)) == (b"\r\n--B--\r\n", list(parts)[1:3], 5)
    assert parts.length == sum(len(part) for part in parts if isinstance(part, bytes)) + 4


def test_the_layout_of_a_terabyte_reads_none_of_it() -> None:
    parts = Parts([Span(0, 10**12), Span(2 * 10**12, 3 * 10**12)], 4 * 10**12, "text/csv", "B")
    assert parts.length == 2 * 10**12 + sum(len(part) for part in parts if isinstance(part, bytes))


@given(spans)
def test_the_length_is_exact_and_a_mime_parser_finds_every_part(spans: list[Span]) -> None:
    mark = boundary('"tag"', spans)
    parts = Parts(spans, len(CONTENT), "application/octet-stream", mark)
    body = b"".join(part if isinstance(part, bytes) else CONTENT[part.start : part.stop] for part in parts)
    assert len(body) == parts.length
    head = f"Content-Type: multipart/byteranges; boundary={mark}\r\n\r\n".encode()
    found = BytesParser().parsebytes(head + body)
    read = found.get_payload()
    assert isinstance(read, list) and len(read) == len(spans)
    for message, span in zip(read, spans, strict=True):
        assert message["Content-Range"] == content_range(span, len(CONTENT))
        assert message["Content-Type"] == "application/octet-stream"
        assert message.get_payload(decode=True) == CONTENT[span.start : span.stop]


def test_many_ranges_take_little_memory_while_they_wait() -> None:
    tracemalloc.start()
    parts = Parts([Span(10 * at, 10 * at + 5) for at in range(256)], 10_000, "text/csv", "B" * 32)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(parts) == 513 and held < 8 * 1024


@given(spans, spans)
def test_a_boundary_is_the_same_on_every_replica_and_differs_for_other_ranges(one: list[Span], two: list[Span]) -> None:
    assert boundary('"tag"', one) == boundary('"tag"', list(one))
    assert (boundary('"tag"', one) == boundary('"tag"', two)) is (one == two)
    assert boundary('"tag"', one) != boundary('"gat"', one)
    assert boundary("", one).isalnum() and len(boundary("", one)) <= 70
