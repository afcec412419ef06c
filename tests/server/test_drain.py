"""Starting and stopping: one clear line when it cannot begin; running downloads finish when it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import HUGE_BYTES as SIZE
from serving import Served, run_python, until

Serve = Callable[..., Served]

SERVE = ("-m", "freight", "serve")


def refuses(server: Served) -> bool:
    try:
        socket.create_connection((server.host, server.port), 5).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_download_is_finished_and_the_exit_status_is_0(
    huge: Path, serve: Serve, number: signal.Signals
) -> None:
    server = serve(huge)
    with server.begin() as client:
        server.signal(number)
        until(lambda: refuses(server), "new connections are refused")
        assert client.take(SIZE) == bytes(SIZE)
    assert server.wait() == 0
    assert server.log[-1].endswith(f"{SIZE}/{SIZE} {server.log[-1].split()[-2]} complete")


def test_a_connection_between_requests_is_closed_at_once(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    with server.connect() as silent, server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.answer()
        server.signal()
        assert kept.rest() == b""
        assert silent.rest() == b""
    assert server.wait() == 0


def test_what_is_left_when_the_time_is_over_is_reset_and_logged_as_drained(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "300ms")
    with server.begin() as client:
        server.signal()
        assert server.wait() == 0
        with pytest.raises(ConnectionResetError):
            client.rest()
    assert server.log[-1].endswith(" drained")


def test_a_second_signal_ends_it_at_once(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    with server.begin() as client:
        server.signal()
        until(lambda: refuses(server), "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            client.rest()
    assert server.log[-1].endswith(" drained")


def test_a_delay_of_the_drain_takes_requests_while_readyz_says_no(huge: Path, serve: Serve) -> None:
    """Who balances sees it, and goes elsewhere, before anybody is refused; until then nobody notices."""
    server = serve(huge, "--drain-delay", "1s", admin=True)
    with server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.answer()
        server.signal()
        until(lambda: server.ask_admin("/readyz").status == 503, "it says that it is stopping")
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        kept.get("/", "Range: bytes=10-19")
        assert "connection" not in kept.answer().fields
    until(lambda: refuses(server), "the delay is over")
    assert server.wait() == 0


def test_a_second_signal_cuts_the_delay_short(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain-delay", "1h", "--drain", "1h", admin=True)
    with server.begin() as client:
        server.signal()
        until(lambda: server.ask_admin("/readyz").status == 503, "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_an_answer_during_the_drain_says_that_the_connection_ends(huge: Path, serve: Serve) -> None:
    """A request that has begun to arrive is still answered; behind it the client is told to come no more."""
    server = serve(huge, "--drain", "1h")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n")
        with server.connect() as other:  # by the time this one is answered the other's bytes have been seen
            other.get("/", "Range: bytes=0-9")
            other.answer()
        server.signal()
        until(lambda: refuses(server), "the signal was seen")
        client.send(b"\r\n")
        answer = client.answer()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.rest() == b""
    assert server.wait() == 0


def test_a_taken_port_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_python(*SERVE, str(tmp_path), "--port", port)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert port in ended.stderr and "taken" in ended.stderr


def test_a_missing_path_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    ended = run_python(*SERVE, str(tmp_path / "not-here"), "--port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "not-here" in ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_path_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0)
    ended = run_python(*SERVE, str(tmp_path / "secret"), "--port", "0")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, "a..b", "no such host", ""])
def test_an_address_that_cannot_be_had_is_one_clear_line_and_status_2(tmp_path: Path, host: str) -> None:
    ended = run_python(*SERVE, str(tmp_path), "--port", "0", "--host", host)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
