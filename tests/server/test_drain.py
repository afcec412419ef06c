"""Starting and stopping: one clear line when a server cannot start; running downloads finish after SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import environment, run
from support.raw_h2 import Http2Client
from support.servers import HUGE_BYTES as SIZE
from support.servers import Serve, ServerProcess, assert_nothing_for, run_python, wait_until

SERVE = ("-m", "freight", "serve")


def refuses(server: ServerProcess) -> bool:
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
    with server.start_download() as client:
        server.signal(number)
        wait_until(lambda: refuses(server), "new connections are refused")
        assert client.read_exactly(SIZE) == bytes(SIZE)
    assert server.wait() == 0
    *_, last, end = server.log
    assert last.endswith(f"{SIZE}/{SIZE} {last.split()[-2]} complete")
    assert end.endswith(" info stopped: 1 download completed")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_over_http2_a_download_is_finished_although_its_client_pauses(huge: Path, serve: Serve, workers: str) -> None:
    """The client sends nothing for several intervals of the sweep. It does not even acknowledge the GOAWAY."""
    server = serve(huge, "--shutdown-timeout", "1h", "--workers", workers)
    with Http2Client(server, stream_window=1 << 20, grows=False) as client:
        stream = client.request()
        client.wait(lambda: len(client.received[stream].content) == 1 << 20)
        server.signal()
        server.wait_for_log("stopping: 1 download")
        assert_nothing_for(3, lambda: any("GET /" in line for line in server.log), "the download ended")
        client.increase_window(SIZE, stream)
        assert client.response(stream).content == bytes(SIZE)
    assert server.wait() == 0
    server.wait_for_log("GET /", f"{SIZE}/{SIZE}", "complete")


@pytest.mark.parametrize(
    ("number", "again"), [(signal.SIGTERM, "another SIGTERM"), (signal.SIGINT, "Ctrl-C again")], ids=["term", "int"]
)
def test_what_still_runs_and_for_how_long_is_said_at_once(
    huge: Path, serve: Serve, number: signal.Signals, again: str
) -> None:
    server = serve(huge, "--shutdown-timeout", "90m", "--idle-timeout", "1h")
    with server.start_download(), server.start_download():
        server.signal(number)
        line = server.wait_for_log("stopping")
        assert line.endswith(f"Z info stopping: 2 downloads may take 90m more; {again} ends them now")
        server.signal(number)
        assert server.wait() == 128 + number
    assert server.log[-1].endswith("Z info stopped: 0 downloads completed, 2 aborted (2 by this stop)")


def test_a_server_without_downloads_only_says_that_it_has_stopped(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    with server.connect() as idle:
        server.signal()
        assert idle.read_to_end() == b""
    assert server.wait() == 0
    assert [line.split(" ", 1)[1] for line in server.log] == ["info stopped"]


def test_a_client_that_slowly_reads_the_end_of_an_answer_is_logged(tmp_path: Path, serve: Serve) -> None:
    """The kernel has all of the answer, and the server waits until it has arrived."""
    (tmp_path / "small.bin").write_bytes(bytes(500_000))
    server = serve(tmp_path, "--shutdown-timeout", "1h", admin=True)
    with server.connect(receive_bytes=4096) as client:
        client.get("/small.bin")

        def after(more_bytes: int, condition: Callable[[], bool]) -> bool:
            client.read_exactly(more_bytes)
            return condition()

        client.read_exactly(450_000)
        # No more than that: what the kernel has then is more than the client's kernel takes.
        wait_until(lambda: after(1000, lambda: server.gate()["running"] == 0), "the kernel has the end of it")
        server.signal()
        wait_until(lambda: after(2, lambda: any("stopping" in line for line in server.log)), "the log says so")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
    assert server.log[-3].endswith("info stopping: 1 connection may take 59m56s more; another SIGTERM ends it now")
    assert server.log[-2].endswith(" drained")
    assert server.log[-1].endswith("info stopped: 0 downloads completed, 1 aborted (1 by this stop)")


def test_a_connection_between_requests_is_closed_at_once(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    with server.connect() as silent, server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.read_response()
        server.signal()
        assert kept.read_to_end() == b""
        assert silent.read_to_end() == b""
    assert server.wait() == 0


def test_what_is_left_when_the_time_is_over_is_reset_and_logged_as_drained(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "300ms")
    with server.start_download() as client:
        server.signal()
        assert server.wait() == 0
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    *_, last, end = server.log
    assert last.endswith(" drained")
    assert end.endswith(" info stopped: 0 downloads completed, 1 aborted (1 by this stop)")


def test_a_second_signal_ends_it_at_once(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    with server.start_download() as client:
        server.signal()
        wait_until(lambda: refuses(server), "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    *_, last, end = server.log
    assert last.endswith(" drained")
    assert end.endswith(" info stopped: 0 downloads completed, 1 aborted (1 by this stop)")


def test_during_the_shutdown_delay_requests_are_answered_while_readyz_fails(huge: Path, serve: Serve) -> None:
    """A load balancer sees that and uses other servers before any client is refused."""
    server = serve(huge, "--shutdown-delay", "1h", admin=True)
    with server.connect() as kept:
        kept.get("/", "Range: bytes=0-9")
        kept.read_response()
        server.signal()
        wait_until(lambda: server.ask_admin("/readyz").status == 503, "/readyz fails")
        server.wait_for_log("info stopping: requests are accepted for 1h more, then downloads may take 30s;")
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        kept.get("/", "Range: bytes=10-19")
        assert "connection" not in kept.read_response().fields


def test_after_the_shutdown_delay_connections_are_refused(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-delay", "200ms")
    with server.start_download() as client:
        server.signal()
        wait_until(lambda: refuses(server), "the delay is over")
        assert client.read_exactly(SIZE) == bytes(SIZE)
    assert server.wait() == 0


def test_a_second_signal_cuts_the_delay_short(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-delay", "1h", "--shutdown-timeout", "1h", admin=True)
    with server.start_download() as client:
        server.signal()
        wait_until(lambda: server.ask_admin("/readyz").status == 503, "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_an_answer_during_the_drain_says_that_the_connection_ends(huge: Path, serve: Serve) -> None:
    """A request of which a part has arrived is still answered, with Connection: close."""
    server = serve(huge, "--shutdown-timeout", "1h")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n")
        with server.connect() as other:  # by the time this one is answered the other's bytes have been seen
            other.get("/", "Range: bytes=0-9")
            other.read_response()
        server.signal()
        wait_until(lambda: refuses(server), "the signal was seen")
        client.send(b"\r\n")
        answer = client.read_response()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.read_to_end() == b""
    assert server.wait() == 0


UNREAD = 16 << 20  # more than the kernels of both sides take


@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_client_that_cannot_know_of_the_drain_has_one_more_answer(huge: Path, serve: Serve, asked: str) -> None:
    """The head of the running answer was sent before the signal, so one more request is answered."""
    server = serve(huge, "--shutdown-timeout", "1h")
    with server.start_download() as client:
        if asked == "before":  # pipelined
            client.get("/", "Range: bytes=0-9")
            client.get("/", "Range: bytes=0-9")
        server.signal()
        wait_until(lambda: refuses(server), "the signal was seen")
        content = client.read_exactly(SIZE - UNREAD)
        if asked == "after":  # and before the last byte was sent: from then on the server waits for a second
            client.get("/", "Range: bytes=0-9")
        assert content + client.read_exactly(UNREAD) == bytes(SIZE)
        answer = client.read_response()
        assert (answer.content, answer.fields["connection"]) == (bytes(10), "close")
        assert client.read_to_end() == b""
    assert server.wait() == 0


def test_a_client_that_keeps_its_connection_and_sends_no_request_does_not_delay_the_end(
    huge: Path, serve: Serve
) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    with server.start_download() as client:
        server.signal()
        assert client.read_exactly(SIZE) == bytes(SIZE)
        assert client.read_to_end() == b""
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
        '"freight make-sample sample.csv" makes a file to try freight with\n'
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_path_is_one_clear_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0)
    ended = run_python(*SERVE, str(tmp_path / "secret"), "--port", "0")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, "a..b", "no such host", ""])
def test_an_address_that_cannot_be_bound_is_one_clear_line_and_status_2(tmp_path: Path, host: str) -> None:
    ended = run_python(*SERVE, str(tmp_path), "--port", "0", "--host", host)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("freight: --host: ") and ended.stderr.count("\n") == 1
    assert "Errno" not in ended.stderr and "attempting" not in ended.stderr


@pytest.mark.needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its privileges")
def test_a_port_that_needs_a_privilege_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    """Python's own message repeats the address and does not say what to do."""
    try:
        least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        least = 1024
    if least <= 81:
        pytest.skip("no port needs a privilege here")
    words = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", sys.executable)
    ended = run(*words, *SERVE, str(tmp_path), "--port", "81", env=environment())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "freight: --port: no permission to listen on port 81: ports below 1024 need root, or CAP_NET_BIND_SERVICE; "
        "use a higher one\n"
    )
