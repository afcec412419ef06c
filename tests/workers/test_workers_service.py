"""Signals, settings, certificates, balancers and systemd work with several workers as with one process."""

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

from support.certificates import KeyPair, make_key_pair
from support.generations import Generations
from support.load_balancer import BUSY_PERCENT, MANY, agent_port, ask_agent
from support.servers import Client, Serve, ServerProcess, wait_until
from support.service_manager import ServiceManager, socket_activation
from support.worker_snapshots import FILE_BYTES, answers_of_each, refuses, stall_in_each

Begun = Callable[[ServerProcess], Client]


def certificate(server: ServerProcess) -> str:
    """Return the digest of the certificate that the server presents."""
    with server.connect() as client:
        return sha256(client.socket.getpeercert(binary_form=True) or b"").hexdigest()  # type: ignore[attr-defined]


def digest(pair: KeyPair) -> str:
    """Return the digest of the certificate in a file."""
    return sha256(ssl.PEM_cert_to_DER_cert(pair.cert.read_text())).hexdigest()


def lay(pair: KeyPair, used: KeyPair) -> None:
    """Copy a certificate and its key to where the server reads them."""
    shutil.copy(pair.cert, used.cert)
    shutil.copy(pair.key, used.key)


def test_a_signal_to_all_processes_is_one(serve: Serve, file: Path, start_stalled: Begun, clients: ExitStack) -> None:
    """systemd sends it to all with KillMode=control-group, and the supervisor sends it to its workers too."""
    server = serve(file, "--workers", "2", "--shutdown-timeout", "1h", admin=True)
    downloads = stall_in_each(server, start_stalled)
    idle = [clients.enter_context(server.connect()) for _ in range(8)]
    wait_until(lambda: server.status()["connections"]["open"] == len(downloads) + 8, "they have been accepted")
    for pid in server.pids()[1:]:
        os.kill(pid, signal.SIGTERM)
    assert all(client.read_to_end() == b"" for client in idle)  # so both workers have handled the signal
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.status()["draining"], "all have heard")
    content = file.read_bytes()
    assert all(client.read_exactly(FILE_BYTES) == content for client in downloads)
    for client in downloads:
        client.socket.close()
    assert server.wait() == 0


def test_a_new_worker_starts_with_what_was_reloaded(
    serve: Serve, file: Path, tmp_path: Path, start_stalled: Begun
) -> None:
    """Its settings and its certificate are the current ones."""
    old, new, used = (make_key_pair(tmp_path, name) for name in ("old", "new", "used"))
    lay(old, used)
    config = tmp_path / "freight.toml"
    config.write_text('memory = "20MB"\n')
    server = serve(file, "--workers", "2", "--config", str(config), *used.flags, admin=True)
    assert certificate(server) == digest(old)
    lay(new, used)
    config.write_text('memory = "40MB"\n')
    server.signal(signal.SIGHUP)
    server.wait_for_log("settings reloaded")
    for restarts, killed in enumerate(server.pids()[1:3], 1):  # no worker that handled the reload is left then
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda restarts=restarts: server.status()["workers"]["restarts_total"] == restarts, "it is replaced")  # type: ignore[misc]
        wait_until(lambda: server.status()["workers"]["running"] == 2, "both serve")
    assert {certificate(server) for _ in range(8)} == {digest(new)}
    stall_in_each(server, start_stalled)
    assert server.status()["memory"]["budget_bytes"] == 40_000_000


def test_every_worker_gets_the_new_certificate_and_running_downloads_continue(
    serve: Serve, file: Path, tmp_path: Path, start_stalled: Begun, clients: ExitStack
) -> None:
    old, new, used = (make_key_pair(tmp_path, name) for name in ("old", "new", "used"))
    lay(old, used)
    server = serve(file, "--workers", "2", *used.flags, admin=True)
    downloads = stall_in_each(server, start_stalled)
    assert {certificate(server) for _ in range(8)} == {digest(old)}
    lay(new, used)
    server.signal(signal.SIGHUP)
    server.wait_for_log("certificate reloaded")

    def presented() -> set[str]:
        return set(answers_of_each(server, lambda: certificate(server)))

    wait_until(lambda: presented() == {digest(new)}, "both have the new one")
    used.cert.write_text("no certificate")
    server.signal(signal.SIGHUP)
    server.wait_for_log("certificate not reloaded")
    assert presented() == {digest(new)}
    content = file.read_bytes()
    assert all(client.read_exactly(FILE_BYTES) == content for client in downloads)
    for words in ("certificate reloaded", "certificate not reloaded"):
        assert len([line for line in server.log if words in line]) == 1


def test_during_the_shutdown_delay_all_workers_accept_requests_and_readyz_fails(
    serve: Serve, file: Path, clients: ExitStack
) -> None:
    """A load balancer sees it and uses another server before any request is rejected."""
    server = serve(file, "--workers", "2", "--shutdown-delay", "1h", admin=True)
    kept = [clients.enter_context(server.connect()) for _ in range(6)]
    content = file.read_bytes()
    for client in kept:
        client.get("/", "Range: bytes=0-9")
        client.read_response()
    assert server.ask_admin("/readyz").status == 200
    server.signal()
    wait_until(lambda: server.ask_admin("/readyz").status == 503, "it says that it is stopping")
    for client in kept:
        client.get("/", "Range: bytes=10-19")
        answer = client.read_response()
        assert (answer.content, "connection" in answer.fields) == (content[10:20], False)
    assert server.get("/", "Range: bytes=0-9").content == content[:10]


def test_after_the_shutdown_delay_all_workers_refuse_connections_and_finish_downloads(
    serve: Serve, file: Path, start_stalled: Begun
) -> None:
    server = serve(file, "--workers", "2", "--shutdown-delay", "200ms", "--shutdown-timeout", "1h", admin=True)
    downloads, content = stall_in_each(server, start_stalled), file.read_bytes()
    server.signal()
    wait_until(lambda: refuses(server), "the delay is over")
    assert server.ask_admin("/readyz").status == 503
    assert all(client.read_exactly(FILE_BYTES) == content for client in downloads)
    for client in downloads:
        client.socket.close()
    assert server.wait() == 0


def test_every_worker_redirects_plain_http(serve: Serve, file: Path, pair: KeyPair) -> None:
    """First one worker is stopped, and then the other."""
    server = serve(file, "--workers", "2", *pair.flags, "--redirect-port", "0")
    port = server.port_with(" from http://")
    for stopped in server.pids()[1:]:
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(5):
                with Client(server.host, port, named="localhost") as client:
                    client.get("/huge.csv")
                    assert client.read_response().fields["location"] == f"https://localhost:{server.port}/huge.csv"
        finally:
            os.kill(stopped, signal.SIGCONT)
    server.signal()
    assert server.wait() == 0
    assert refuses(server, port)


def test_the_client_rate_limit_is_for_all_workers_together(serve: Serve, file: Path, start_stalled: Begun) -> None:
    """The times are from the log, so only a lower bound can be checked."""
    server = serve(file, "--workers", "2", "--client-rate-limit", "8MB/s", admin=True)
    downloads = stall_in_each(server, start_stalled)
    with ThreadPoolExecutor(len(downloads)) as pool:
        content = file.read_bytes()
        assert all(taken == content for taken in pool.map(lambda client: client.read_exactly(FILE_BYTES), downloads))
    server.wait_for_log("complete", count=len(downloads))
    longest = max(float(line.split()[-2].rstrip("s")) for line in server.log if "complete" in line)
    assert longest >= (len(downloads) * FILE_BYTES / 8e6) * 0.9


def test_a_successor_of_several_workers_is_the_main_process_before_it_notifies(
    serve: Serve,
    file: Path,
    start_stalled: Begun,
    follow: Callable[[ServerProcess], Generations],
    manager: ServiceManager,
) -> None:
    server = serve(file, "--workers", "2", "--shutdown-timeout", "1h", admin=True)
    manager.receive("READY=1")
    generations, downloads = follow(server), stall_in_each(server, start_stalled)
    running_now = f"STATUS=running {len(downloads)} of "
    manager.receive(running_now)
    successor = generations.hand_over()
    manager.receive("RELOADING=1")
    assert manager.receive("MAINPID=") == f"MAINPID={successor}\nREADY=1"
    manager.receive("READY=1")
    assert manager.receive("STATUS=running 0 of ").endswith("; 2 workers")
    for client in downloads:
        client.reset()
    assert generations.end() == 0


def workers_running(port: int) -> int:
    """Return how many workers the admin listener at this port reports."""
    with Client("127.0.0.1", port, named="localhost") as asked:
        asked.get("/status")
        return int(json.loads(asked.read_response().content)["workers"]["running"])


def test_passed_sockets_are_shared_by_all_workers_and_their_successors(
    serve: Serve, file: Path, follow: Callable[[ServerProcess], Generations], clients: ExitStack
) -> None:
    """Connections from before the start are answered, and those to sockets that the service manager holds."""
    files, admin, agent = (clients.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
    content, port = file.read_bytes()[:10], files.getsockname()[1]
    early = [clients.enter_context(Client("127.0.0.1", port)) for _ in range(6)]
    for client in early:
        client.get("/", "Range: bytes=0-9")
    server = serve(file, "--workers", "2", **socket_activation("freight.socket:admin:agent", files, admin, agent))
    assert server.port == port
    assert all(client.read_response().content == content for client in early)
    generations = follow(server)
    for _ in range(2):
        assert server.get("/", "Range: bytes=0-9").content == content
        assert ask_agent(agent.getsockname()[1]).startswith("up 100% ")
        wait_until(lambda: workers_running(admin.getsockname()[1]) == 2, "both workers run")
        generations.hand_over()
    assert generations.end() == 0


def test_the_agent_answers_whichever_worker_is_stopped_or_killed(serve: Serve, file: Path) -> None:
    """Before its replacement has started."""
    server = serve(file, "--workers", "2", "--haproxy-agent", "127.0.0.1:0")
    port = agent_port(server)
    for killed, worker in enumerate(server.pids()[1:], 1):
        os.kill(worker, signal.SIGSTOP)
        for _ in range(5):
            assert ask_agent(port).startswith("up ")
        os.kill(worker, signal.SIGKILL)
        for _ in range(20):
            assert ask_agent(port).startswith("up ")
        server.wait_for_log("was ended by SIGKILL", count=killed)
        wait_until(lambda: len(server.pids()) == 3, "another is there")


def test_the_agent_reports_the_free_capacity_of_all_workers(serve: Serve, file: Path, start_stalled: Begun) -> None:
    patient = ("--idle-timeout", "10m", "--min-rate", "none")
    options = ("--memory", "4MiB", "--workers", "2", "--haproxy-agent", "127.0.0.1:0", *patient)
    server = serve(file, *options, admin=True)
    port = agent_port(server)
    assert ask_agent(port) == "up 100% maxconn:111\n"
    running = stall_in_each(server, start_stalled)
    running.extend(start_stalled(server) for _ in range(MANY - len(running)))
    state, weight, most = ask_agent(port).split()
    assert (state, most) == ("up", "maxconn:111")
    assert int(weight.rstrip("%")) <= BUSY_PERCENT
    for client in running:
        client.reset()
    wait_until(lambda: ask_agent(port) == "up 100% maxconn:111\n", "all of it is free again")
