"""SIGUSR2: a new process accepts in place of the old one. No client is refused, and no answer is truncated."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.tools.sample import write_sample
from support.generations import Generations, check_uninterrupted
from support.processes import children, is_running
from support.raw_h2 import Http2Client
from support.servers import HUGE_BYTES, Client, Serve, ServerProcess, wait_until

Follow = Callable[[ServerProcess], Generations]

# Runs a command with another interpreter than its first word.
_BY_ANOTHER_NAME = "import os, sys; os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])"


def test_200_downloads_and_a_loop_of_connections_live_through_10_upgrades(
    tmp_path: Path, serve: Serve, follow: Follow
) -> None:
    write_sample(tmp_path / "site.csv", 64 << 20)
    server = serve(tmp_path, "--shutdown-timeout", "10m", "--idle-timeout", "10m", admin=True)
    generations = follow(server)
    check_uninterrupted([generations.hand_over] * 10, server, tmp_path, 200)
    assert generations.end() == 0
    assert len(set(generations.pids)) == 11


def test_clients_in_the_backlog_are_served_by_the_successor(huge: Path, serve: Serve, follow: Follow) -> None:
    """The old process has no memory for another connection, and has none yet when they are answered."""
    server = serve(
        huge, "--memory", "192KiB", "--shutdown-timeout", "1h", "--idle-timeout", "1h", "--min-rate", "none", admin=True
    )
    generations = follow(server)
    running, waiting = [server.start_download()], list[Client]()
    try:
        for _ in range(40):
            waiting.append(server.connect())
            waiting[-1].get("/", "Range: bytes=0-9")
            waiting[-1].send(b"GET /huge.bin HTTP/1.1\r\nHost: x\r\n")  # incomplete, so that no connection is idle
        assert 1 < server.status()["connections"]["open"] <= 20
        generations.hand_over()
        for client in waiting[-20:]:
            assert client.read_response().content == bytes(10)
            client.socket.close()
        assert is_running(server.pid)
        assert running[0].read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    finally:
        for client in (*running, *waiting):
            client.socket.close()
    assert generations.end() == 0


def test_a_client_that_connected_before_is_answered_by_the_process_that_accepted_it(
    huge: Path, serve: Serve, follow: Follow
) -> None:
    """A new connection, and one kept after an answer: each has one more answer, which says that it is the last."""
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    generations = follow(server)
    with server.connect() as new, server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.read_response()
        generations.hand_over()
        for client in (new, kept):
            client.get("/", "Range: bytes=0-9")
            answer = client.read_response()
            assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
            assert client.read_to_end() == b""
    assert generations.end() == 0


@pytest.mark.parametrize("flags", [(), ("--workers", "2"), ("--tls-self-signed",)], ids=["one", "workers", "tls"])
def test_a_client_that_was_being_answered_has_one_more_answer_that_says_that_its_connection_ends(
    huge: Path, serve: Serve, follow: Follow, flags: tuple[str, ...]
) -> None:
    """The head of the running answer was sent before the hand-over, so it did not say that the connection ends."""
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h", *flags)
    generations = follow(server)
    with server.start_download() as client:
        generations.hand_over()
        assert client.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
        client.get("/", "Range: bytes=0-9")
        answer = client.read_response()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.read_to_end() == b""
    assert generations.end() == 0


def test_a_request_to_the_redirect_port_is_answered_after_the_hand_over_too(
    huge: Path, serve: Serve, follow: Follow
) -> None:
    """Its connection was accepted before."""
    server = serve(huge, "--tls-self-signed", "--redirect-port", "0", "--shutdown-timeout", "1h")
    generations, port, idle = follow(server), server.port_with(" from http://"), server.descriptors()
    with Client(server.host, port) as client:
        wait_until(lambda: server.descriptors() > idle, "it was accepted")
        generations.hand_over()
        client.get("/")
        assert client.read_response().status == 308
    assert generations.end() == 0


def test_a_tls_handshake_is_finished_by_the_process_that_accepted_the_connection(
    huge: Path, serve: Serve, follow: Follow
) -> None:
    server = serve(huge, "--tls-self-signed", "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    generations = follow(server)
    assert server.tls is not None
    idle = server.descriptors()
    with socket.create_connection((server.host, server.port), 20) as new:
        wait_until(lambda: server.descriptors() > idle, "it was accepted")
        generations.hand_over()
        with server.tls.wrap_socket(new, server_hostname="localhost") as secured:
            secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n")
            answer = b"".join(iter(lambda: secured.recv(4096), b""))
    assert answer.endswith(bytes(10)) and b"Connection: close" in answer
    assert generations.end() == 0


def test_over_http2_running_streams_are_finished_and_goaway_sends_the_rest_elsewhere(
    huge: Path, serve: Serve, follow: Follow
) -> None:
    """One connection has a download, and the other has sent nothing yet."""
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    generations = follow(server)
    idle = server.descriptors()
    with socket.create_connection((server.host, server.port), 20) as new, Http2Client(server, grows=False) as speaker:
        running = speaker.request()
        speaker.wait(lambda: speaker.received[running].content)
        wait_until(lambda: server.descriptors() >= idle + 2, "both were accepted")
        generations.hand_over()
        late = Http2Client(server, made=new)
        assert late.get("/", ("range", "bytes=0-9")).content == bytes(10)
        late.wait(lambda: len(late.goaways) == 2)
        assert len(speaker.response(running).content) == HUGE_BYTES
        assert len(speaker.goaways) == 2
    assert generations.end() == 0


def test_a_queued_request_keeps_its_place(huge: Path, serve: Serve, follow: Follow) -> None:
    server = serve(huge, "--max-per-client", "1", "--shutdown-timeout", "1h", "--queue-timeout", "1h", admin=True)
    generations = follow(server)
    with server.start_download() as running, server.connect() as waiting:
        waiting.get("/")
        wait_until(lambda: server.gate()["waiting"] == 1, "it waits")
        generations.hand_over()
        assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
        running.socket.close()
        assert waiting.read_response().content == bytes(HUGE_BYTES)
    assert generations.end() == 0


def test_the_other_ports_are_the_successors_too(huge: Path, serve: Serve, follow: Follow) -> None:
    """Requests after the hand-over are answered by the new process while the old one still sends."""
    server = serve(huge, "--haproxy-agent", "127.0.0.1:0", "--shutdown-timeout", "1h", admin=True)
    agent_port = server.port_with("freight: agent-check at ")
    generations = follow(server)
    with server.start_download() as running:
        wait_until(lambda: server.gate()["running"] == 1, "it runs")
        generations.hand_over()
        for _ in range(20):
            assert server.gate()["running"] == 0
            with socket.create_connection(("127.0.0.1", agent_port), 5) as asked:
                assert asked.makefile().read().startswith("up 100% ")
        assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    wait_until(lambda: server.process.poll() == 0, "the old one has ended")
    assert server.ask_admin("/readyz").status == 200
    generations.end()


def test_a_successor_that_does_not_start_changes_nothing(tmp_path: Path, huge: Path, serve: Serve) -> None:
    """The settings file has an error by now. The successor logs it and the old process goes on; corrected, it works."""
    config = tmp_path / "freight.toml"
    config.write_text("show-hidden = true\n")
    server = serve(huge, "--config", str(config), "--shutdown-timeout", "1h")
    generations = Generations(server)
    with server.start_download() as running:
        config.write_text("show-hiden = true\n")
        server.signal(signal.SIGUSR2)
        assert server.wait_for_log("upgrade failed").endswith(
            "the new process did not start serving; it ended with status 2"
        )
        server.wait_for_log("freight: ", "did you mean show-hidden?")
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        config.write_text("show-hidden = false\n")
        try:
            generations.hand_over()
            assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
            running.socket.close()
            server.wait_for_log(f"info process {server.pid}, which has handed over: stopped: 2 downloads completed")
            assert generations.end() == 0
        finally:
            generations.close()


def test_after_its_hand_over_a_draining_process_ends_at_the_second_signal(
    huge: Path, serve: Serve, follow: Follow
) -> None:
    """A service manager that stops all processes of the service sends the first to both."""
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    generations = follow(server)
    with server.start_download() as running:
        generations.hand_over()
        server.signal()
        assert running.read_exactly(1 << 20) == bytes(1 << 20)
        server.signal()
        assert generations.end() == 128 + signal.SIGTERM


@pytest.mark.needs("unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a namespace of processes")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_process_1_of_a_container_goes_on(huge: Path, serve: Serve, workers: str) -> None:
    """If it ended, the container would."""
    server = serve(huge, "--workers", workers, within=("unshare", "--pid", "--fork", "--kill-child"))
    (first,) = children(server.pid)
    os.kill(first, signal.SIGUSR2)
    assert "it is process 1 of a container" in server.wait_for_log("upgrade failed")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


@pytest.mark.parametrize(
    ("change", "workers"),
    [("an interpreter that is gone", "1"), ("an interpreter that is gone", "2"), ("no descriptors", "1")],
)
def test_what_cannot_be_started_is_said(tmp_path: Path, huge: Path, serve: Serve, change: str, workers: str) -> None:
    """The interpreter has been removed, or there are no free descriptors."""
    if change == "no descriptors":
        server = serve(huge, "--idle-timeout", "1h", nofile=32)
        with ExitStack() as clients:
            for _ in range(40):
                clients.enter_context(server.connect(receive_bytes=4096)).get("/")
            server.wait_for_log("cannot accept more connections")
            server.signal(signal.SIGUSR2)
            server.wait_for_log("upgrade failed", "Too many open files")
        return
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    server = serve(huge, "--workers", workers, within=(sys.executable, "-c", _BY_ANOTHER_NAME, str(python)))
    python.unlink()
    server.signal(signal.SIGUSR2)
    assert server.wait_for_log("upgrade failed").endswith(
        f"{python} could not be started: No such file or directory; to upgrade, stop this server and start it again"
    )
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_a_stop_during_the_hand_over_leaves_no_process_behind(huge: Path, serve: Serve) -> None:
    """The successor is delayed before it is ready."""
    server = serve(huge)
    server.signal(signal.SIGUSR2)
    wait_until(lambda: children(server.pid) != [], "its successor is there")
    (successor,) = children(server.pid)
    os.kill(successor, signal.SIGSTOP)
    try:
        server.signal()
        assert server.wait() == 0
        wait_until(lambda: not is_running(successor), "its successor has ended")
        assert not any("handed over" in line for line in server.log)
    finally:
        if is_running(successor):
            os.kill(successor, signal.SIGKILL)


def test_descriptors_do_not_add_up(huge: Path, serve: Serve, follow: Follow) -> None:
    """A fifth successor has as many as the first one."""
    server = serve(huge, admin=True)
    generations = follow(server)

    def descriptors(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    first = generations.hand_over()
    server.status()
    wait_until(lambda: not is_running(server.pid) or server.process.poll() is not None, "the first has ended")
    before = descriptors(first)
    for _ in range(4):
        generations.hand_over()
        server.status()
    wait_until(lambda: not is_running(generations.pids[-2]), "the last but one has ended")
    # The connection that asked for the status may be closed a moment later.
    wait_until(lambda: descriptors(generations.pids[-1]) <= before, "it has as many")
    generations.end()
