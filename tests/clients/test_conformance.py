"""RFC 9110 and RFC 9112 as a stranger would test them: bytes over a socket to the running server, and its answers.

Each row names the section it holds the server to. ``{etag}`` stands for the entity tag of ``/file.bin``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from serving import Answer, Client, Served

SIZE = 1000
CONTENT = bytes(at * 7 % 251 for at in range(SIZE))
MODIFIED = 1_577_836_800
MODIFIED_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"
BEFORE, AFTER = "Tue, 31 Dec 2019 23:59:59 GMT", "Wed, 01 Jan 2020 00:00:01 GMT"
SECRET = b"this must never be sent"


class Site(NamedTuple):
    """The running server, and what the rows ask of it."""

    served: Served
    etag: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    above = tmp_path_factory.mktemp("above")
    root = above / "root"
    (root / "a dir").mkdir(parents=True)
    (root / "file.bin").write_bytes(CONTENT)
    (root / "empty.bin").write_bytes(b"")
    (root / "ä #?%41.txt").write_bytes(b"odd")
    (root / "back\\slash").write_bytes(b"backslash")
    (root / ".hidden").write_bytes(SECRET)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(SECRET)
    (above / "secret").write_bytes(SECRET)
    (root / "link").symlink_to(above / "secret")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    os.utime(root / "file.bin", (MODIFIED, MODIFIED))
    served = Served((str(root),), "127.0.0.1", None, None)
    yield Site(served, served.get("/file.bin").fields["etag"])
    served.close()


def req(method: str, target: str, *fields: str, version: str = "1.1", host: str | None = "x") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def get(*fields: str, target: str = "/file.bin") -> bytes:
    return req("GET", target, *fields)


def exchange(site: Site, request: bytes, methods: tuple[str, ...]) -> list[Answer]:
    """The answers to these bytes; the stream must end behind them when the last says so, and only then."""
    with site.served.connect() as client:
        client.send(request.replace(b"{etag}", site.etag.encode()))
        answers = [client.answer(method) for method in methods]
        for answer in answers:
            assert_sound(answer)
        if answers[-1].fields.get("connection") == "close":
            assert client.rest() == b""
        else:
            client.get("/empty.bin")
            assert client.answer().status == 200, "a kept connection takes another request"
        return answers


def assert_sound(answer: Answer) -> None:
    """What holds for every answer, whatever was asked."""
    fields = answer.fields
    assert parsedate_to_datetime(fields["date"]).tzinfo is not None and fields["date"].endswith(" GMT")  # 6.6.1
    assert not ("content-length" in fields and "transfer-encoding" in fields)  # 9112 6.2
    assert SECRET not in answer.content
    if answer.status == 204:
        assert "content-length" not in fields and "transfer-encoding" not in fields  # 8.6
    if answer.content:
        assert "content-type" in fields and fields["x-content-type-options"] == "nosniff"
    if answer.status == 405:
        assert {"GET", "HEAD"} <= set(fields["allow"].split(", "))  # 15.5.6


ONE = [
    # RFC 9112 section 2.2, 3: lines and the request line
    ("9112 2.2: one empty line before a request is passed over", b"\r\n" + get(), 200),
    ("9112 2.2: a bare CR in a field", get("A: b\rc"), 400),
    ("9112 2.2: white space before the first field", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    ("9112 3: two spaces before the target", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3: two spaces before the version", b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3: a tab for a space", b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3: a space before the method", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3: a space behind the version", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
    ("9112 3: a space in the target", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3: no version", b"GET /\r\n\r\n", 400),
    ("9112 3: no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3: the protocol's name in lower case", b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3: another protocol", b"GET / HTTPS/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3: a version without its minor", b"GET / HTTP/1\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3: a version of two digits", b"GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400),
    ("9110 15.6.6: version 2.0", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    ("9110 15.6.6: version 0.9", b"GET / HTTP/0.9\r\n\r\n", 505),
    ("9110 2.5: version 1.2 is spoken to as 1.1", req("GET", "/file.bin", version="1.2"), 200),
    ("9110 9.1: methods are case-sensitive", req("get", "/file.bin"), 501),
    ("9110 9.1: a method nobody knows", req("BREW", "/file.bin"), 501),
    ("9110 9.1: a method that is no token", req("G@T", "/file.bin"), 400),
    ("9110 9.3.8: TRACE", req("TRACE", "/file.bin"), 405),
    ("9110 9.3.3: POST", req("POST", "/file.bin", "Content-Length: 0"), 405),
    ("9110 9.3.4: PUT", req("PUT", "/file.bin", "Content-Length: 0"), 405),
    ("9110 9.3.5: DELETE", req("DELETE", "/file.bin"), 405),
    ("9110 9.3.5: DELETE of what is absent", req("DELETE", "/none"), 405),
    ("9110 9.3.6: CONNECT", req("CONNECT", "example.com:443"), 405),
    ("9110 9.3.6: CONNECT without a port", req("CONNECT", "example.com"), 400),
    ("9110 9.3.7: OPTIONS *", req("OPTIONS", "*"), 204),
    ("9110 9.3.7: OPTIONS of a file", req("OPTIONS", "/file.bin"), 204),
    ("9112 3.2.4: GET *", req("GET", "*"), 400),
    ("9112 3: a line of 8000 bytes is taken", req("GET", "/" + "a" * 7980), 404),
    ("9110 15.5.15: a line beyond the limit", req("GET", "/" + "a" * 20_000), 414),
    ("6585 5: a field beyond the limit", get("A: " + "b" * 40_000), 431),
    ("6585 5: a thousand fields", get(*["A: b"] * 1000), 431),
    ("9112 5: a hundred fields less one are taken", get(*["A: b"] * 99), 200),
    # section 3.2: targets and Host
    ("9112 3.2.2: absolute form", req("GET", "http://x/file.bin"), 200),
    ("9112 3.2.2: absolute form, its scheme in upper case", req("GET", "HTTP://x/file.bin"), 200),
    ("9112 3.2.2: absolute form, Host differs and is ignored", req("GET", "http://y/file.bin", host="x"), 200),
    ("9112 3.2.2: absolute form without a path", req("GET", "http://x"), 200),
    ("9112 3.2.2: absolute form with a query and no path", req("GET", "http://x?a=b"), 200),
    ("9112 3.2.4: OPTIONS of an absolute form without a path", req("OPTIONS", "http://x"), 204),
    ("9110 4.2.1: an empty host", req("GET", "http:///file.bin"), 400),
    ("9110 4.2.4: userinfo", req("GET", "http://me:pw@x/file.bin"), 400),
    ("9110 7.4: https on a clear connection", req("GET", "https://x/file.bin"), 421),
    ("9112 3.2.1: no slash in front", req("GET", "file.bin"), 400),
    ("9112 3.2: a fragment", req("GET", "/file.bin#a"), 400),
    ("9112 3.2: no Host", req("GET", "/file.bin", host=None), 400),
    ("9112 3.2: no Host on absolute form either", req("GET", "http://x/file.bin", host=None), 400),
    ("9112 3.2: two Hosts", get("Host: y"), 400),
    ("9112 3.2: two Hosts that agree", get("Host: x"), 400),
    ("9112 3.2: an empty Host is valid", req("GET", "/file.bin", host=""), 200),
    ("9112 3.2: Host with a port", req("GET", "/file.bin", host="x:80"), 200),
    ("9112 3.2: Host in IPv6", req("GET", "/file.bin", host="[::1]:8080"), 200),
    ("9112 3.2: Host with a path", req("GET", "/file.bin", host="x/y"), 400),
    ("9112 3.2: Host with a space", req("GET", "/file.bin", host="x y"), 400),
    ("9112 3.2: Host with a comma-joined second", req("GET", "/file.bin", host="x, y"), 400),
    ("9112 3.2: Host with userinfo", req("GET", "/file.bin", host="me@x"), 400),
    ("9112 3.2: Host with a word for a port", req("GET", "/file.bin", host="x:http"), 400),
    # section 5: fields
    ("9112 5.1: a space before the colon", get("A : b"), 400),
    ("9112 5.1: a tab before the colon", get("A\t: b"), 400),
    ("9112 5.1: no colon", get("A"), 400),
    ("9112 5.1: no name", get(": b"), 400),
    ("9112 5.1: a name with a slash", get("A/B: c"), 400),
    ("9112 5.1: no space behind the colon", get("A:b"), 200),
    ("9112 5.1: much white space about a value", get("Range:  \t bytes=0-0 \t "), 206),
    ("9112 5.2: a folded line", get("A: b", " c"), 400),
    ("9112 5.2: a folded line, by a tab", get("A: b", "\tc"), 400),
    ("9110 5.5: a NUL in a value", get("A: b\x00c"), 400),
    ("9110 5.5: a control in a value", get("A: b\x01c"), 400),
    ("9110 5.5: DEL in a value", get("A: b\x7fc"), 400),
    ("9110 5.5: obs-text in a value", get("A: \xfc"), 200),
    ("9110 5.5: an empty value", get("A:"), 200),
    ("9110 5.1: names in any case", get("rAnGe: bytes=0-0"), 206),
    # section 6, 7: framing
    ("9112 6.3: both lengths", req("GET", "/", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("9112 6.3: two lengths that differ", req("POST", "/", "Content-Length: 3", "Content-Length: 4") + b"abcd", 400),
    ("9112 6.3: a length that is no number", req("POST", "/", "Content-Length: 3x") + b"abc", 400),
    ("9112 6.3: a negative length", req("POST", "/", "Content-Length: -1"), 400),
    ("9112 6.1: an unknown coding", req("POST", "/", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    ("9112 6.3: chunked is not the last", req("POST", "/", "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400),
    ("9112 6.1: chunked in 1.0", req("POST", "/", "Transfer-Encoding: chunked", version="1.0") + b"0\r\n\r\n", 400),
    ("9110 15.5.14: too much content", req("POST", "/", "Content-Length: 99999999999"), 413),
    # RFC 9110 section 10.1.1
    ("9110 10.1.1: 100-continue, and the answer says it all", get("Expect: 100-continue"), 200),
    ("9110 10.1.1: another expectation", get("Expect: 200-ok"), 417),
    ("9110 10.1.1: names of expectations in any case", get("Expect: 100-Continue"), 200),
    ("9110 10.1.1: PUT that waits for 100", req("PUT", "/a", "Content-Length: 9", "Expect: 100-continue"), 405),
    # RFC 3986, 8187 and containment: what cannot be named is absent
    ("3986 2.1: an incomplete escape", get(target="/%"), 400),
    ("3986 2.1: an escape with one digit", get(target="/%4"), 400),
    ("3986 2.1: an escape that is none", get(target="/%zz"), 400),
    ("3986 2.1: NUL", get(target="/file.bin%00"), 400),
    ("3986 2.1: every byte may be escaped", get(target="/%66%69le%2ebin"), 200),
    ("3986 2.1: escaped once only", get(target="/%2566ile.bin"), 404),
    ("3986: a name with all that must be escaped", get(target="/%C3%A4%20%23%3F%2541.txt"), 200),
    ("3986: raw UTF-8 is taken", get(target="/ä%20%23%3f%2541.txt".encode().decode("latin-1")), 200),
    ("an overlong dot", get(target="/%c0%ae%c0%ae/secret"), 404),
    ("an overlong slash", get(target="/..%c0%afsecret"), 404),
    ("a full-width dot", get(target="/%ef%bc%8e%ef%bc%8e/secret"), 404),
    ("UTF-16 escapes", get(target="/%u002e%u002e/secret"), 400),
    ("dot segments", get(target="/../secret"), 404),
    ("dot segments, many", get(target="/" + "../" * 20 + "etc/passwd"), 404),
    ("dot segments that stay inside", get(target="/a%20dir/../file.bin"), 404),
    ("dot segments, escaped", get(target="/%2e%2e/secret"), 404),
    ("dot segments, half escaped", get(target="/.%2e/secret"), 404),
    ("dot segments, escaped twice", get(target="/%252e%252e/secret"), 404),
    ("an escaped slash", get(target="/..%2fsecret"), 404),
    ("an escaped slash before a name", get(target="/%2ffile.bin"), 404),
    ("an absolute path", get(target="//etc/passwd"), 404),
    ("a backslash", get(target="/..\\secret"), 404),
    ("an escaped backslash", get(target="/..%5csecret"), 404),
    ("a backslash in a name is a byte of it", get(target="/back%5Cslash"), 200),
    ("a path parameter", get(target="/..;/secret"), 404),
    ("dots and a space", get(target="/..%20/secret"), 404),
    ("absolute form with dots", req("GET", "http://x/../secret"), 404),
    ("absolute form with dots at once", req("GET", "http://x?/../secret"), 200),
    ("an empty segment", get(target="//file.bin"), 404),
    ("another host by two slashes", get(target="//evil.example/.."), 404),
    ("another host behind a directory", get(target="//a%20dir"), 404),
    ("a link that leads out", get(target="/link"), 404),
    ("a directory link that leads out", get(target="/up/secret"), 404),
    ("a hidden file", get(target="/.hidden"), 404),
    ("a hidden file, escaped", get(target="/%2ehidden"), 404),
    ("beneath a hidden directory", get(target="/.git/config"), 404),
    ("a FIFO, without waiting for its writer", get(target="/pipe"), 404),
    ("a file as a directory", get(target="/file.bin/"), 404),
    ("beneath a file", get(target="/file.bin/x"), 404),
    ("a name too long for any file system", get(target="/" + "a" * 300), 404),
    ("a query does not change which file", get(target="/file.bin?../../secret"), 200),
    ("9110 15.4.9: a directory without its slash", get(target="/a%20dir"), 308),
    # RFC 9110 section 14: ranges
    ("14.1.2: the first byte", get("Range: bytes=0-0"), 206),
    ("14.1.2: to the end", get("Range: bytes=999-"), 206),
    ("14.1.2: a suffix", get("Range: bytes=-1"), 206),
    ("14.1.2: a suffix of nothing", get("Range: bytes=-0"), 416),
    ("14.1.2: a suffix longer than all", get("Range: bytes=-5000"), 206),
    ("14.1.2: from the end on", get("Range: bytes=1000-"), 416),
    ("14.1.2: the last byte's position beyond the end", get("Range: bytes=990-99999"), 206),
    ("14.1.1: last before first is invalid, so ignored", get("Range: bytes=5-4"), 200),
    ("14.1.1: one invalid among valid ones", get("Range: bytes=0-0,5-4"), 200),
    ("14.1.1: not a number", get("Range: bytes=a-b"), 200),
    ("14.1.1: negative", get("Range: bytes=--1"), 200),
    ("14.1.1: a sign", get("Range: bytes=+1-2"), 200),
    ("14.1.1: nothing at all", get("Range: bytes="), 200),
    ("14.1.1: a dash alone", get("Range: bytes=-"), 200),
    ("14.1.1: a space inside", get("Range: bytes=0 - 5"), 200),
    ("14.1.1: a space before the equals", get("Range: bytes =0-5"), 200),
    ("5.6.1: white space after a comma", get("Range: bytes=0-0, 5-5"), 206),
    ("5.6.1: empty elements", get("Range: bytes=,,0-0,,"), 206),
    ("14.1: units in any case", get("Range: BYTES=0-0"), 206),
    ("14.2: an unknown unit", get("Range: lines=0-0"), 200),
    ("14.2: no unit", get("Range: 0-0"), 200),
    ("14.2: two fields are one that is not the grammar", get("Range: bytes=0-0", "Range: bytes=5-5"), 200),
    ("14.1.2: above 2^63", get("Range: bytes=9223372036854775808-"), 416),
    ("14.1.2: above 2^64", get("Range: bytes=0-18446744073709551616"), 206),
    ("14.1.2: of a thousand digits", get("Range: bytes=" + "9" * 1000 + "-"), 416),
    ("14.1.2: leading zeros", get("Range: bytes=" + "0" * 100 + "-000"), 206),
    ("14.2: of HEAD is ignored", req("HEAD", "/file.bin", "Range: bytes=0-0"), 200),
    ("14.2: unsatisfiable for HEAD is ignored", req("HEAD", "/file.bin", "Range: bytes=5000-"), 200),
    ("14.2: of an empty file", get("Range: bytes=0-", target="/empty.bin"), 416),
    ("14.2: a suffix of an empty file", get("Range: bytes=-5", target="/empty.bin"), 200),
    ("14.2: of what is absent", get("Range: bytes=0-0", target="/none"), 404),
    ("14.2: of a listing, which has no length", get("Range: bytes=0-0", target="/"), 200),
    ("17.15: too many are ignored", get("Range: bytes=" + ",".join(f"{n}-{n}" for n in range(0, 800, 2))), 200),
    ("17.15: overlapping ranges cost no more than the whole", get("Range: bytes=" + "0-," * 30 + "0-"), 206),
    # section 13: conditions and their order
    ("13.1.1: If-Match that matches", get("If-Match: {etag}"), 200),
    ("13.1.1: If-Match in a list", get('If-Match: "a", {etag}'), 200),
    ("13.1.1: If-Match in two fields", get('If-Match: "a"', "If-Match: {etag}"), 200),
    ("13.1.1: If-Match, weak", get("If-Match: W/{etag}"), 412),
    ("13.1.1: If-Match that does not match", get('If-Match: "a"'), 412),
    ("13.1.1: If-Match *", get("If-Match: *"), 200),
    ("13.1.1: If-Match without quotes", get("If-Match: a"), 412),
    ("13.2.1: If-Match of what is absent", get("If-Match: *", target="/none"), 404),
    ("13.1.2: If-None-Match that matches", get("If-None-Match: {etag}"), 304),
    ("13.1.2: If-None-Match, weak", get("If-None-Match: W/{etag}"), 304),
    ("13.1.2: If-None-Match in a list", get('If-None-Match: "a,b",, W/{etag}'), 304),
    ("13.1.2: If-None-Match *", get("If-None-Match: *"), 304),
    ("13.1.2: If-None-Match, quoted *", get('If-None-Match: "*"'), 200),
    ("13.1.2: If-None-Match of another", get('If-None-Match: "a"'), 200),
    ("13.1.2: If-None-Match without quotes", get("If-None-Match: a"), 200),
    ("13.1.2: If-None-Match of HEAD", req("HEAD", "/file.bin", "If-None-Match: {etag}"), 304),
    ("13.1.2: If-None-Match before Range", get("If-None-Match: {etag}", "Range: bytes=0-0"), 304),
    ("13.1.2: If-None-Match before what is unsatisfiable", get("If-None-Match: {etag}", "Range: bytes=5000-"), 304),
    ("13.1.3: not modified since", get(f"If-Modified-Since: {MODIFIED_DATE}"), 304),
    ("13.1.3: modified since", get(f"If-Modified-Since: {BEFORE}"), 200),
    ("13.1.3: a later date", get(f"If-Modified-Since: {AFTER}"), 304),
    ("13.1.3: a date in RFC 850's form", get("If-Modified-Since: Wednesday, 01-Jan-20 00:00:00 GMT"), 304),
    ("13.1.3: a date in asctime's form", get("If-Modified-Since: Wed Jan  1 00:00:00 2020"), 304),
    ("13.1.3: no date", get("If-Modified-Since: yesterday"), 200),
    ("13.1.3: a date in another zone", get("If-Modified-Since: Wed, 01 Jan 2020 00:00:00 +0000"), 200),
    ("13.1.3: the 30th of February", get("If-Modified-Since: Sun, 30 Feb 2020 00:00:00 GMT"), 200),
    ("13.1.3: two dates", get(f"If-Modified-Since: {AFTER}", f"If-Modified-Since: {AFTER}"), 200),
    ("13.1.3: ignored beside If-None-Match", get('If-None-Match: "a"', f"If-Modified-Since: {AFTER}"), 200),
    ("13.1.4: unmodified since", get(f"If-Unmodified-Since: {MODIFIED_DATE}"), 200),
    ("13.1.4: modified, so failed", get(f"If-Unmodified-Since: {BEFORE}"), 412),
    ("13.1.4: no date", get("If-Unmodified-Since: soon"), 200),
    ("13.1.4: ignored beside If-Match", get("If-Match: {etag}", f"If-Unmodified-Since: {BEFORE}"), 200),
    ("13.2.2: If-Match before If-None-Match", get('If-Match: "a"', "If-None-Match: {etag}"), 412),
    ("13.2.2: both hold", get("If-Match: {etag}", "If-None-Match: {etag}"), 304),
    ("13.2.2: If-Match before Range", get('If-Match: "a"', "Range: bytes=0-0"), 412),
    ("13.1.5: If-Range that matches", get("If-Range: {etag}", "Range: bytes=0-0"), 206),
    ("13.1.5: If-Range, weak", get("If-Range: W/{etag}", "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range of another", get('If-Range: "a"', "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range of another, unsatisfiable", get('If-Range: "a"', "Range: bytes=5000-"), 200),
    ("13.1.5: If-Range that matches, unsatisfiable", get("If-Range: {etag}", "Range: bytes=5000-"), 416),
    ("13.1.5: If-Range by date", get(f"If-Range: {MODIFIED_DATE}", "Range: bytes=0-0"), 206),
    ("13.1.5: If-Range by a later date is not exact", get(f"If-Range: {AFTER}", "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range by an earlier date", get(f"If-Range: {BEFORE}", "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range of nonsense", get("If-Range: nonsense", "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range *", get("If-Range: *", "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range of a list", get('If-Range: {etag}, "a"', "Range: bytes=0-0"), 200),
    ("13.1.5: If-Range without Range", get('If-Range: "a"'), 200),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "request_bytes", "status"), ONE, ids=[row[0] for row in ONE])
def test_one_request(site: Site, rule: str, request_bytes: bytes, status: int) -> None:
    """One request, one answer, and a connection that then is what the answer said it is."""
    method = "HEAD" if request_bytes.startswith(b"HEAD") else "GET"
    (answer,) = exchange(site, request_bytes, (method,))
    assert answer.status == status, rule
    if status == 206 and "content-range" in answer.fields:
        place = re.fullmatch(r"bytes (\d+)-(\d+)/1000", answer.fields["content-range"])
        assert place is not None and answer.content == CONTENT[int(place[1]) : int(place[2]) + 1]
    if status == 416:
        assert re.fullmatch(r"bytes \*/(0|1000)", answer.fields["content-range"])
    if status == 400 and "malformed" not in answer.content.decode() and "whole server" not in answer.content.decode():
        assert answer.fields["connection"] == "close"


# A request whose content goes by, and another behind it: no byte of the first is read as part of the second.
CHUNKED = "Transfer-Encoding: chunked"
BEHIND_CONTENT = [
    ("9112 6.2: a length", req("POST", "/", "Content-Length: 5") + b"GET /"),
    ("9112 7.1: chunks", req("POST", "/", CHUNKED) + b"5\r\nGET /\r\n0\r\n\r\n"),
    ("9112 7.1: a size in upper case, with zeros", req("POST", "/", CHUNKED) + b"000A\r\n0123456789\r\n00\r\n\r\n"),
    ("9112 7.1.1: extensions", req("POST", "/", CHUNKED) + b'1;a;b=c;d="e;f"\r\nx\r\n0;g\r\n\r\n'),
    ("9112 7.1.1: white space before an extension", req("POST", "/", CHUNKED) + b"1 ;a=b\r\nx\r\n0\r\n\r\n"),
    ("9112 7.1.2: trailers", req("POST", "/", CHUNKED) + b"1\r\nx\r\n0\r\nA: b\r\nHost: evil\r\n\r\n"),
    ("9112 6.1: chunked in any case", req("POST", "/", "Transfer-Encoding: CHUNKED") + b"0\r\n\r\n"),
    ("9110 9.3.1: GET with content", req("GET", "/file.bin", "Content-Length: 5") + b"GET /"),
    ("9112 2.2: an empty line behind content", req("POST", "/", "Content-Length: 1") + b"x\r\n"),
]


@pytest.mark.parametrize(("rule", "first"), BEHIND_CONTENT, ids=[row[0] for row in BEHIND_CONTENT])
def test_a_request_behind_content_is_found(site: Site, rule: str, first: bytes) -> None:
    """Content that nobody wants is passed over exactly."""
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
def test_nothing_behind_malformed_chunks_is_read_as_a_request(site: Site, chunks: bytes) -> None:
    """RFC 9112 section 7.1: where the content ends nobody knows, so the connection does."""
    with site.served.connect() as client:
        client.send(req("POST", "/", CHUNKED) + chunks + get(target="/file.bin"))
        assert client.answer().status in (400, 405)
        assert client.rest() == b""


KEEPING = [
    ("9112 9.3: 1.1 stays", req("GET", "/file.bin"), None),
    ("9112 9.6: close", get("Connection: close"), "close"),
    ("9110 7.6.1: options in any case", get("Connection: Close"), "close"),
    ("9110 7.6.1: close in a list", get("Connection: te, close"), "close"),
    ("9110 7.6.1: close in another field", get("Connection: te", "Connection: close"), "close"),
    ("9110 7.6.1: close is a word", get("Connection: closed"), None),
    ("9112 9.3: close beside keep-alive", get("Connection: keep-alive, close"), "close"),
    ("9112 9.3: 1.0 closes", req("GET", "/file.bin", version="1.0"), "close"),
    ("9112 9.3: 1.0 that asks stays", req("GET", "/file.bin", "Connection: Keep-Alive", version="1.0"), "keep-alive"),
    ("9112 9.3: 1.0 without Host", req("GET", "/file.bin", version="1.0", host=None), "close"),
    ("9110 7.8: an upgrade is passed over", get("Connection: upgrade", "Upgrade: h2c"), None),
]


@pytest.mark.parametrize(("rule", "request_bytes", "option"), KEEPING, ids=[row[0] for row in KEEPING])
def test_a_connection_stays_or_ends_as_it_was_told(
    site: Site, rule: str, request_bytes: bytes, option: str | None
) -> None:
    """RFC 9112 section 9.3; that it really stays or ends is held to in each exchange."""
    (answer,) = exchange(site, request_bytes, ("GET",))
    assert answer.status == 200 and answer.content == CONTENT
    assert answer.fields.get("connection") == option, rule


PARITY = ["/file.bin", "/empty.bin", "/", "/a%20dir/", "/a%20dir", "/none", "/%zz", "/%C3%A4%20%23%3F%2541.txt"]


@pytest.mark.parametrize("target", PARITY)
@pytest.mark.parametrize("accept", ["", "text/html", "application/json", "image/png"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_head_has_the_fields_of_get(site: Site, target: str, accept: str, version: str) -> None:
    """RFC 9110 section 9.3.2: the same fields, Content-Length among them, and no content."""
    fields = (f"Accept: {accept}",) if accept else ()
    (got,) = exchange(site, req("GET", target, *fields, version=version), ("GET",))
    (head,) = exchange(site, req("HEAD", target, *fields, version=version), ("HEAD",))
    assert head.status == got.status
    assert {**head.fields, "date": ""} == {**got.fields, "date": ""}


def test_the_fields_of_a_whole_file(site: Site) -> None:
    """RFC 9110 sections 8 and 14.3."""
    fields = site.served.get("/file.bin").fields
    assert fields["content-length"] == "1000" and fields["accept-ranges"] == "bytes"
    assert fields["last-modified"] == MODIFIED_DATE
    assert re.fullmatch(r'"[!#-~]+"', fields["etag"]), "a strong tag"
    assert fields["content-type"] == "application/octet-stream"
    assert "vary" not in fields and "transfer-encoding" not in fields


def test_304_carries_the_validators_and_no_content(site: Site) -> None:
    """RFC 9110 section 15.4.5: ETag and Date as the 200 has them; a Content-Length only if it is that of the 200."""
    (answer,) = exchange(site, get("If-None-Match: {etag}"), ("GET",))
    assert answer.status == 304 and answer.fields["etag"] == site.etag
    assert answer.fields.get("content-length", "1000") == "1000"
    assert "content-type" not in answer.fields and "content-range" not in answer.fields


def test_206_carries_what_the_200_would(site: Site) -> None:
    """RFC 9110 section 15.3.7."""
    whole, part = site.served.get("/file.bin").fields, site.served.get("/file.bin", "Range: bytes=2-4").fields
    assert part["content-range"] == "bytes 2-4/1000" and part["content-length"] == "3"
    for name in ("etag", "last-modified", "content-type", "content-disposition"):
        assert part[name] == whole[name]


MULTIPLE = ["0-0,5-5", "5-5,0-0", "-1,0-1", "0-0, 500-599 ,990-2000", "0-9,5000-6000,20-29"]


@pytest.mark.parametrize("ranges", MULTIPLE)
def test_several_ranges_come_in_one_envelope_in_the_order_asked(site: Site, ranges: str) -> None:
    """RFC 9110 sections 14.6 and 15.3.7.2, RFC 2046 section 5.1.1; the length is exact."""
    answer = site.served.get("/file.bin", f"Range: bytes={ranges}")
    assert answer.status == 206 and "content-range" not in answer.fields
    found = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]{1,70})", answer.fields["content-type"])
    assert found is not None
    mark = b"--" + found[1].encode()
    assert int(answer.fields["content-length"]) == len(answer.content) and answer.content.endswith(mark + b"--\r\n")
    pieces = (b"\r\n" + answer.content).split(b"\r\n" + mark)[1:-1]
    bounds = []
    for piece in pieces:
        head, _, data = piece.partition(b"\r\n\r\n")
        place = re.search(rb"Content-Range: bytes (\d+)-(\d+)/1000", head)
        assert place is not None and b"Content-Type: application/octet-stream" in head
        first, last = int(place[1]), int(place[2])
        assert data == CONTENT[first : last + 1]
        bounds.append((first, last))
    assert bounds == [bound for spec in ranges.split(",") if (bound := inclusive(spec.strip())) is not None]


def inclusive(spec: str) -> tuple[int, int] | None:
    """A range-spec read naively."""
    first, _, last = spec.partition("-")
    if not first:
        return SIZE - int(last), SIZE - 1
    return (int(first), min(int(last), SIZE - 1)) if int(first) < SIZE else None


def test_a_directory_is_moved_to_its_slash_with_its_query(site: Site) -> None:
    """RFC 9110 section 10.2.2: a path of this server, whatever was asked."""
    assert site.served.get("/a%20dir?sort=size").fields["location"] == "/a%20dir/?sort=size"
    answer = site.served.get("/a%20dir?a=%0d%0aSet-Cookie:%20x")
    assert "set-cookie" not in answer.fields and "\r" not in answer.fields["location"]


NAMES = [("/file.bin", 'filename="file.bin"'), ("/%C3%A4%20%23%3F%2541.txt", "filename*=UTF-8''%C3%A4%20#%3F%2541.txt")]


@pytest.mark.parametrize(("target", "parameter"), NAMES)
def test_the_name_to_save_under(site: Site, target: str, parameter: str) -> None:
    """RFC 6266, and RFC 8187 for what ASCII cannot say."""
    assert parameter in site.served.get(target).fields["content-disposition"]


ACCEPTS = [
    ("", "text/plain; charset=utf-8"),
    ("*/*", "text/plain; charset=utf-8"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ("application/json", "application/problem+json"),
    ("application/problem+json", "application/problem+json"),
    ("text/html;q=0.1, application/json;q=0.2", "application/problem+json"),
    ("text/*;q=0, */*", "application/problem+json"),
    ("image/png", "text/plain; charset=utf-8"),
    ("nonsense", "text/plain; charset=utf-8"),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPTS)
@pytest.mark.parametrize("target", ["/none", "/%zz"])
def test_an_error_comes_in_the_form_that_is_liked_best(site: Site, accept: str, media_type: str, target: str) -> None:
    """RFC 9110 section 12.5.1; RFC 9457 section 3 for the problem's members."""
    answer = site.served.get(target, *([f"Accept: {accept}"] if accept else []))
    assert answer.fields["content-type"] == media_type and "accept" in answer.fields["vary"].lower()
    if media_type == "application/problem+json":
        problem = json.loads(answer.content)
        assert problem["status"] == answer.status and {"type", "title", "detail"} <= set(problem)


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """RFC 9112 section 9.3.2."""
    requests = b"".join(get(f"Range: bytes={at}-{at}") for at in range(50))
    answers = exchange(site, requests, ("GET",) * 50)
    assert b"".join(answer.content for answer in answers) == CONTENT[:50]


def test_pipelined_head_get_and_an_error_do_not_run_into_each_other(site: Site) -> None:
    """RFC 9112 section 6.3: where each answer ends."""
    requests = req("HEAD", "/file.bin") + get(target="/none") + req("OPTIONS", "*") + get("If-None-Match: *") + get()
    answers = exchange(site, requests, ("HEAD", "GET", "OPTIONS", "GET", "GET"))
    assert [answer.status for answer in answers] == [200, 404, 204, 304, 200] and answers[-1].content == CONTENT


def test_what_is_sent_behind_a_closing_request_is_not_answered(site: Site) -> None:
    """RFC 9112 section 9.6."""
    (answer,) = exchange(site, get("Connection: close") + get(target="/none"), ("GET",))
    assert answer.status == 200


def test_a_client_that_ends_its_side_is_still_answered(site: Site) -> None:
    """RFC 9112 section 9.6: half a close is not a goodbye."""
    with site.served.connect() as client:
        client.send(get())
        client.socket.shutdown(1)
        assert client.answer().content == CONTENT
        assert client.rest() == b""


def test_half_a_head_is_not_a_request(site: Site) -> None:
    """RFC 9112 section 8: an incomplete head is never answered as if it were whole."""
    with site.served.connect() as client:
        client.send(get()[:-2])
        client.socket.shutdown(1)
        assert b" 200 " not in client.rest()


def test_a_head_may_come_a_byte_at_a_time(site: Site) -> None:
    """RFC 9112 section 2.2: the network's cuts mean nothing."""
    with site.served.connect() as client:
        for byte in get("Range: bytes=3-5"):
            client.send(bytes([byte]))
        assert client.answer().content == CONTENT[3:6]


def test_tls_on_a_clear_port_is_refused_at_once(site: Site) -> None:
    """A TLS client hello has no line end to wait for."""
    with site.served.connect() as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        assert client.answer().status == 400


def test_the_http2_preface_is_refused(site: Site) -> None:
    """RFC 9113 section 3.4: it is made so that HTTP/1 servers stop there."""
    with site.served.connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.answer().status in (400, 505)
        assert client.rest() == b""


def test_an_error_for_head_without_a_request_has_no_stray_content(site: Site) -> None:
    """RFC 9110 section 9.3.2: a HEAD that was no request is told so, and the connection ends."""
    with site.served.connect() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        assert client.head()[0] == 400
        client.rest()


def test_listings_do_not_run_what_a_file_is_called(tmp_path: Path) -> None:
    """A name is text: in HTML it is escaped, in a link it cannot become a scheme or another host."""
    for name in ("<script>alert(1)<", "javascript:alert(1)", "\"onclick='x", "//evil.example".replace("/", "\u2215")):
        (tmp_path / name).write_bytes(b"x")
    served = Served((str(tmp_path),), "127.0.0.1", None, None)
    try:
        page = served.get("/", "Accept: text/html").content.decode()
        assert "<script>alert" not in page
        for link in re.findall(r'href="([^"]*)"', page):
            with Client("127.0.0.1", served.port) as client:
                client.get(link if link.startswith("/") else "/" + link.removeprefix("./"))
                assert client.answer().status in (200, 400, 404), link
            assert not re.match(r"\s*(javascript|data):", link, re.IGNORECASE) and not link.startswith("//")
    finally:
        served.close()
