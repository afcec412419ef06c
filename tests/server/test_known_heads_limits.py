"""Repeated heads of a full, a draining or an indebted client's server, and of clients that read nothing."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from freight.flow.transfers import SMALL_BYTES
from freight.memory.costs import WINDOW_MIN
from support.http2_rules import FLOOD_PARTS, HELLO, rapid_reset
from support.lanes import Lanes
from support.memory_gauges import send_queues
from support.raw_h2 import send_until_closed
from support.repeats import Asker, check_alike, content_of, read_answer
from support.servers import HUGE_BYTES, Serve, ServerProcess, wait_until

SMALL = 1_000_000  # bytes: small enough for the express lane, and more than all buffers on the path take
LARGE = 2_000_000
CONTENT = os.urandom(LARGE)
HEAD = ("/large.bin", f"Range: bytes=7-{6 + SMALL_BYTES}")
WANTED = CONTENT[7 : 7 + SMALL_BYTES]


@pytest.fixture
def root(huge: Path) -> Path:
    """Return a directory with a huge, a large and a small file."""
    huge.with_name("large.bin").write_bytes(CONTENT)
    huge.with_name("small.bin").write_bytes(bytes(SMALL))
    return huge.parent


def make_known(server: ServerProcess, *head: str) -> None:
    """Ask a few times, on a connection of its own."""
    with closing(Asker(server)) as asker:
        assert len({asker.ask(*head) for _ in range(3)}) == 1


def test_a_repeat_waits_behind_the_requests_that_wait(serve: Serve, root: Path, clients: ExitStack) -> None:
    """All slots of both lanes are taken."""
    lanes = Lanes(serve, root, clients)
    make_known(lanes.server, *HEAD)
    large = [lanes.ask("/huge.bin", 0, waiting) for waiting in (0, 0, 1)]
    small = [lanes.ask("/small.bin", express, 1) for express in (1, 2)]
    first = lanes.ask("/small.bin", 2, 2)
    repeated = lanes.ask(HEAD[0], 2, 3, HEAD[1])
    for client in (*small, *large):
        client.socket.close()
    assert first.read_response().content == bytes(SMALL)
    assert content_of(read_answer(repeated)) == WANTED


def test_of_one_client_no_more_whole_files_are_sent_at_once_than_it_may_have(serve: Serve, root: Path) -> None:
    server = serve(root, "--max-per-client", "1", admin=True)
    make_known(server, "/large.bin")
    with server.start_download("/huge.bin") as stalled, server.connect() as client:
        client.get("/large.bin")
        wait_until(lambda: server.gate()["waiting"] == 1, "it waits")
        check_alike(server, HEAD[0], [HEAD[1:]])  # a small one does not
        assert server.gate()["waiting"] == 1
        stalled.socket.close()
        assert content_of(read_answer(client)) == CONTENT


def test_a_server_that_stops_answers_what_has_come_and_closes(serve: Serve, root: Path, clients: ExitStack) -> None:
    """It finds the signal and the requests at the same time."""
    server = serve(root, "--idle-timeout", "10m", "--keep-alive-timeout", "10m")
    connected = [clients.enter_context(server.connect()) for _ in range(5)]
    for client in connected * 3:
        client.get(*HEAD)
        assert content_of(read_answer(client)) == WANTED
    server.signal(signal.SIGSTOP)
    for client in connected:
        client.get(*HEAD)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    for client in connected:
        assert content_of(read_answer(client)) == WANTED
        assert client.read_to_end() == b""
    assert server.wait() == 0
    assert sum(line.endswith(" complete") for line in server.log) == 4 * len(connected)


def test_while_a_server_drains_a_connection_that_repeats_is_closed(serve: Serve, root: Path) -> None:
    server = serve(root)
    with server.start_download("/huge.bin") as running, server.connect() as client:
        for _ in range(3):
            client.get(*HEAD)
            assert content_of(read_answer(client)) == WANTED
        server.signal(signal.SIGTERM)
        server.wait_for_log("stopping")
        assert client.read_to_end() == b""
        assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    assert server.wait() == 0


def test_a_client_in_debt_gets_the_same_answers(serve: Serve, root: Path) -> None:
    server = serve(root)
    with closing(Asker(server)) as asker:
        before = asker.ask(*HEAD)
        for _ in range(2):
            send_until_closed(server, HELLO, map(rapid_reset("/huge.bin"), range(FLOOD_PARTS)))
            assert {asker.ask(*HEAD) for _ in range(3)} == {before}
        with closing(Asker(server)) as other:
            assert other.ask(*HEAD) == other.ask_as_new(*HEAD) == before


@pytest.mark.parametrize("options", [(), ("--tls-self-signed",)], ids=["clear", "tls"])
def test_a_repeat_that_its_client_has_not_read_is_not_logged_as_complete(
    serve: Serve, root: Path, options: tuple[str, ...]
) -> None:
    server = serve(root, *options, admin=True)
    make_known(server, *HEAD)
    server.clear_log_when_written()
    before = server.status()["transfers"]
    with server.connect(receive_bytes=4096) as client:
        client.get(*HEAD)

        def is_sent() -> bool:
            status = server.status()
            sent = status["transfers"]["bytes_total"] - before["bytes_total"]
            return (sent, status["admission"]["express_running"]) == (SMALL_BYTES, 0)

        wait_until(is_sent, "the server's kernel has all of it")
        assert not server.log
        client.reset()
    line = server.wait_for_log("GET /large.bin")
    assert line.endswith(" peer-gone")
    sent = re.search(rf" (\d+)/{SMALL_BYTES} ", line)
    assert sent is not None and int(sent[1]) < SMALL_BYTES
    after = server.status()["transfers"]
    assert after["completed_total"] == before["completed_total"]
    assert after["aborted_total"]["peer-gone"] == before["aborted_total"]["peer-gone"] + 1


@pytest.mark.parametrize("size", [SMALL_BYTES, 100_000, 250_000])
def test_clients_that_repeat_and_read_nothing_hold_no_more_than_the_memory(
    serve: Serve, root: Path, clients: ExitStack, size: int
) -> None:
    memory = 1 << 20
    server = serve(root, "--memory", "1MiB", "--idle-timeout", "10m", "--queue-timeout", "10m", admin=True)
    head = ("/large.bin", f"Range: bytes=7-{6 + size}")
    make_known(server, *head)
    connected = []
    for _ in range(40):
        client = clients.enter_context(server.connect(receive_bytes=4096))
        client.get(*head)
        client.get(*head)
        connected.append(client)
        assert sum(send_queues(server)) <= memory
    server.ask_admin("/status")  # what has come so far has been read
    assert 0 < sum(send_queues(server)) <= memory
    assert server.status()["memory"]["kernel_send_bytes"] <= memory
    with ThreadPoolExecutor(len(connected)) as pool:  # those that wait have their turn when others have read
        for found in pool.map(lambda client: [content_of(read_answer(client)) for _ in range(2)], connected):
            assert found == [CONTENT[7 : 7 + size]] * 2


@pytest.mark.parametrize("options", [(), ("--tls-self-signed",)], ids=["clear", "tls"])
@pytest.mark.parametrize("size", [SMALL_BYTES, 180_000, SMALL])
def test_a_client_that_repeats_and_reads_nothing_keeps_no_more_than_another(
    serve: Serve, root: Path, clients: ExitStack, size: int, options: tuple[str, ...]
) -> None:
    """A window, and what TLS and tiny packets take besides: so the others find memory for theirs."""
    server = serve(root, "--memory", "4MiB", "--idle-timeout", "10m", "--queue-timeout", "10m", *options, admin=True)
    head = ("/large.bin", f"Range: bytes=7-{6 + size}")
    make_known(server, *head)
    connected = [clients.enter_context(server.connect(receive_bytes=4096)) for _ in range(25)]
    for client in connected:
        client.get("/large.bin", "Range: bytes=7-20")
        client.read_response()
        client.get(*head)
    server.ask_admin("/status")  # what has come so far has been read
    assert max(send_queues(server)) <= 2 * WINDOW_MIN
    assert server.get("/large.bin").content == CONTENT
