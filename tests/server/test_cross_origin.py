"""Responses to pages of other origins, by real requests: files, ranges, errors, a full queue, redirects, preflights."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.hanging_fs import hanging_fs
from support.raw_h2 import Http2Client
from support.servers import Response, Serve, ServerProcess

MAPS = "https://maps.example"
PREFLIGHT = (f"Origin: {MAPS}", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    return tmp_path


def options(server: ServerProcess, target: str, *fields: str) -> Response:
    with server.connect() as client:
        client.get(target, *fields, method="OPTIONS")
        return client.read_response()


ANSWERS: list[tuple[str, tuple[str, ...], int]] = [
    ("/a.bin", (), 200),
    ("/a.bin", ("Range: bytes=0-9",), 206),
    ("/a.bin", ("Range: bytes=2000-",), 416),
    ("/a.bin", ('If-Match: "other"',), 412),
    ("/a.bin", ("If-None-Match: *",), 304),
    ("/nothing", (), 404),
    ("/deep", (), 308),
    ("/%zz", (), 400),
    ("/", (), 200),
]


@pytest.mark.parametrize("allowed", ["*", f"{MAPS},http://localhost:3000"])
def test_every_response_allows_the_origin(serve: Serve, folder: Path, allowed: str) -> None:
    server, other = serve(folder, "--cors-origin", allowed), serve(folder)
    for target, fields, status in ANSWERS:
        response = server.get(target, f"Origin: {MAPS}", *fields)
        assert response.status == status, target
        assert response.fields["access-control-allow-origin"] == ("*" if allowed == "*" else MAPS), target
        assert "content-range" in response.fields["access-control-expose-headers"].lower(), target
        assert ("Origin" in response.fields.get("vary", "")) == (allowed != "*"), target
        assert "access-control-allow-origin" not in other.get(target, f"Origin: {MAPS}", *fields).fields, target


def test_a_rejected_request_tells_the_page_when_to_try_again(serve: Serve, folder: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(8 << 20))
    server = serve(folder, "--cors-origin", MAPS, "--max-per-client", "1", "--queue-size", "0")
    with server.start_download("/big.bin"):
        response = server.get("/big.bin", f"Origin: {MAPS}")
    assert response.status == 503
    assert response.fields["access-control-allow-origin"] == MAPS
    assert "retry-after" in response.fields["access-control-expose-headers"].lower()


def test_a_disk_that_fails_is_no_secret_to_the_page(serve: Serve, folder: Path) -> None:
    """A page without permission sees no difference between this and a server that is gone."""
    with hanging_fs(folder / "deep"):
        server = serve(folder, "--cors-origin", MAPS)
        response = server.get("/deep/broken", f"Origin: {MAPS}")
        with Http2Client(server) as client:
            multiplexed = client.get("/deep/broken", ("origin", MAPS))
            assert client.get("/a.bin").status == 200
        server.wait_for_log("/deep/broken", "500", "error: Input/output error", count=2)
        for each in (response, multiplexed):
            assert each.status == 500
            assert each.fields["access-control-allow-origin"] == MAPS
            assert "Origin" in each.fields["vary"] and each.fields["cache-control"] == "no-store"
            assert b"The server cannot read this file." in each.content


@pytest.mark.parametrize("target", ["/a.bin", "/nothing", "/deep"])
def test_a_preflight_succeeds_whatever_its_target_is(serve: Serve, folder: Path, target: str) -> None:
    server = serve(folder, "--cors-origin", MAPS)
    response = options(server, target, *PREFLIGHT)
    assert response.status == 204
    assert response.fields["access-control-allow-origin"] == MAPS
    assert "range" in response.fields["access-control-allow-headers"].lower()
    other = options(server, target, "Origin: https://other.example", *PREFLIGHT[1:])
    assert "access-control-allow-origin" not in other.fields


def test_http2_has_the_same_fields(serve: Serve, folder: Path) -> None:
    server = serve(folder, "--cors-origin", MAPS)
    with Http2Client(server) as client:
        response = client.get("/a.bin", ("origin", MAPS))
    assert response.fields["access-control-allow-origin"] == MAPS
