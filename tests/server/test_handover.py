"""SIGUSR2: another process, started anew, accepts in our place. Nobody is refused, and nothing is cut."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.sample import write_sample
from lineages import Lineage, live_through
from processes import children, runs
from serving import HUGE_BYTES, Client, Served, until
from speaking import Speaker

Serve = Callable[..., Served]
Found = Callable[[Served], Lineage]

# Runs a command with another interpreter than the one that it names first.
_BY_ANOTHER_NAME = "import os, sys; os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])"


def test_200_downloads_and_a_loop_of_connections_live_through_10_upgrades(
    tmp_path: Path, serve: Serve, found: Found
) -> None:
    write_sample(tmp_path / "site.csv", 64 << 20)
    server = serve(tmp_path, "--drain", "10m", "--idle-timeout", "10m", admin=True)
    lineage = found(server)
    live_through([lineage.hand_over] * 10, server, tmp_path, 200)
    assert lineage.end() == 0
    assert len(set(lineage.pids)) == 11


def test_who_stands_in_the_backlog_is_served_by_the_successor(huge: Path, serve: Serve, found: Found) -> None:
    """While the old process has no memory for another connection; it still has none when they are answered."""
    server = serve(
        huge, "--memory", "192KiB", "--drain", "1h", "--idle-timeout", "1h", "--min-rate", "none", admin=True
    )
    lineage = found(server)
    running, waiting = [server.begin()], list[Client]()
    try:
        for _ in range(40):
            waiting.append(server.connect())
            waiting[-1].get("/", "Range: bytes=0-9")
            waiting[-1].send(b"GET /huge.bin HTTP/1.1\r\nHost: x\r\n")  # and it goes on: nobody is idle
        assert 1 < server.status()["connections"]["open"] <= 20
        lineage.hand_over()
        for client in waiting[-20:]:
            assert client.answer().content == bytes(10)
            client.socket.close()
        assert runs(server.pid)
        assert running[0].take(HUGE_BYTES) == bytes(HUGE_BYTES)
    finally:
        for client in (*running, *waiting):
            client.socket.close()
    assert lineage.end() == 0


def test_who_had_connected_and_not_asked_yet_is_answered_by_who_accepted_it(
    huge: Path, serve: Serve, found: Found
) -> None:
    """A connection that had just come, and one kept from an answer before: each has one more, and is told so."""
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    lineage = found(server)
    with server.connect() as new, server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.answer()
        lineage.hand_over()
        for client in (new, kept):
            client.get("/", "Range: bytes=0-9")
            answer = client.answer()
            assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
            assert client.rest() == b""
    assert lineage.end() == 0


@pytest.mark.parametrize("flags", [(), ("--workers", "2"), ("--tls-self-signed",)], ids=["one", "workers", "tls"])
def test_a_client_that_was_being_answered_has_one_more_answer_that_says_that_its_connection_ends(
    huge: Path, serve: Serve, found: Found, flags: tuple[str, ...]
) -> None:
    """The head of the running answer went out before the hand-over, so it could not say so."""
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h", *flags)
    lineage = found(server)
    with server.begin() as client:
        lineage.hand_over()
        assert client.take(HUGE_BYTES) == bytes(HUGE_BYTES)
        client.get("/", "Range: bytes=0-9")
        answer = client.answer()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.rest() == b""
    assert lineage.end() == 0


def test_a_request_to_the_port_that_sends_on_to_https_is_answered_after_the_hand_over_too(
    huge: Path, serve: Serve, found: Found
) -> None:
    """Its connection was there before."""
    server = serve(huge, "--tls-self-signed", "--redirect-port", "0", "--drain", "1h")
    lineage, port, idle = found(server), server.port_with(" from http://"), server.descriptors()
    with Client(server.host, port) as client:
        until(lambda: server.descriptors() > idle, "it was accepted")
        lineage.hand_over()
        client.get("/")
        assert client.answer().status == 308
    assert lineage.end() == 0


def test_who_had_not_shaken_hands_yet_does_so_with_who_accepted_it(huge: Path, serve: Serve, found: Found) -> None:
    server = serve(huge, "--tls-self-signed", "--drain", "1h", "--idle-timeout", "1h")
    lineage = found(server)
    assert server.tls is not None
    idle = server.descriptors()
    with socket.create_connection((server.host, server.port), 20) as new:
        until(lambda: server.descriptors() > idle, "it was accepted")
        lineage.hand_over()
        with server.tls.wrap_socket(new, server_hostname="localhost") as secured:
            secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n")
            answer = b"".join(iter(lambda: secured.recv(4096), b""))
    assert answer.endswith(bytes(10)) and b"Connection: close" in answer
    assert lineage.end() == 0


def test_over_http2_what_runs_is_finished_and_all_else_is_sent_on(huge: Path, serve: Serve, found: Found) -> None:
    """By GOAWAY: a connection that had a download, and one that had connected and had said nothing yet."""
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    lineage = found(server)
    idle = server.descriptors()
    with socket.create_connection((server.host, server.port), 20) as new, Speaker(server, grows=False) as speaker:
        running = speaker.ask()
        speaker.wait(lambda: speaker.received[running].content)
        until(lambda: server.descriptors() >= idle + 2, "both were accepted")
        lineage.hand_over()
        late = Speaker(server, made=new)
        assert late.get("/", ("range", "bytes=0-9")).content == bytes(10)
        late.wait(lambda: len(late.goaways) == 2)
        assert len(speaker.answer(running).content) == HUGE_BYTES
        assert len(speaker.goaways) == 2
    assert lineage.end() == 0


def test_who_waits_in_line_keeps_its_place(huge: Path, serve: Serve, found: Found) -> None:
    server = serve(huge, "--per-client", "1", "--drain", "1h", "--max-wait", "1h", admin=True)
    lineage = found(server)
    with server.begin() as running, server.connect() as waiting:
        waiting.get("/")
        until(lambda: server.gate()["waiting"] == 1, "it waits")
        lineage.hand_over()
        assert running.take(HUGE_BYTES) == bytes(HUGE_BYTES)
        running.socket.close()
        assert waiting.answer().content == bytes(HUGE_BYTES)
    assert lineage.end() == 0


def test_the_other_ports_are_the_successors_too(huge: Path, serve: Serve, found: Found) -> None:
    """What is asked after the hand-over is answered by the new one, while the old one still sends."""
    server = serve(huge, "--agent", "127.0.0.1:0", "--drain", "1h", admin=True)
    agent_port = server.port_with("freight: agent-check at ")
    lineage = found(server)
    with server.begin() as running:
        until(lambda: server.gate()["running"] == 1, "it runs")
        lineage.hand_over()
        for _ in range(20):
            assert server.gate()["running"] == 0
            with socket.create_connection(("127.0.0.1", agent_port), 5) as asked:
                assert asked.makefile().read().startswith("up 100% ")
        assert running.take(HUGE_BYTES) == bytes(HUGE_BYTES)
    until(lambda: server.process.poll() == 0, "the old one has ended")
    assert server.ask_admin("/readyz").status == 200
    lineage.end()


def test_a_successor_that_does_not_start_changes_nothing(tmp_path: Path, huge: Path, serve: Serve) -> None:
    """The file of settings has a mistake by now: the successor says so, and we go on. Corrected, it works."""
    config = tmp_path / "freight.toml"
    config.write_text("hidden = true\n")
    server = serve(huge, "--config", str(config), "--drain", "1h")
    lineage = Lineage(server)
    with server.begin() as running:
        config.write_text("hiden = true\n")
        server.signal(signal.SIGUSR2)
        assert server.await_log("upgrade failed").endswith(
            "the new process did not start serving; it ended with status 2"
        )
        server.await_log("freight: ", "did you mean hidden?")
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        config.write_text("hidden = false\n")
        try:
            lineage.hand_over()
            assert running.take(HUGE_BYTES) == bytes(HUGE_BYTES)
            running.socket.close()
            server.await_log(f"info process {server.pid}, which has handed over: stopped: 2 downloads completed")
            assert lineage.end() == 0
        finally:
            lineage.close()


def test_who_drains_after_it_has_handed_over_ends_at_once_by_the_second_signal(
    huge: Path, serve: Serve, found: Found
) -> None:
    """A service manager that stops all processes of the service sends the first to both."""
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    lineage = found(server)
    with server.begin() as running:
        lineage.hand_over()
        server.signal()
        assert running.take(1 << 20) == bytes(1 << 20)
        server.signal()
        assert lineage.end() == 128 + signal.SIGTERM


@pytest.mark.needs("unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a namespace of processes")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_process_1_of_a_container_goes_on(huge: Path, serve: Serve, workers: str) -> None:
    """With it all others there would end."""
    server = serve(huge, "--workers", workers, within=("unshare", "--pid", "--fork", "--kill-child"))
    (first,) = children(server.pid)
    os.kill(first, signal.SIGUSR2)
    assert "it is process 1 of a container" in server.await_log("upgrade failed")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


@pytest.mark.parametrize(
    ("change", "workers"),
    [("an interpreter that is gone", "1"), ("an interpreter that is gone", "2"), ("no descriptors", "1")],
)
def test_what_cannot_be_started_is_said(tmp_path: Path, huge: Path, serve: Serve, change: str, workers: str) -> None:
    """The interpreter was taken away; or there are no descriptors to spare."""
    if change == "no descriptors":
        server = serve(huge, "--idle-timeout", "1h", nofile=32)
        with ExitStack() as clients:
            for _ in range(40):
                clients.enter_context(server.connect(receive_bytes=4096)).get("/")
            server.await_log("cannot accept more connections")
            server.signal(signal.SIGUSR2)
            server.await_log("upgrade failed", "Too many open files")
        return
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    server = serve(huge, "--workers", workers, within=(sys.executable, "-c", _BY_ANOTHER_NAME, str(python)))
    python.unlink()
    server.signal(signal.SIGUSR2)
    assert server.await_log("upgrade failed").endswith(
        f"{python} could not be started: No such file or directory; to upgrade, stop this server and start it again"
    )
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_told_to_stop_while_it_hands_over_it_leaves_nobody_behind(huge: Path, serve: Serve) -> None:
    """Its successor is held up before it is ready."""
    server = serve(huge)
    server.signal(signal.SIGUSR2)
    until(lambda: children(server.pid) != [], "its successor is there")
    (successor,) = children(server.pid)
    os.kill(successor, signal.SIGSTOP)
    try:
        server.signal()
        assert server.wait() == 0
        until(lambda: not runs(successor), "its successor has ended")
        assert not any("handed over" in line for line in server.log)
    finally:
        if runs(successor):
            os.kill(successor, signal.SIGKILL)


def test_descriptors_do_not_add_up(huge: Path, serve: Serve, found: Found) -> None:
    """A fifth successor has as many as the first one."""
    server = serve(huge, admin=True)
    lineage = found(server)

    def descriptors(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    first = lineage.hand_over()
    server.status()
    until(lambda: not runs(server.pid) or server.process.poll() is not None, "the first has ended")
    before = descriptors(first)
    for _ in range(4):
        lineage.hand_over()
        server.status()
    until(lambda: not runs(lineage.pids[-2]), "the last but one has ended")
    assert descriptors(lineage.pids[-1]) == before
    lineage.end()
