"""A connection after its answer: the client can read the tail, and idle connections are evicted for new ones."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.servers import Client, Serve, ServerProcess, assert_nothing_for, wait_until

SIZE = 1_000_000
TAIL = 16_000  # bytes: far more than the client's kernel takes, and less than the server's may hold


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(SIZE))
    return path


def take_all_but_the_tail(server: ServerProcess, client: Client) -> int:
    """Read until the server's kernel has the last byte. Return how many bytes are left to read."""
    client.read_exactly(SIZE - TAIL)
    wait_until(lambda: server.gate()["running"] == 0, "the server's kernel has the last byte")
    return TAIL


@pytest.mark.parametrize("fields", [("Connection: close",), ()])
def test_a_tail_that_is_read_slowly_is_not_truncated(file: Path, serve: Serve, fields: tuple[str, ...]) -> None:
    """The server's kernel has had all of it for long, and the idle timeout passes twice meanwhile."""
    server = serve(file, "--idle-timeout", "1s", "--keep-alive-timeout", "1s", admin=True)
    with server.connect(receive_bytes=4096) as client:
        client.get("/", *fields)
        assert client.read_head()[0] == 200
        left = take_all_but_the_tail(server, client)
        for _ in range(6):  # each sweep of the server finds that the client has read more
            left -= len(client.read_exactly(TAIL // 8))
            assert_nothing_for(0.4, lambda: len(server.log) > 1, "more was logged")
        assert client.read_exactly(left) == bytes(left)
        assert server.wait_for_log("GET /").endswith(" complete")


@pytest.mark.parametrize("fields", [("Connection: close",), ()])
def test_a_client_that_half_closes_receives_the_whole_answer(file: Path, serve: Serve, fields: tuple[str, ...]) -> None:
    """As ``nc -N`` does: it closes its sending side after the request, and reads on (RFC 9112 section 9.6)."""
    server = serve(file, "--idle-timeout", "2s", admin=True)
    with server.connect(receive_bytes=4096) as client:
        client.get("/", *fields)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_head()[0] == 200
        left = take_all_but_the_tail(server, client)
        for _ in range(6):
            left -= len(client.read_exactly(TAIL // 8))
            assert_nothing_for(0.4, lambda: len(server.log) > 1, "more was logged")
        assert client.read_exactly(left) == bytes(left)
        assert server.wait_for_log("GET /").endswith(" complete")
        assert client.read_to_end() == b""


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("fields", [("Connection: close",), ()])
def test_a_client_that_never_reads_the_tail_is_reset_after_the_idle_timeout(
    file: Path, serve: Serve, fields: tuple[str, ...], half_closed: bool
) -> None:
    server = serve(file, "--idle-timeout", "1s", "--pause-timeout", "none", admin=True)
    idle = server.descriptors()
    with server.connect(receive_bytes=4096) as client:
        client.get("/", *fields)
        if half_closed:
            client.socket.shutdown(socket.SHUT_WR)
        client.read_head()
        take_all_but_the_tail(server, client)
        wait_until(lambda: server.descriptors() == idle, "the connection was closed")
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    assert server.wait_for_log("GET /").endswith(" stalled")


def test_the_oldest_idle_connections_are_evicted_when_memory_is_short(
    file: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(file, "--memory", "1MiB", "--idle-timeout", "1h")
    # More than fit a budget of 1 MiB.
    connections = [clients.enter_context(server.connect()) for _ in range(400)]
    with server.connect() as fresh:
        fresh.get("/", "Range: bytes=0-9")
        assert fresh.read_response().content == bytes(10)
    assert connections[0].read_to_end() == b""  # it had no request, and is closed in order
    gone = [client for client in connections if is_closed(client)]
    assert gone == connections[: len(gone)]


def is_closed(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1) == b""
    except BlockingIOError:
        return False
