"""freight.asgi and freight.wsgi under real servers: the rules of HTTP, honest endings, and the budget."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import CONTENT, lay_out
from selections import SELECTIONS

from support.app_servers import COMMANDS, UNBOUNDED, WSGI, app_server
from support.servers import IncompleteResponse, wait_until

BIG_BYTES = 64 * 1024 * 1024
ALL = [pytest.param(name, marks=pytest.mark.needs(name)) for name in COMMANDS]
SERVERS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in COMMANDS if name not in UNBOUNDED]
ASYNC = [pytest.param(name, marks=pytest.mark.needs(name)) for name in COMMANDS if name not in WSGI | UNBOUNDED]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("above"))


@pytest.fixture
def big(root: Path) -> Iterator[Path]:
    path = root / "big.bin"
    with path.open("wb") as file:
        file.truncate(BIG_BYTES)
    yield path
    path.unlink()


@pytest.mark.parametrize("name", ALL)
def test_ranges_and_conditions_are_those_of_the_server(name: str, root: Path) -> None:
    """The table of the server's own conformance test, RFC 9110 sections 13 and 14."""
    wrong = {}
    with app_server(name, ROOT=str(root)) as server:
        etag = server.get("/file.bin").fields["etag"].encode()
        for rule, request, status in SELECTIONS:
            with server.connect() as client:
                client.send(request.replace(b"{etag}", etag))
                method = "HEAD" if request.startswith(b"HEAD") else "GET"
                answer = client.read_response(method)
            if answer.status != status:
                wrong[rule] = answer.status
            if status == 206 and "content-range" in answer.fields:
                place = re.fullmatch(r"bytes (\d+)-(\d+)/1000", answer.fields["content-range"])
                assert place is not None and answer.content == CONTENT[int(place[1]) : int(place[2]) + 1]
            if status == 416:
                assert answer.fields["content-range"] == "bytes */1000"
    assert wrong == {}


@pytest.mark.parametrize("name", SERVERS)
def test_a_file_that_changes_never_looks_complete(name: str, root: Path, big: Path) -> None:
    with app_server(name, ROOT=str(root)) as server, server.connect(receive_bytes=4096) as client:
        client.get("/big.bin")
        client.read_head()
        os.truncate(big, BIG_BYTES // 2)
        with pytest.raises((IncompleteResponse, ConnectionResetError)):
            client.read_exactly(BIG_BYTES)


@pytest.mark.parametrize("name", ASYNC)
def test_stalled_clients_take_what_is_stated(name: str, root: Path, big: Path) -> None:
    """A download is at most 128 KiB of the budget; the process grows by no more."""
    with app_server(name, ROOT=str(root)) as server:
        server.get("/big.bin")
        before = server.private_bytes()
        clients = [server.connect(receive_bytes=4096) for _ in range(30)]
        for client in clients:
            client.get("/big.bin")
        for client in clients:
            client.read_head()
        last = 0

        def settled() -> bool:
            nonlocal last
            last, was = server.private_bytes(), last
            return last == was

        wait_until(settled, "the server has filled its buffers")
        assert last - before < len(clients) * 128 * 1024 + 4_000_000
        for client in clients:
            client.socket.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_request_beyond_the_budget_gets_503_and_may_run_when_a_client_has_gone(
    name: str, root: Path, big: Path
) -> None:
    with app_server(name, ROOT=str(root), MEMORY="1MiB", QUEUE_TIMEOUT="1") as server:
        clients = [server.connect(receive_bytes=4096) for _ in range(7)]
        for client in clients:
            client.get("/big.bin")
            assert client.read_head()[0] == 200
        refused = server.get("/big.bin")
        assert refused.status == 503 and 1 <= int(refused.fields["retry-after"]) <= 600
        assert server.get("/file.bin").content == CONTENT  # small answers have their share
        for client in clients:
            client.reset()
        wait_until(lambda: server.get("/big.bin").status == 200, "the place of a client that has gone is free")


@pytest.mark.parametrize("name", ASYNC)
def test_a_client_that_takes_nothing_is_disconnected(name: str, root: Path, big: Path) -> None:
    with app_server(name, ROOT=str(root), IDLE_TIMEOUT="1", MEMORY="1MiB", QUEUE_TIMEOUT="20") as server:
        stalled = [server.connect(receive_bytes=4096) for _ in range(7)]
        for client in stalled:
            client.get("/big.bin")
            client.read_head()
        assert server.get("/big.bin").status == 200
        with pytest.raises((IncompleteResponse, ConnectionResetError)):
            stalled[0].read_exactly(BIG_BYTES)
        for client in stalled:
            client.socket.close()


@pytest.mark.needs("granian")
def test_granian_sends_whole_files_itself(root: Path, big: Path) -> None:
    with app_server("granian", ROOT=str(root), PATHSEND="1") as server:
        assert server.get("/file.bin").content == CONTENT
        assert server.get("/big.bin").content == bytes(BIG_BYTES)
        assert server.get("/file.bin", "Range: bytes=1-2").content == CONTENT[1:3]
