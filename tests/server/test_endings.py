"""Transfers that cannot be finished end by a reset, never look complete, and leave nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.servers import HUGE_BYTES as SIZE
from support.servers import IncompleteResponse, Serve, assert_nothing_for, wait_until

HUGE = 1 << 40


KINDS = {
    "the whole file": ((), (), "1.1"),
    "a range": ((), ("Range: bytes=1000-60000000",), "1.1"),
    "ranges": ((), ("Range: bytes=0-30000000,31000000-67108863",), "1.1"),
    "chunked": (("--chunked",), (), "1.1"),
    "up to the end of the connection": (("--chunked",), (), "1.0"),
}


def shrink(path: Path) -> None:
    os.truncate(path, 1_000_000)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE - 1)
        file.write(b"!")


@pytest.mark.parametrize("change", [shrink, rewrite])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_meanwhile_never_arrives_as_whole(
    huge: Path, serve: Serve, kind: str, change: Callable[[Path], None]
) -> None:
    arguments, fields, version = KINDS[kind]
    server = serve(huge, *arguments)
    with server.start_download("/", *fields, version=version) as client:
        change(huge)
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    line = server.wait_for_log("GET /")
    assert line.endswith((" changed", " short-read"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_grows_meanwhile_arrives_as_announced(huge: Path, serve: Serve, kind: str) -> None:
    """A log, or an export that still runs."""
    arguments, fields, version = KINDS[kind]
    server = serve(huge, *arguments)
    with server.start_download("/", "Connection: close", *fields, version=version) as client:
        with huge.open("ab") as file:
            file.write(b"more")
        content = client.read_to_end()
    announced = {"a range": 59_999_001, "ranges": 30_000_001 + 36_108_864}.get(kind, SIZE)
    assert content.count(0) == announced and b"more" not in content
    assert server.wait_for_log("GET /").endswith(" complete")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_where_the_process_is_killed_nothing_arrives_as_whole(
    huge: Path, serve: Serve, kind: str, workers: str
) -> None:
    """The kernel closes its sockets. A normal close would look like the end of a body without a length."""
    arguments, fields, version = KINDS[kind]
    server = serve(huge, "--workers", workers, *arguments, admin=True)
    with server.start_download("/", *fields, version=version) as client:
        status = server.status_when(lambda found: found["transfers"]["running"], "the download is shown")
        (running,) = status["transfers"]["running"]
        os.kill(running["worker"] if workers != "1" else server.process.pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_a_stalled_client_is_reset_and_the_log_says_stalled(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "1s", "--pause-timeout", "none")
    idle = server.descriptors()
    with server.start_download() as client:
        assert server.wait_for_log("GET /").endswith(" stalled")
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    wait_until(lambda: server.descriptors() == idle, "the descriptors of a stalled client were given back")


def test_a_paused_client_goes_on_if_nobody_needed_its_slot(huge: Path, serve: Serve) -> None:
    """A paused player, or a proxy whose own buffers are full: nginx stops reading for longer than a minute."""
    server = serve(huge, "--idle-timeout", "1s", "--keep-alive-timeout", "1h")
    with server.start_download() as client:
        for _ in range(2):  # the idle timeout passes twice
            with server.connect() as silent:
                assert silent.read_to_end() == b""
        assert len(client.read_exactly(SIZE)) == SIZE
    assert server.wait_for_log("GET /").endswith(" complete")


def test_a_paused_client_is_reset_as_soon_as_a_request_waits(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "1s", "--max-per-client", "1", "--queue-timeout", "1h")
    with server.start_download() as paused:
        with server.connect() as silent:
            assert silent.read_to_end() == b""
        assert server.get("/", "Range: bytes=0-40000000").status == 206
        with pytest.raises(ConnectionResetError):
            paused.read_to_end()
    assert server.wait_for_log("GET /", " stalled").endswith(" stalled")


def test_a_slow_client_that_goes_on_reading_is_never_aborted(huge: Path, serve: Serve) -> None:
    """The idle timeout is about progress, and not about the length of a download."""
    server = serve(huge, "--idle-timeout", "1s", "--memory", "1MiB")
    with server.connect(receive_bytes=64 * 1024) as client:
        client.get("/", "Range: bytes=0-2999999")
        assert client.read_head()[0] == 206
        for _ in range(8):
            client.read_exactly(125_000)
            assert_nothing_for(0.3, lambda: bool(server.log), "a line before the end")
        assert client.read_exactly(2_000_000) == bytes(2_000_000)
    assert server.wait_for_log("GET /").endswith(" complete")


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_resets_in_mid_body_leaves_nothing_behind(huge: Path, serve: Serve, kind: str) -> None:
    arguments, fields, version = KINDS[kind]
    server = serve(huge, *arguments)
    idle = server.descriptors()
    clients = [server.start_download("/", *fields, version=version) for _ in range(10)]
    assert server.descriptors() > idle + 10  # their sockets, and a file
    for client in clients:
        client.reset()
    wait_until(lambda: server.descriptors() == idle, "all descriptors were given back")
    assert server.wait_for_log("GET /", "peer-gone", count=10)


def test_a_client_that_closes_in_mid_body_leaves_nothing_behind(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    idle = server.descriptors()
    server.start_download().socket.close()
    assert server.wait_for_log("GET /").endswith(" peer-gone")
    wait_until(lambda: server.descriptors() == idle, "all descriptors were given back")


def test_five_hundred_mixed_requests_leave_no_descriptor_open(tmp_path: Path, huge: Path, serve: Serve) -> None:
    (tmp_path / "small.txt").write_text("small")
    server = serve(tmp_path)
    idle = server.descriptors()
    for turn in range(100):
        with server.connect(receive_bytes=64 * 1024) as kept:
            kept.get("/small.txt")
            assert kept.read_response().content == b"small"
            kept.get("/nothing")
            assert kept.read_response().status == 404
            kept.get("/", method="HEAD")
            assert kept.read_response("HEAD").status == 200
            kept.get("/", f"Accept: {('text/html', 'application/json')[turn % 2]}")
            assert b"huge.bin" in kept.read_response().content
            kept.get("/huge.bin", *((), ("Range: bytes=0-9999999,20000000-",))[turn % 2])
            assert kept.read_head()[0] in (200, 206)
            if turn % 3 == 0:
                kept.reset()
    server.wait_for_log("/huge.bin", count=100)
    wait_until(lambda: server.descriptors() == idle, "all descriptors were given back")


def test_a_whole_answer_is_told_from_a_cut_one_by_the_test_client_itself(huge: Path, serve: Serve) -> None:
    """The test client must tell a truncated answer from a whole one, or these tests could not fail."""
    server = serve(huge)
    with server.connect() as client:
        client.get("/", "Range: bytes=0-99", "Connection: close")
        client.read_head()
        with pytest.raises(IncompleteResponse):
            client.read_exactly(101)
