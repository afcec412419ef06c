"""Several workers hand over as one process does: nobody is refused, nothing is cut, who fails changes nothing."""

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

from balancer import agent_port, ask_agent
from crew_looks import FILE_BYTES, begin_in_each, crew, refuses, running
from freight.sample import write_sample
from lineages import Lineage, live_through
from processes import children, runs
from serving import Client, Served, until
from speaking import Speaker

Serve = Callable[..., Served]
Begun = Callable[[Served], Client]
Found = Callable[[Served], Lineage]
BOTH = ("--workers", "2", "--drain", "1h", "--idle-timeout", "1h")


def whole(clients: list[Client], file: Path) -> bool:
    """Whether each of them has the file in the end."""
    content = file.read_bytes()
    return all(client.take(FILE_BYTES) == content for client in clients)


def test_60_downloads_and_a_loop_of_connections_live_through_5_upgrades(
    tmp_path: Path, serve: Serve, found: Found
) -> None:
    """Two workers hand over to two, these to one, that one to two, and so on: the file of settings says how many."""
    write_sample(tmp_path / "site.csv", 64 << 20)
    config = tmp_path / "freight.toml"
    config.write_text("workers = 2\n")
    server = serve(tmp_path, "--config", str(config), "--drain", "10m", "--idle-timeout", "10m", admin=True)
    lineage = found(server)

    def hand_over(workers: int) -> None:
        config.write_text(f"workers = {workers}\n")
        successor = lineage.hand_over()
        assert children(successor) == [] if workers == 1 else crew(successor, workers)

    live_through([partial(hand_over, workers) for workers in (2, 1, 2, 2, 1)], server, tmp_path, 60)
    assert lineage.end() == 0
    assert len(set(lineage.pids)) == 6


def test_who_drains_finishes_and_has_ended_then(serve: Serve, file: Path, begun: Begun, found: Found) -> None:
    """The other ports are the successor's at once, and it has all slots for itself. A signal to a worker is nothing."""
    server = serve(file, *BOTH, "--agent", "127.0.0.1:0", admin=True)
    agent, lineage = agent_port(server), found(server)
    clients = begin_in_each(server, begun)
    for pid in server.pids()[1:]:
        os.kill(pid, signal.SIGUSR2)
    lineage.hand_over()
    until(lambda: server.gate()["running"] == 0, "who answered for the old ones has heard of it")
    for _ in range(20):
        assert server.gate()["running"] == 0
        assert server.ask_admin("/readyz").status == 200
        assert ask_agent(agent).startswith("up 100% ")
    assert server.status()["workers"] == {"wanted": 2, "running": 2, "restarts_total": 0}
    begin_in_each(server, begun)
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    until(lambda: server.process.poll() == 0, "the old ones have ended")
    assert len(running(server)) == 2
    os.kill(lineage.pids[-1], signal.SIGTERM)
    until(lambda: refuses(server) and refuses(server, agent) is False, "it drains, and the agent says so")


def test_who_had_connected_and_not_asked_yet_is_answered_by_who_accepted_it(
    serve: Serve, file: Path, found: Found, clients: ExitStack
) -> None:
    """In each of the workers, and by HTTP/2 too."""
    server = serve(file, *BOTH, admin=True)
    lineage = found(server)
    connected = [clients.enter_context(server.connect()) for _ in range(8)]
    late = [clients.enter_context(socket.create_connection((server.host, server.port), 20)) for _ in range(4)]
    until(lambda: server.status()["connections"]["open"] == 12, "all were accepted")
    lineage.hand_over()
    content = file.read_bytes()[:10]
    for client in connected:
        client.get("/", "Range: bytes=0-9")
        answer = client.answer()
        assert (answer.content, answer.fields["connection"]) == (content, "close")
        assert client.rest() == b""
    for connection in late:
        with Speaker(server, made=connection) as speaker:
            assert speaker.get("/", ("range", "bytes=0-9")).content == content
            speaker.wait(lambda: len(speaker.goaways) == 2)
    assert lineage.end() == 0


def test_who_waits_in_line_keeps_its_place(
    serve: Serve, file: Path, found: Found, begun: Begun, clients: ExitStack
) -> None:
    server = serve(file, *BOTH, "--per-client", "1", "--max-wait", "1h", admin=True)
    lineage = found(server)
    first, waiting = begun(server), [clients.enter_context(server.connect()) for _ in range(4)]
    for client in waiting:
        client.get()
    until(lambda: server.gate()["waiting"] == 4, "they wait")
    lineage.hand_over()
    content = file.read_bytes()
    assert first.take(FILE_BYTES) == content
    first.socket.close()
    with ThreadPoolExecutor(4) as pool:  # whose turn is next is not a matter of who came first here

        def take(client: Client) -> bytes:
            with client:
                return client.answer().content

        assert all(taken == content for taken in pool.map(take, waiting))
    assert lineage.end() == 0


@pytest.mark.parametrize("before", ["1", "2"])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("workers = 2\nhiden = true\n", "did you mean hidden?"),
        ("workers = 0\n", "workers"),
        ('workers = 2\nmemory = "1KiB"\n', "the least is"),
    ],
)
def test_a_successor_that_does_not_start_changes_nothing(
    tmp_path: Path, serve: Serve, file: Path, begun: Begun, found: Found, before: str, line: str, why: str
) -> None:
    """The file of settings has a mistake by now: the successor says so, and we go on. Corrected, it works."""
    config = tmp_path / "freight.toml"
    config.write_text(f"workers = {before}\n")
    server = serve(file, "--config", str(config), "--drain", "1h", admin=True)
    lineage = found(server)
    clients = [begun(server) for _ in range(4)]
    config.write_text(line)
    server.signal(signal.SIGUSR2)
    assert server.await_log("upgrade failed").endswith("the new process did not start serving; it ended with status 2")
    server.await_log("freight: ", why)
    assert (server.get("/", "Range: bytes=0-9").status, server.gate()["running"]) == (206, 4)
    config.write_text("workers = 2\n")
    lineage.hand_over()
    until(lambda: server.status()["workers"]["running"] == 2, "it is the new one that answers")
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert lineage.end() == 0


def test_told_to_stop_while_it_hands_over_it_leaves_nobody_behind(serve: Serve, file: Path) -> None:
    """Its successor is held up before it is ready."""
    server = serve(file, "--workers", "2")
    workers = children(server.pid)
    server.signal(signal.SIGUSR2)
    until(lambda: len(children(server.pid)) == 3, "its successor is there")
    (successor,) = set(children(server.pid)) - set(workers)
    os.kill(successor, signal.SIGSTOP)
    server.signal(signal.SIGUSR2)
    server.await_log("ignoring SIGUSR2")
    server.signal()
    assert server.wait() == 0
    until(lambda: not runs(successor), "its successor has ended")
    assert not any("handed over" in line for line in server.log)


def test_a_worker_that_dies_while_another_server_starts_is_replaced(
    serve: Serve, file: Path, begun: Begun, found: Found
) -> None:
    """And the one that takes its place holds nothing that the successor waits for."""
    server = serve(file, *BOTH, admin=True)
    lineage = found(server)
    before = crew(server.pid)
    server.signal(signal.SIGUSR2)
    until(lambda: len(children(server.pid)) == 4, "its successor is there")
    (successor,) = set(children(server.pid)) - set(before)
    lineage.pids.append(successor)
    os.kill(successor, signal.SIGSTOP)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: server.status()["workers"]["restarts_total"] == 1, "it is replaced")
    until(lambda: server.status()["workers"]["running"] == 2, "both serve")
    clients = begin_in_each(server, begun)
    os.kill(successor, signal.SIGCONT)
    server.await_log(f"handed over to process {successor}")
    lineage.hand_over()
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert lineage.end() == 0


def test_who_drains_after_it_has_handed_over_ends_at_once_by_the_second_signal(
    serve: Serve, file: Path, begun: Begun, found: Found
) -> None:
    """A service manager that stops all processes of the service sends the first to all."""
    server = serve(file, *BOTH, admin=True)
    lineage = found(server)
    clients = begin_in_each(server, begun)
    old = server.pids()
    lineage.hand_over()
    for pid in old[:3]:
        os.kill(pid, signal.SIGTERM)
    for client in clients:
        client.take(1 << 20)
    server.signal()
    assert lineage.end() == 128 + signal.SIGTERM


def test_without_their_supervisor_those_who_drain_finish(serve: Serve, file: Path, begun: Begun, found: Found) -> None:
    """What they are told when it dies is nothing new to them, and cuts nothing."""
    server = serve(file, *BOTH, admin=True)
    lineage = found(server)
    clients = begin_in_each(server, begun)
    lineage.hand_over()
    server.signal(signal.SIGKILL)
    assert server.process.wait(20) == -signal.SIGKILL
    assert whole(clients, file)
    for client in clients:
        client.socket.close()
    assert lineage.end() == -signal.SIGKILL


def test_descriptors_do_not_add_up(serve: Serve, file: Path, found: Found) -> None:
    """A fourth successor and its workers have as many as the first one and its workers."""
    server = serve(file, *BOTH, admin=True)
    lineage = found(server)

    def descriptors(pid: int) -> list[int]:
        until(lambda: not runs(lineage.pids[-2]) or server.process.poll() is not None, "who came before has ended")
        return [len(os.listdir(f"/proc/{each}/fd")) for each in (pid, *crew(pid))]

    first = descriptors(lineage.hand_over())
    for _ in range(3):
        last = lineage.hand_over()
    until(lambda: all(now <= then for now, then in zip(descriptors(last), first, strict=True)), "they are as many")
    assert lineage.end() == 0
