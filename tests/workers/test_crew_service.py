"""What manages one server manages several workers: signals, settings, certificates, balancers, systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from balancer import agent_port, ask_agent
from certificates import Pair, make_pair
from crew_looks import FILE_BYTES, begin_in_each, refuses, running
from lineages import Lineage
from managing import Manager, passing
from serving import Client, Served, until

Serve = Callable[..., Served]
Begun = Callable[[Served], Client]


def certificate(server: Served) -> str:
    """That of whoever answers, by its digest."""
    with server.connect() as client:
        return sha256(client.socket.getpeercert(binary_form=True) or b"").hexdigest()  # type: ignore[attr-defined]


def digest(pair: Pair) -> str:
    """The same of a pair's file."""
    return sha256(ssl.PEM_cert_to_DER_cert(pair.cert.read_text())).hexdigest()


def lay(pair: Pair, used: Pair) -> None:
    """Put a pair where a server reads it."""
    shutil.copy(pair.cert, used.cert)
    shutil.copy(pair.key, used.key)


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
    old, new, used = (make_pair(tmp_path, name) for name in ("old", "new", "used"))
    lay(old, used)
    config = tmp_path / "freight.toml"
    config.write_text('memory = "20MB"\n')
    server = serve(file, "--workers", "2", "--config", str(config), *used.flags, admin=True)
    assert certificate(server) == digest(old)
    lay(new, used)
    config.write_text('memory = "40MB"\n')
    server.signal(signal.SIGHUP)
    server.await_log("settings reloaded")
    for restarts, killed in enumerate(server.pids()[1:3], 1):  # whoever had heard it has gone then
        os.kill(killed, signal.SIGKILL)
        until(lambda restarts=restarts: server.status()["workers"]["restarts_total"] == restarts, "it is replaced")  # type: ignore[misc]
        until(lambda: server.status()["workers"]["running"] == 2, "both serve")
    assert {certificate(server) for _ in range(8)} == {digest(new)}
    begin_in_each(server, begun)
    assert server.status()["memory"]["budget_bytes"] == 40_000_000


def test_every_worker_has_the_new_certificate_and_what_runs_goes_on(
    serve: Serve, file: Path, tmp_path: Path, begun: Begun, clients: ExitStack
) -> None:
    old, new, used = (make_pair(tmp_path, name) for name in ("old", "new", "used"))
    lay(old, used)
    server = serve(file, "--workers", "2", *used.flags, admin=True)
    downloads = begin_in_each(server, begun)
    assert {certificate(server) for _ in range(8)} == {digest(old)}
    lay(new, used)
    server.signal(signal.SIGHUP)
    server.await_log("certificate reloaded")
    until(lambda: {certificate(server) for _ in range(8)} == {digest(new)}, "both have the new one")
    used.cert.write_text("no certificate")
    server.signal(signal.SIGHUP)
    server.await_log("certificate not reloaded")
    assert {certificate(server) for _ in range(8)} == {digest(new)}
    content = file.read_bytes()
    assert all(client.take(FILE_BYTES) == content for client in downloads)
    for words in ("certificate reloaded", "certificate not reloaded"):
        assert len([line for line in server.log if words in line]) == 1


def test_while_the_drain_is_delayed_all_workers_take_requests_and_readyz_says_no(
    serve: Serve, file: Path, begun: Begun, clients: ExitStack
) -> None:
    """Who balances sees it, and goes elsewhere, before anybody is refused."""
    server = serve(file, "--workers", "2", "--drain-delay", "2s", "--drain", "1h", admin=True)
    kept = [clients.enter_context(server.connect()) for _ in range(6)]
    content = file.read_bytes()
    for client in kept:
        client.get("/", "Range: bytes=0-9")
        client.answer()
    assert server.ask_admin("/readyz").status == 200
    downloads = begin_in_each(server, begun)
    server.signal()
    until(lambda: server.ask_admin("/readyz").status == 503, "it says that it is stopping")
    for client in kept:
        client.get("/", "Range: bytes=10-19")
        answer = client.answer()
        assert (answer.content, "connection" in answer.fields) == (content[10:20], False)
    assert server.get("/", "Range: bytes=0-9").content == content[:10]
    until(lambda: refuses(server), "the delay is over")
    assert server.ask_admin("/readyz").status == 503
    assert all(client.take(FILE_BYTES) == content for client in downloads)
    for client in downloads:
        client.socket.close()
    assert server.wait() == 0


def test_plain_http_is_sent_on_by_every_worker(serve: Serve, file: Path, pair: Pair) -> None:
    """Whoever is left does: one is stopped, and then the other."""
    server = serve(file, "--workers", "2", *pair.flags, "--redirect-port", "0")
    port = server.port_with(" from http://")
    for stopped in server.pids()[1:]:
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(5):
                with Client(server.host, port, named="localhost") as client:
                    client.get("/huge.csv")
                    assert client.answer().fields["location"] == f"https://localhost:{server.port}/huge.csv"
        finally:
            os.kill(stopped, signal.SIGCONT)
    server.signal()
    assert server.wait() == 0
    assert refuses(server, port)


def test_a_client_s_rate_is_that_of_all_its_downloads_in_all_workers(serve: Serve, file: Path, begun: Begun) -> None:
    """In seconds of the server's own clock, by its log, so that only the lower bound can be judged."""
    server = serve(file, "--workers", "2", "--per-client-rate", "8MB/s", admin=True)
    downloads = begin_in_each(server, begun)
    with ThreadPoolExecutor(len(downloads)) as pool:
        content = file.read_bytes()
        assert all(taken == content for taken in pool.map(lambda client: client.take(FILE_BYTES), downloads))
    server.await_log("complete", count=len(downloads))
    longest = max(float(line.split()[-2].rstrip("s")) for line in server.log if "complete" in line)
    assert longest >= (len(downloads) * FILE_BYTES / 8e6) * 0.9


def test_a_successor_of_several_workers_is_the_main_process_before_it_speaks(
    serve: Serve, file: Path, begun: Begun, found: Callable[[Served], Lineage], manager: Manager
) -> None:
    server = serve(file, "--workers", "2", "--drain", "1h", admin=True)
    manager.hear("READY=1")
    lineage, downloads = found(server), begin_in_each(server, begun)
    running_now = f"STATUS=running {len(downloads)} of "
    manager.hear(running_now)
    successor = lineage.hand_over()
    manager.hear("RELOADING=1")
    assert manager.hear("MAINPID=") == f"MAINPID={successor}\nREADY=1"
    manager.hear("READY=1")
    assert manager.hear("STATUS=running 0 of ").endswith("; 2 workers")
    for client in downloads:
        client.reset()
    assert lineage.end() == 0


def workers_running(port: int) -> int:
    """How many workers there are, as the admin listener at this port tells."""
    with Client("127.0.0.1", port, named="localhost") as asked:
        asked.get("/status")
        return int(json.loads(asked.answer().content)["workers"]["running"])


def test_sockets_that_are_passed_are_all_workers_and_their_successors_too(
    serve: Serve, file: Path, found: Callable[[Served], Lineage], clients: ExitStack
) -> None:
    """Who had connected before the start is answered, and who connects to what the service manager keeps open."""
    files, admin, agent = (clients.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
    content, port = file.read_bytes()[:10], files.getsockname()[1]
    early = [clients.enter_context(Client("127.0.0.1", port)) for _ in range(6)]
    for client in early:
        client.get("/", "Range: bytes=0-9")
    server = serve(file, "--workers", "2", **passing("freight.socket:admin:agent", files, admin, agent))
    assert server.port == port
    assert all(client.answer().content == content for client in early)
    lineage = found(server)
    for _ in range(2):
        assert server.get("/", "Range: bytes=0-9").content == content
        assert ask_agent(agent.getsockname()[1]).startswith("up 100% ")
        until(lambda: workers_running(admin.getsockname()[1]) == 2, "both workers run")
        lineage.hand_over()
    assert lineage.end() == 0


def test_the_agent_answers_whichever_worker_stands_still_or_is_killed(serve: Serve, file: Path) -> None:
    """At once: while nobody is in its place yet."""
    server = serve(file, "--workers", "2", "--agent", "127.0.0.1:0")
    port = agent_port(server)
    for killed, worker in enumerate(server.pids()[1:], 1):
        os.kill(worker, signal.SIGSTOP)
        for _ in range(5):
            assert ask_agent(port).startswith("up ")
        os.kill(worker, signal.SIGKILL)
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
