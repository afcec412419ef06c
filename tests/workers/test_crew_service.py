"""What manages one server manages several workers: signals, settings, certificates, balancers, systemd."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from certificates import Pair, make_pair
from crew_looks import FILE_BYTES, agent_port, ask_agent, begin_in_each, running
from serving import Client, Served, until

Serve = Callable[..., Served]
Begun = Callable[[Served], Client]


def certificate(server: Served) -> str:
    """That of whoever answers, by its digest."""
    with server.connect() as client:
        return sha256(client.socket.getpeercert(binary_form=True) or b"").hexdigest()  # type: ignore[attr-defined]


def test_a_signal_to_all_processes_is_one(serve: Serve, file: Path, begun: Begun, clients: ExitStack) -> None:
    """As systemd sends it where KillMode is control-group; the supervisor tells its workers too."""
    server = serve(file, "--workers", "2", "--drain", "1h", admin=True)
    downloads = begin_in_each(server, begun)
    idle = [clients.enter_context(server.connect()) for _ in range(8)]
    until(lambda: server.status()["connections"]["open"] == len(downloads) + 8, "they have been accepted")
    for pid in server.pids()[1:]:
        os.kill(pid, signal.SIGTERM)
    assert all(client.rest() == b"" for client in idle)  # so both have heard it
    server.signal(signal.SIGTERM)
    until(lambda: server.status()["draining"], "all have heard")
    content = file.read_bytes()
    assert all(client.take(FILE_BYTES) == content for client in downloads)
    for client in downloads:
        client.socket.close()
    assert server.wait() == 0


def test_what_was_read_again_is_what_a_new_worker_begins_with(
    serve: Serve, file: Path, tmp_path: Path, begun: Begun
) -> None:
    """Its settings and its certificate are not those of the start."""
    old, new = make_pair(tmp_path, "old"), make_pair(tmp_path, "new")
    used = Pair(tmp_path / "used.crt", tmp_path / "used.key")
    shutil.copy(old.cert, used.cert), shutil.copy(old.key, used.key)
    config = tmp_path / "freight.toml"
    config.write_text('memory = "20MB"\n')
    server = serve(file, "--workers", "2", "--config", str(config), *used.flags, admin=True)
    first = certificate(server)
    shutil.copy(new.cert, used.cert), shutil.copy(new.key, used.key)
    config.write_text('memory = "40MB"\n')
    server.signal(signal.SIGHUP)
    server.await_log("the settings were read again")
    server.await_log("the certificate was read again")
    for restarts in range(1, 3):  # whoever had heard it has gone then
        begin_in_each(server, begun)
        os.kill(max(running(server), key=lambda pid: -pid), signal.SIGKILL)
        until(lambda restarts=restarts: server.status()["workers"]["restarts_total"] == restarts, "it is replaced")
        until(lambda: server.status()["workers"]["running"] == 2, "both serve")
    assert first not in {certificate(server) for _ in range(20)}
    assert server.status()["memory"]["budget_bytes"] == 40_000_000


def test_the_agent_answers_at_once_whichever_worker_is_killed(serve: Serve, file: Path) -> None:
    server = serve(file, "--workers", "2", "--agent", "127.0.0.1:0")
    port = agent_port(server)
    for killed in range(1, 5):
        os.kill(server.pids()[1], signal.SIGKILL)
        for _ in range(20):
            assert ask_agent(port).startswith("up ")
        server.await_log("was ended by SIGKILL", count=killed)
        until(lambda: len(server.pids()) == 3, "another is there")


def test_the_agent_tells_of_the_room_in_all_workers(serve: Serve, file: Path, begun: Begun) -> None:
    server = serve(file, "--memory", "1MiB", "--workers", "2", "--agent", "127.0.0.1:0", admin=True)
    port = agent_port(server)
    assert ask_agent(port) == "up 100% maxconn:27\n"
    clients = [begun(server) for _ in range(25)]
    assert len(running(server)) == 2
    assert ask_agent(port) == "up 1% maxconn:27\n"
    for client in clients:
        client.reset()
    until(lambda: ask_agent(port) == "up 100% maxconn:27\n", "all of it is free again")
