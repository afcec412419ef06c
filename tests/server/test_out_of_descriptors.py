"""With no descriptor left, a request gets 503 with Retry-After, and nothing that has started is cut."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess


def leave_descriptors(server: ServerProcess, count: int) -> None:
    """Let the server open no more than ``count`` further descriptors."""
    used = {int(number) for number in os.listdir(f"/proc/{server.pid}/fd")}
    free = (number for number in range(len(used) + count + 1) if number not in used)
    least_forbidden = [next(free) for _ in range(count + 1)][-1]
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (least_forbidden, hard))


@pytest.mark.parametrize("left", range(4))
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_listing_is_whole_or_503_with_any_number_of_descriptors_left(
    tmp_path: Path, serve: Serve, accept: str, left: int
) -> None:
    """os.scandir needs a descriptor besides that of the directory, after the head was sent."""
    names = [f"file-{number}" for number in range(100)]
    for name in names:
        (tmp_path / name).touch()
    server = serve(tmp_path, "--workers", "1")
    with server.connect() as client:
        client.get("/nothing-here")
        assert client.read_response().status == 404
        leave_descriptors(server, left)
        client.get("/", f"Accept: {accept}")
        answer = client.read_response()
    if left < 2:
        assert (answer.status, "retry-after" in answer.fields) == (503, True)
    else:
        assert answer.status == 200 and all(f'"{name}"'.encode() in answer.content for name in names)
    server.wait_for_log('"GET /"', str(answer.status), "complete")


def test_streams_of_http2_get_503_as_well(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "file").write_bytes(b"content")
    server = serve(tmp_path, "--workers", "1")
    with Http2Client(server) as client:
        assert client.get("/nothing-here").status == 404
        leave_descriptors(server, 0)
        for target in ("/file", "/"):
            answer = client.get(target)
            assert (answer.status, "retry-after" in answer.fields) == (503, True)
        leave_descriptors(server, 1)
        assert client.get("/").status == 503
        assert client.get("/file").content == b"content"


def test_a_listing_of_mounts_alone_is_503_as_well(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "data").mkdir()
    server = serve("--mount", f"/a/b={tmp_path / 'data'}", "--workers", "1")
    with ExitStack() as clients:
        client = clients.enter_context(server.connect())
        client.get("/nothing-here")
        assert client.read_response().status == 404
        leave_descriptors(server, 0)
        client.get("/a/")
        answer = client.read_response()
        assert (answer.status, "retry-after" in answer.fields) == (503, True)
