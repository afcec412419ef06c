"""Python's own clients."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from programs import make_content

from support.servers import Serve

SIZE = 9 * 1024 * 1024


@pytest.mark.parametrize("options", [(), ("--chunked",)])
def test_urllib_downloads_a_file(serve: Serve, there: Path, options: tuple[str, ...]) -> None:
    """By length and by chunks."""
    expected = make_content(there / "file.bin", SIZE)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{serve(there / 'file.bin', *options).port}/") as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == expected


def test_urllib_follows_a_directory_to_its_slash(serve: Serve, there: Path) -> None:
    """308, with the query kept."""
    (there / "a dir").mkdir()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{serve(there).port}/a%20dir?sort=size") as answer:
        assert answer.url.endswith("/a%20dir/?sort=size") and answer.status == 200


def test_http_client_keeps_its_connection_through_every_kind_of_response(serve: Serve, there: Path) -> None:
    """RFC 9112 section 6.3: 200, 206, 304, 404, 405, 416 and a listing all end where they say."""
    make_content(there / "file.bin", SIZE)
    connection = http.client.HTTPConnection("127.0.0.1", serve(there).port, timeout=20)
    kinds = [
        ("GET", "/file.bin", {}, 200),
        ("HEAD", "/file.bin", {}, 200),
        ("GET", "/file.bin", {"Range": "bytes=1-5"}, 206),
        ("GET", "/file.bin", {"Range": "bytes=1-5,9-20"}, 206),
        ("GET", "/file.bin", {"If-None-Match": "*"}, 304),
        ("GET", "/none", {}, 404),
        ("DELETE", "/file.bin", {}, 405),
        ("GET", "/file.bin", {"Range": f"bytes={SIZE}-"}, 416),
        ("GET", "/", {"Accept": "application/json"}, 200),
        ("OPTIONS", "/file.bin", {}, 204),
    ]
    connection.connect()
    kept = connection.sock
    for method, target, fields, status in kinds * 2:
        connection.request(method, target, headers=fields)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert connection.sock is kept, "the same connection"
    connection.close()
