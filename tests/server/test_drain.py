"""Starting and stopping: one clear line when it cannot begin; running downloads finish when it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
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
    *_, last, end = server.log
    assert last.endswith(f"{SIZE}/{SIZE} {last.split()[-2]} complete")
    assert end.endswith(" info stopped: 1 download completed")


@pytest.mark.parametrize(
    ("number", "again"), [(signal.SIGTERM, "another SIGTERM"), (signal.SIGINT, "Ctrl-C again")], ids=["term", "int"]
)
def test_what_still_runs_and_for_how_long_is_said_at_once(
    huge: Path, serve: Serve, number: signal.Signals, again: str
) -> None:
    server = serve(huge, "--drain", "90m", "--idle-timeout", "1h")
    with server.begin(), server.begin():
        server.signal(number)
        line = server.await_log("stopping")
        assert line.endswith(f"Z info stopping: 2 downloads may take 90m more; {again} ends them now")
        server.signal(number)
        assert server.wait() == 128 + number
    assert server.log[-1].endswith("Z info stopped: 0 downloads completed, 2 aborted (2 by this stop)")


def test_a_server_without_downloads_only_says_that_it_has_stopped(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    with server.connect() as idle:
        server.signal()
        assert idle.rest() == b""
    assert server.wait() == 0
    assert [line.split(" ", 1)[1] for line in server.log] == ["info stopped"]


def test_a_client_that_takes_its_time_with_the_end_of_an_answer_is_told_of(tmp_path: Path, serve: Serve) -> None:
    """The kernel has all of it, so nothing is sent any more; but the server waits for it to arrive."""
    (tmp_path / "small.bin").write_bytes(bytes(500_000))
    server = serve(tmp_path, "--drain", "1h")
    with server.connect(receive_bytes=4096) as client:
        client.get("/small.bin")

        def told(word: str, sip: int) -> bool:
            client.take(sip)
            return any(word in line for line in server.log)

        client.take(490_000)
        until(lambda: told("complete", 0), "the kernel has the end of it")
        server.signal()
        until(lambda: told("stopping", 2), "the operator is told")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
    assert server.log[-2].endswith("info stopping: 1 connection may take 59m56s more; another SIGTERM ends it now")


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
    *_, last, end = server.log
    assert last.endswith(" drained")
    assert end.endswith(" info stopped: 0 downloads completed, 1 aborted (1 by this stop)")


def test_a_second_signal_ends_it_at_once(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    with server.begin() as client:
        server.signal()
        until(lambda: refuses(server), "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            client.rest()
    *_, last, end = server.log
    assert last.endswith(" drained")
    assert end.endswith(" info stopped: 0 downloads completed, 1 aborted (1 by this stop)")


def test_a_delay_of_the_drain_takes_requests_while_readyz_says_no(huge: Path, serve: Serve) -> None:
    """Who balances sees it, and goes elsewhere, before anybody is refused; until then nobody notices."""
    server = serve(huge, "--drain-delay", "1s", admin=True)
    with server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.answer()
        server.signal()
        until(lambda: server.ask_admin("/readyz").status == 503, "it says that it is stopping")
        server.await_log("info stopping: requests are accepted for 1s more, then downloads may take 30s;")
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


@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_client_that_was_not_told_that_its_connection_ends_has_one_more_answer(
    huge: Path, serve: Serve, asked: str
) -> None:
    """The head of the running answer went out before the signal; what is asked behind it, once, is answered too."""
    server = serve(huge, "--drain", "1h")
    with server.begin() as client:
        if asked == "before":  # pipelined
            client.get("/", "Range: bytes=0-9")
            client.get("/", "Range: bytes=0-9")
        server.signal()
        until(lambda: refuses(server), "the signal was seen")
        content = client.take(SIZE)
        if asked == "after":  # at once: the server waits for a second
            client.get("/", "Range: bytes=0-9")
        assert content == bytes(SIZE)
        answer = client.answer()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.rest() == b""
    assert server.wait() == 0


def test_a_client_that_keeps_its_connection_and_asks_no_more_does_not_hold_up_the_end(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h")
    with server.begin() as client:
        server.signal()
        assert client.take(SIZE) == bytes(SIZE)
        assert client.rest() == b""
        assert server.wait() == 0


def test_a_taken_port_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_python(*SERVE, str(tmp_path), "--port", port)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"freight: --port: port {port} of 127.0.0.1 is taken by another program; use another port, or 0 for a free "
        "one\n"
    )


def test_a_missing_path_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    ended = run_python(*SERVE, str(tmp_path / "not-here"), "--port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"freight: PATH: cannot serve {tmp_path / 'not-here'}: No such file or directory; "
        '"freight sample sample.csv" makes a file to try freight with\n'
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_path_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0)
    ended = run_python(*SERVE, str(tmp_path / "secret"), "--port", "0")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, "a..b", "no such host", ""])
def test_an_address_that_cannot_be_had_is_one_clear_line_and_status_2(tmp_path: Path, host: str) -> None:
    ended = run_python(*SERVE, str(tmp_path), "--port", "0", "--host", host)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("freight: --host: ") and ended.stderr.count("\n") == 1
    assert "Errno" not in ended.stderr and "attempting" not in ended.stderr


@pytest.mark.needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its privileges")
def test_a_port_that_needs_a_privilege_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    """In Python's own words, which have the address twice, nobody would see what to do."""
    try:
        least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        least = 1024
    if least <= 81:
        pytest.skip("no port needs a privilege here")
    words = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", sys.executable)
    ended = subprocess.run(
        [*words, *SERVE, str(tmp_path), "--port", "81"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "freight: --port: no permission to listen on port 81: ports below 1024 need root, or CAP_NET_BIND_SERVICE; "
        "use a higher one\n"
    )
