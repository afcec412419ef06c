"""Several workers hand over as one process does: no connection is refused, and a failed upgrade changes nothing."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from freight.tools.sample import write_sample
from support.generations import Generations, check_uninterrupted
from support.load_balancer import agent_port, ask_agent
from support.processes import children, is_running
from support.raw_h2 import Http2Client
from support.servers import Client, Response, Serve, ServerProcess, wait_until
from support.worker_snapshots import FILE_BYTES, refuses, running, server_processes, stall_in_each

Begun = Callable[[ServerProcess], Client]
Follow = Callable[[ServerProcess], Generations]
BOTH = ("--workers", "2", "--shutdown-timeout", "1h", "--idle-timeout", "1h")


def whole(clients: list[Client], file: Path) -> bool:
    """Return whether each download completes."""
    content = file.read_bytes()
    return all(client.read_exactly(FILE_BYTES) == content for client in clients)


def ask_until_closed(client: Client) -> Response:
    """Request a range until a response says that it is the last. A worker drains a little after the hand-over."""
    while True:
        client.get("/", "Range: bytes=0-9")
        response = client.read_response()
        assert response.status == 206
        if response.fields.get("connection") == "close":
            return response


def test_60_downloads_and_a_loop_of_connections_survive_5_upgrades(
    tmp_path: Path, serve: Serve, follow: Follow
) -> None:
    """Two workers hand over to two, these to one, that one to two, and so on, by the config file."""
    write_sample(tmp_path / "site.csv", 64 << 20)
    config = tmp_path / "freight.toml"
    config.write_text("workers = 2\n")
    server = serve(tmp_path, "--config", str(config), "--shutdown-timeout", "10m", "--idle-timeout", "10m", admin=True)
    generations = follow(server)

    def hand_over(workers: int) -> None:
        config.write_text(f"workers = {workers}\n")
        successor = generations.hand_over()
        assert children(successor) == [] if workers == 1 else server_processes(successor, workers)

    check_uninterrupted([partial(hand_over, workers) for workers in (2, 1, 2, 2, 1)], server, tmp_path, 60)
    assert generations.end() == 0
    assert len(set(generations.pids)) == 6


def test_a_draining_server_finishes_and_ends(serve: Serve, file: Path, start_stalled: Begun, follow: Follow) -> None:
    """The successor has the other ports at once, and all slots. A signal to a worker changes nothing."""
    server = serve(file, *BOTH, "--haproxy-agent", "127.0.0.1:0", admin=True)
    agent, generations = agent_port(server), follow(server)
    clients = stall_in_each(server, start_stalled)
    for pid in server.pids()[1:]:
        os.kill(pid, signal.SIGUSR2)
    generations.hand_over()
    wait_until(lambda: server.gate()["running"] == 0, "the admin listener of the successor answers")
    for _ in range(20):
        assert server.gate()["running"] == 0
        assert server.ask_admin("/readyz").status == 200
        assert ask_agent(agent).startswith("up 100% ")
    assert server.status()["workers"] == {"wanted": 2, "running": 2, "restarts_total": 0}
    stall_in_each(server, start_stalled)
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    wait_until(lambda: server.process.poll() == 0, "the old ones have ended")
    assert len(running(server)) == 2
    os.kill(generations.pids[-1], signal.SIGTERM)
    wait_until(lambda: refuses(server) and refuses(server, agent) is False, "it drains, and the agent says so")


def test_a_connection_without_a_request_is_answered_by_the_worker_that_accepted_it(
    serve: Serve, file: Path, follow: Follow, clients: ExitStack
) -> None:
    """In each worker, over HTTP/2 too."""
    server = serve(file, *BOTH, admin=True)
    generations = follow(server)
    connected = [clients.enter_context(server.connect()) for _ in range(8)]
    late = [clients.enter_context(socket.create_connection((server.host, server.port), 20)) for _ in range(4)]
    wait_until(lambda: server.status()["connections"]["open"] == 12, "all were accepted")
    generations.hand_over()
    content = file.read_bytes()[:10]
    for client in connected:
        answer = ask_until_closed(client)
        assert answer.content == content
        assert client.read_to_end() == b""
    for connection in late:
        with Http2Client(server, made=connection) as speaker:
            assert speaker.get("/", ("range", "bytes=0-9")).content == content
            speaker.wait(lambda: len(speaker.goaways) == 2)
    assert generations.end() == 0


def test_queued_requests_keep_their_places(
    serve: Serve, file: Path, follow: Follow, start_stalled: Begun, clients: ExitStack
) -> None:
    server = serve(file, *BOTH, "--max-per-client", "1", "--queue-timeout", "1h", admin=True)
    generations = follow(server)
    first, waiting = start_stalled(server), [clients.enter_context(server.connect()) for _ in range(4)]
    for client in waiting:
        client.get()
    wait_until(lambda: server.gate()["waiting"] == 4, "they wait")
    generations.hand_over()
    content = file.read_bytes()
    assert first.read_exactly(FILE_BYTES) == content
    first.socket.close()
    with ThreadPoolExecutor(4) as pool:  # turns are not in the order of arrival here

        def take(client: Client) -> bytes:
            with client:
                return client.read_response().content

        assert all(taken == content for taken in pool.map(take, waiting))
    assert generations.end() == 0


@pytest.mark.parametrize("before", ["1", "2"])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("workers = 2\nhiden = true\n", "did you mean show-hidden?"),
        ("workers = 0\n", "workers"),
        ('workers = 2\nmemory = "1KiB"\n', "the least is"),
    ],
)
def test_a_successor_that_does_not_start_changes_nothing(
    tmp_path: Path, serve: Serve, file: Path, start_stalled: Begun, follow: Follow, before: str, line: str, why: str
) -> None:
    """The config file is invalid: the successor logs it, and the server continues. Once corrected, it works."""
    config = tmp_path / "freight.toml"
    config.write_text(f"workers = {before}\n")
    server = serve(file, "--config", str(config), "--shutdown-timeout", "1h", admin=True)
    generations = follow(server)
    clients = [start_stalled(server) for _ in range(4)]
    config.write_text(line)
    server.signal(signal.SIGUSR2)
    assert server.wait_for_log("upgrade failed").endswith(
        "the new process did not start serving; it ended with status 2"
    )
    server.wait_for_log("freight: ", why)
    assert (server.get("/", "Range: bytes=0-9").status, server.gate()["running"]) == (206, 4)
    config.write_text("workers = 2\n")
    generations.hand_over()
    wait_until(lambda: server.status()["workers"]["running"] == 2, "it is the new one that answers")
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert generations.end() == 0


def test_a_stop_during_a_hand_over_leaves_no_process(serve: Serve, file: Path) -> None:
    """The successor is stopped before it is ready."""
    server = serve(file, "--workers", "2")
    workers = children(server.pid)
    server.signal(signal.SIGUSR2)
    wait_until(lambda: len(children(server.pid)) == 3, "its successor is there")
    (successor,) = set(children(server.pid)) - set(workers)
    os.kill(successor, signal.SIGSTOP)
    server.signal(signal.SIGUSR2)
    server.wait_for_log("ignoring SIGUSR2")
    server.signal()
    assert server.wait() == 0
    wait_until(lambda: not is_running(successor), "its successor has ended")
    assert not any("handed over" in line for line in server.log)


def test_a_worker_that_dies_while_another_server_starts_is_replaced(
    serve: Serve, file: Path, start_stalled: Begun, follow: Follow
) -> None:
    """The new worker holds nothing that the successor waits for."""
    server = serve(file, *BOTH, admin=True)
    generations = follow(server)
    before = server_processes(server.pid)
    server.signal(signal.SIGUSR2)
    wait_until(lambda: len(children(server.pid)) == 4, "its successor is there")
    (successor,) = set(children(server.pid)) - set(before)
    generations.pids.append(successor)
    os.kill(successor, signal.SIGSTOP)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: server.status()["workers"]["restarts_total"] == 1, "it is replaced")
    wait_until(lambda: server.status()["workers"]["running"] == 2, "both serve")
    clients = stall_in_each(server, start_stalled)
    os.kill(successor, signal.SIGCONT)
    server.wait_for_log(f"handed over to process {successor}")
    generations.hand_over()
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert generations.end() == 0


def test_after_a_hand_over_the_second_signal_ends_the_draining_server_at_once(
    serve: Serve, file: Path, start_stalled: Begun, follow: Follow
) -> None:
    """A service manager that stops the service sends the first signal to all processes."""
    server = serve(file, *BOTH, admin=True)
    generations = follow(server)
    clients = stall_in_each(server, start_stalled)
    old = server.pids()
    generations.hand_over()
    for pid in old[:3]:
        os.kill(pid, signal.SIGTERM)
    for client in clients:
        client.read_exactly(1 << 20)
    server.signal()
    assert generations.end() == 128 + signal.SIGTERM


def test_draining_workers_finish_without_their_supervisor(
    serve: Serve, file: Path, start_stalled: Begun, follow: Follow
) -> None:
    """The signal that they get when it dies aborts nothing."""
    server = serve(file, *BOTH, admin=True)
    generations = follow(server)
    clients = stall_in_each(server, start_stalled)
    generations.hand_over()
    server.signal(signal.SIGKILL)
    assert server.process.wait(20) == -signal.SIGKILL
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert generations.end() == -signal.SIGKILL


def test_descriptors_do_not_accumulate(serve: Serve, file: Path, follow: Follow) -> None:
    """The fourth successor and its workers have as many as the first one and its workers."""
    server = serve(file, *BOTH, admin=True)
    generations = follow(server)

    def descriptors(pid: int) -> list[int]:
        wait_until(
            lambda: not is_running(generations.pids[-2]) or server.process.poll() is not None,
            "the predecessor has ended",
        )
        return [len(os.listdir(f"/proc/{each}/fd")) for each in (pid, *server_processes(pid))]

    first = descriptors(generations.hand_over())
    for _ in range(3):
        last = generations.hand_over()
    wait_until(lambda: all(now <= then for now, then in zip(descriptors(last), first, strict=True)), "they are as many")
    assert generations.end() == 0
