"""The fields and the content of responses over a socket: RFC 9110 sections 8, 9.3.2, 12.5.1, 14 and 15."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from asking import CONTENT, MODIFIED_DATE, SIZE, Site, exchange, get, req

from support.servers import Client, ServerProcess

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


MULTIPLE = [
    ",".join(f"{first}-{first + 1}" for first in range(0, 768, 3)),
    "0-0,5-5",
    "5-5,0-0",
    "-1,0-1",
    "0-0, 500-599 ,990-2000",
    "0-9,5000-6000,20-29",
]


@pytest.mark.parametrize("ranges", MULTIPLE)
def test_several_ranges_come_in_one_envelope_in_the_order_asked(site: Site, ranges: str) -> None:
    """RFC 9110 sections 14.6 and 15.3.7.2, RFC 2046 section 5.1.1; the length is exact."""
    answer = site.served.get("/file.bin", f"Range: bytes={ranges}")
    assert answer.status == 206 and "content-range" not in answer.fields
    found = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]{1,70})", answer.fields["content-type"])
    assert found is not None
    mark = b"--" + found[1].encode()
    assert int(answer.fields["content-length"]) == len(answer.content) and answer.content.endswith(mark + b"--\r\n")
    preamble, *pieces, _ = answer.content.split(b"\r\n" + mark)
    assert preamble == b""
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
    """Parse a range-spec naively."""
    first, _, last = spec.partition("-")
    if not first:
        return SIZE - int(last), SIZE - 1
    return (int(first), min(int(last), SIZE - 1)) if int(first) < SIZE else None


def test_a_directory_is_moved_to_its_slash_with_its_query(site: Site) -> None:
    """RFC 9110 section 10.2.2: a relative reference, so it is right behind a proxy that strips a prefix."""
    assert site.served.get("/a%20dir?sort=size").fields["location"] == "a%20dir/?sort=size"
    assert site.served.get("//a%20dir").fields["location"] == "a%20dir/"
    answer = site.served.get("/a%20dir?a=%0d%0aSet-Cookie:%20x")
    assert "set-cookie" not in answer.fields and "\r" not in answer.fields["location"]


NAMES = [("/file.bin", 'filename="file.bin"'), ("/%C3%A4%20%23%3F%2541.txt", "filename*=UTF-8''%C3%A4%20#%3F%2541.txt")]


@pytest.mark.parametrize(("target", "parameter"), NAMES)
def test_the_name_to_save_under(site: Site, target: str, parameter: str) -> None:
    """RFC 6266, and RFC 8187 for names that are not ASCII."""
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
def test_an_error_has_the_form_that_accept_prefers(site: Site, accept: str, media_type: str, target: str) -> None:
    """RFC 9110 section 12.5.1; RFC 9457 section 3 for the problem's members."""
    answer = site.served.get(target, *([f"Accept: {accept}"] if accept else []))
    assert answer.fields["content-type"] == media_type and "accept" in answer.fields["vary"].lower()
    if media_type == "application/problem+json":
        problem = json.loads(answer.content)
        assert problem["status"] == answer.status and {"type", "title", "detail"} <= set(problem)


def test_a_file_name_in_a_listing_is_never_markup(tmp_path: Path) -> None:
    """A name is escaped in HTML, and in a link it cannot become a scheme or another host."""
    for name in ("<script>alert(1)<", "javascript:alert(1)", "\"onclick='x", "//evil.example".replace("/", "\u2215")):
        (tmp_path / name).write_bytes(b"x")
    served = ServerProcess((str(tmp_path),))
    try:
        page = served.get("/", "Accept: text/html").content.decode()
        assert "<script>alert" not in page
        for link in re.findall(r'<a [^>]*href="([^"]*)"', page):
            with Client("127.0.0.1", served.port) as client:
                client.get(link if link.startswith("/") else "/" + link.removeprefix("./"))
                assert client.read_response().status in (200, 400, 404), link
            assert not re.match(r"\s*(javascript|data):", link, re.IGNORECASE) and not link.startswith("//")
    finally:
        served.close()
