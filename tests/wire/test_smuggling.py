"""Request smuggling: ambiguous framing, which another parser may read differently, is refused.

Each row is the field section of a POST. The bytes after it are content in one reading and another request, for
``/smuggled``, in the other.
"""

from __future__ import annotations

import pytest

HOST = b"Host: x\r\n"
CONTENT = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CL = b"Content-Length: 5\r\n"
TE = b"Transfer-Encoding: chunked\r\n"

SECTIONS: list[tuple[str, bytes, int]] = [
    ("CL.TE", CL + TE, 400),
    ("TE.CL", TE + CL, 400),
    ("CL of zero, then TE", b"Content-Length: 0\r\n" + TE, 400),
    ("TE, and CL in lower case", TE + b"content-length: 5\r\n", 400),
    ("TE that is refused anyhow, and CL", CL + b"Transfer-Encoding: x\r\n", 400),
    ("TE that is empty, and CL", CL + b"Transfer-Encoding:\r\n", 400),
    ("TE.TE", TE + TE, 400),
    ("TE.TE, the second unknown", TE + b"Transfer-Encoding: x\r\n", 400),
    ("TE.TE, the first unknown", b"Transfer-Encoding: x\r\n" + TE, 501),
    ("TE.TE, one empty", b"Transfer-Encoding:\r\n" + TE, 400),
    ("TE xchunked", b"Transfer-Encoding: xchunked\r\n", 400),
    ("TE chunkedx", b"Transfer-Encoding: chunkedx\r\n", 400),
    ("TE chunk", b"Transfer-Encoding: chunk\r\n", 400),
    ("TE identity", b"Transfer-Encoding: identity\r\n", 400),
    ("TE empty", b"Transfer-Encoding:\r\n", 400),
    ("TE chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", 400),
    ("TE identity, chunked", b"Transfer-Encoding: identity, chunked\r\n", 501),
    ("TE gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501),
    ("TE chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    ("TE chunked with a comma after it", b"Transfer-Encoding: chunked,\r\n", 400),
    ("TE chunked with a comma before", b"Transfer-Encoding: ,chunked\r\n", 400),
    ("TE chunked with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", 400),
    ("TE chunked with a semicolon", b"Transfer-Encoding: chunked;\r\n", 400),
    ("TE chunked in quotes", b'Transfer-Encoding: "chunked"\r\n', 400),
    ("TE chunked in other quotes", b"Transfer-Encoding: 'chunked'\r\n", 400),
    ("TE two words", b"Transfer-Encoding: chunked cow\r\n", 400),
    ("TE after a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", 400),
    ("TE after a form feed", b"Transfer-Encoding:\x0cchunked\r\n", 400),
    ("TE before a vertical tab", b"Transfer-Encoding: chunked\x0b\r\n", 400),
    ("TE with a NUL", b"Transfer-Encoding: chunked\x00\r\n", 400),
    ("TE with a no-break space", b"Transfer-Encoding: \xa0chunked\r\n", 400),
    ("TE with a Kelvin sign", b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", 400),
    ("TE after a bare CR", b"Transfer-Encoding: \rchunked\r\n", 400),
    ("TE on a folded line", b"Transfer-Encoding:\r\n chunked\r\n", 400),
    ("TE half on a folded line", b"Transfer-Encoding: x,\r\n\tchunked\r\n", 400),
    ("TE with a space before the colon", CL + b"Transfer-Encoding : chunked\r\n", 400),
    ("TE with a tab before the colon", CL + b"Transfer-Encoding\t: chunked\r\n", 400),
    ("TE with a space before the name", CL + b" Transfer-Encoding: chunked\r\n", 400),
    ("TE with a NUL in the name", CL + b"Transfer\x00-Encoding: chunked\r\n", 400),
    ("TE after a bare LF", b"A: b\nTransfer-Encoding: chunked\r\n", 400),
    ("TE after a bare CR in another value", b"A: b\rTransfer-Encoding: chunked\r\n", 400),
    ("TE ended by LF", b"Transfer-Encoding: chunked\n", 400),
    ("CL.CL that differ", CL + b"Content-Length: 6\r\n", 400),
    ("CL.CL that agree", CL + CL, 400),
    ("CL list that differs", b"Content-Length: 5, 6\r\n", 400),
    ("CL list that agrees", b"Content-Length: 5, 5\r\n", 400),
    ("CL list with an empty element", b"Content-Length: 5,\r\n", 400),
    ("CL empty", b"Content-Length:\r\n", 400),
    ("CL with a plus", b"Content-Length: +5\r\n", 400),
    ("CL negative", b"Content-Length: -1\r\n", 400),
    ("CL negative zero", b"Content-Length: -0\r\n", 400),
    ("CL hexadecimal", b"Content-Length: 0x5\r\n", 400),
    ("CL with an underscore", b"Content-Length: 1_0\r\n", 400),
    ("CL with a fraction", b"Content-Length: 5.0\r\n", 400),
    ("CL with an exponent", b"Content-Length: 5e0\r\n", 400),
    ("CL in quotes", b'Content-Length: "5"\r\n', 400),
    ("CL with a space inside", b"Content-Length: 5 0\r\n", 400),
    ("CL with a superscript digit", b"Content-Length: \xb2\r\n", 400),
    ("CL with digits beyond ASCII", b"Content-Length: \xd9\xa5\r\n", 400),
    ("CL beyond 64 bits", b"Content-Length: 18446744073709551621\r\n", 400),
    ("CL with a space before the colon", b"Content-Length : 5\r\n", 400),
    ("CL on a folded line", b"Content-Length:\r\n 5\r\n", 400),
]


@pytest.mark.parametrize(("section", "status"), [row[1:] for row in SECTIONS], ids=[row[0] for row in SECTIONS])
@pytest.mark.parametrize("host_first", [True, False], ids=["Host first", "Host last"])
def test_ambiguous_framing_is_refused(read, cut, section, status, host_first):
    lines = HOST + section if host_first else section + HOST
    reading = read(cut(b"POST / HTTP/1.1\r\n" + lines + b"\r\n" + CONTENT))
    assert (reading.targets, reading.status) == ([], status)


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity", b""])
def test_transfer_encoding_on_http_1_0_is_refused(read, cut, value):
    """RFC 9112 section 6.1: faulty framing, whatever the coding."""
    data = (
        b"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: " + value + b"\r\n\r\n" + CONTENT
    )
    reading = read(cut(data))
    assert (reading.targets, reading.status) == ([], 400)


@pytest.mark.parametrize(
    "section",
    [
        b"Content-Length: 0\r\nExpect: 100-continue\r\nConnection: close\r\n",
        b"Content-Length: 40\r\nExpect: 100-continue\r\n",
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
    ],
)
def test_nothing_is_parsed_after_content_that_may_never_come(read, cut, section):
    reading = read(cut(b"POST / HTTP/1.1\r\n" + HOST + section + b"\r\n" + CONTENT))
    assert (reading.targets, reading.status) == (["/"], None)


@pytest.mark.parametrize("section", [b"Content-Length: 5\r\n", b"Transfer-Encoding:\tCHUNKED\r\n"])
def test_unambiguous_framing_is_accepted(read, cut, section):
    """A check of the table above: not every framing is refused."""
    reading = read(cut(b"POST / HTTP/1.1\r\n" + HOST + section + b"\r\n" + CONTENT))
    assert (reading.targets, reading.status) == (["/", "/smuggled"], None)


def test_the_content_of_get_is_framed_like_any_other(read, cut):
    """RFC 9112 section 6: framing does not depend on the method."""
    reading = read(cut(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 40\r\n\r\n" + CONTENT))
    assert (reading.targets, reading.idle) == (["/"], True)
