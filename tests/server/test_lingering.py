"""A connection behind its answer: the tail is the client's to take, and idle ones make room for others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving import Client, Served, assert_nothing_for, until

Serve = Callable[..., Served]

SIZE = 1_000_000
TAIL = 16_000  # far more than the client's kernel takes, and less than the server's may hold


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(SIZE))
    return path


def take_all_but_the_tail(server: Served, client: Client) -> int:
    """Read until the server has handed over the last byte; how many are left to read, in its kernel for the most."""
    client.take(SIZE - TAIL)
    assert server.await_log("GET /").endswith(" complete")
    return TAIL


@pytest.mark.parametrize("fields", [("Connection: close",), ()])
def test_a_tail_that_is_taken_slowly_is_not_cut(file: Path, serve: Serve, fields: tuple[str, ...]) -> None:
    """The server has handed over all of it long before, and the idle timeout passes twice meanwhile."""
    server = serve(file, "--idle-timeout", "1s")
    with server.connect(receive_bytes=4096) as client:
        client.get("/", *fields)
        assert client.head()[0] == 200
        left = take_all_but_the_tail(server, client)
        for _ in range(6):  # each look of the server's at its clients finds that this one has taken more
            left -= len(client.take(TAIL // 8))
            assert_nothing_for(0.4, lambda: len(server.log) > 1, "more was logged")
        assert client.take(left) == bytes(left)


@pytest.mark.parametrize("fields", [("Connection: close",), ()])
def test_a_client_that_never_takes_the_tail_is_reset_after_the_idle_timeout(
    file: Path, serve: Serve, fields: tuple[str, ...]
) -> None:
    server = serve(file, "--idle-timeout", "1s")
    idle = server.descriptors()
    with server.connect(receive_bytes=4096) as client:
        client.get("/", *fields)
        client.head()
        take_all_but_the_tail(server, client)
        until(lambda: server.descriptors() == idle, "the connection was closed")
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_where_the_memory_is_spent_on_idle_connections_the_oldest_make_room(
    file: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(file, "--memory", "1MiB", "--idle-timeout", "1h")
    # More than a budget of 1 MiB has room for.
    crowd = [clients.enter_context(server.connect()) for _ in range(400)]
    with server.connect() as fresh:
        fresh.get("/", "Range: bytes=0-9")
        assert fresh.answer().content == bytes(10)
    assert crowd[0].rest() == b""  # nothing was asked of it, and it is closed in good order
    gone = [client for client in crowd if is_closed(client)]
    assert gone == crowd[: len(gone)]


def is_closed(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1) == b""
    except BlockingIOError:
        return False
