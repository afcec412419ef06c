"""--request-id over real sockets: each response has an id, and only trusted proxies may choose it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess

OPTIONS = ("--request-id", "--log-format", "json")
MADE = re.compile(r"[0-9a-f]{32}")
GIVEN = "Root=1-67891233-abcdef012345678912345678"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("hello")
    return tmp_path


def logged(server: ServerProcess, words: str) -> str:
    """Return the id of the logged request that has these words."""
    found: str = json.loads(server.wait_for_log(words))["request_id"]
    return found


def test_each_response_of_a_connection_has_another_id_which_is_logged(serve: Serve, site: Path) -> None:
    server = serve(site, *OPTIONS)
    ids = set()
    with server.connect() as client:
        for target in ("/a.txt", "/none", "/a.txt?x", "/"):
            client.get(target, f"X-Request-Id: {GIVEN}")  # of no proxy
            found = client.read_response().fields["x-request-id"]
            assert MADE.fullmatch(found)
            assert logged(server, f'"target": "{target}"') == found
            ids.add(found)
    assert len(ids) == 4


def test_a_response_to_what_is_no_request_has_an_id(serve: Serve, site: Path) -> None:
    server = serve(site, *OPTIONS)
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # without Host
        answer = client.read_response()
    assert answer.status == 400 and MADE.fullmatch(answer.fields["x-request-id"])
    assert logged(server, "refused") == answer.fields["x-request-id"]


def test_a_trusted_proxy_chooses_the_id_if_it_is_well_formed(serve: Serve, site: Path) -> None:
    server = serve(site, *OPTIONS, "--trusted-proxy", "127.0.0.1")
    for values in ((GIVEN,), ("a b",), ("a" * 129,), ("a", "b"), ('"><script>',), ()):
        found = [server.get("/a.txt", *(f"X-Request-Id: {value}" for value in values)).fields["x-request-id"]]
        with Http2Client(server) as client:
            fields = client.get("/a.txt", *(("x-request-id", value) for value in values)).fields
        found.append(fields["x-request-id"])
        assert found == [GIVEN, GIVEN] if values == (GIVEN,) else all(map(MADE.fullmatch, found))


def test_the_address_of_a_stranger_chooses_nothing(serve: Serve, site: Path) -> None:
    server = serve(site, *OPTIONS, "--trusted-proxy", "192.0.2.1")
    assert MADE.fullmatch(server.get("/a.txt", f"X-Request-Id: {GIVEN}").fields["x-request-id"])


def test_without_the_option_there_is_no_id(serve: Serve, site: Path) -> None:
    server = serve(site, "--log-format", "json", "--trusted-proxy", "127.0.0.1")
    assert "x-request-id" not in server.get("/a.txt", f"X-Request-Id: {GIVEN}").fields
    assert logged(server, "a.txt") == ""
