"""How transfers end that cannot be finished: abortively, never as a whole body, and with nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import HUGE_BYTES as SIZE
from serving import Cut, Served, assert_nothing_for, until

Serve = Callable[..., Served]

HUGE = 1 << 40


KINDS = {
    "the whole file": ((), (), "1.1"),
    "a range": ((), ("Range: bytes=1000-60000000",), "1.1"),
    "ranges": ((), ("Range: bytes=0-30000000,31000000-67108863",), "1.1"),
    "chunked": (("--no-length",), (), "1.1"),
    "up to the end of the connection": (("--no-length",), (), "1.0"),
}


def shrink(path: Path) -> None:
    os.truncate(path, 1_000_000)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE - 1)
        file.write(b"!")


def grow(path: Path) -> None:
    os.truncate(path, SIZE + 1)


@pytest.mark.parametrize("change", [shrink, rewrite, grow])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_meanwhile_never_arrives_as_whole(
    huge: Path, serve: Serve, kind: str, change: Callable[[Path], None]
) -> None:
    arguments, fields, version = KINDS[kind]
    server = serve(huge, *arguments)
    with server.begin("/", *fields, version=version) as client:
        change(huge)
        with pytest.raises(ConnectionResetError):
            client.rest()
    line = server.await_log("GET /")
    assert line.endswith((" changed", " short-read"))


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_where_the_process_is_killed_nothing_arrives_as_whole(
    huge: Path, serve: Serve, kind: str, workers: str
) -> None:
    """The kernel closes its sockets: a close as usual would be the end of a body that ends with its connection."""
    arguments, fields, version = KINDS[kind]
    server = serve(huge, "--workers", workers, *arguments, admin=True)
    with server.begin("/", *fields, version=version) as client:
        (running,) = server.status()["transfers"]["running"]
        os.kill(running["worker"] if workers != "1" else server.process.pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_a_client_that_stands_still_is_reset_and_the_log_says_stalled(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "1s")
    idle = server.descriptors()
    with server.begin() as client:
        assert server.await_log("GET /").endswith(" stalled")
        with pytest.raises(ConnectionResetError):
            client.rest()
    until(lambda: server.descriptors() == idle, "the descriptors of a stalled client were given back")


def test_a_slow_client_that_goes_on_taking_is_never_let_go(huge: Path, serve: Serve) -> None:
    """Progress counts, not totals: what takes longer than the idle timeout is no reason to end it."""
    server = serve(huge, "--idle-timeout", "1s", "--memory", "1MiB")
    with server.connect(receive_bytes=64 * 1024) as client:
        client.get("/", "Range: bytes=0-2999999")
        assert client.head()[0] == 206
        for _ in range(8):
            client.take(125_000)
            assert_nothing_for(0.3, lambda: bool(server.log), "a line before the end")
        assert client.take(2_000_000) == bytes(2_000_000)
    assert server.await_log("GET /").endswith(" complete")


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_resets_in_mid_body_leaves_nothing_behind(huge: Path, serve: Serve, kind: str) -> None:
    arguments, fields, version = KINDS[kind]
    server = serve(huge, *arguments)
    idle = server.descriptors()
    clients = [server.begin("/", *fields, version=version) for _ in range(10)]
    assert server.descriptors() > idle + 10  # their sockets, and a file
    for client in clients:
        client.reset()
    until(lambda: server.descriptors() == idle, "all descriptors were given back")
    assert server.await_log("GET /", "peer-gone", count=10)


def test_a_client_that_closes_in_mid_body_leaves_nothing_behind(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    idle = server.descriptors()
    server.begin().socket.close()
    assert server.await_log("GET /").endswith(" peer-gone")
    until(lambda: server.descriptors() == idle, "all descriptors were given back")


def test_five_hundred_mixed_requests_leave_no_descriptor_open(tmp_path: Path, huge: Path, serve: Serve) -> None:
    (tmp_path / "small.txt").write_text("small")
    server = serve(tmp_path)
    idle = server.descriptors()
    for turn in range(100):
        with server.connect(receive_bytes=64 * 1024) as kept:
            kept.get("/small.txt")
            assert kept.answer().content == b"small"
            kept.get("/nothing")
            assert kept.answer().status == 404
            kept.get("/", method="HEAD")
            assert kept.answer("HEAD").status == 200
            kept.get("/", f"Accept: {('text/html', 'application/json')[turn % 2]}")
            assert b"huge.bin" in kept.answer().content
            kept.get("/huge.bin", *((), ("Range: bytes=0-9999999,20000000-",))[turn % 2])
            assert kept.head()[0] in (200, 206)
            if turn % 3 == 0:
                kept.reset()
    server.await_log("/huge.bin", count=100)
    until(lambda: server.descriptors() == idle, "all descriptors were given back")


def test_a_whole_answer_is_told_from_a_cut_one_by_the_test_client_itself(huge: Path, serve: Serve) -> None:
    """The client of these tests takes no cut answer for whole; otherwise they could not fail."""
    server = serve(huge)
    with server.connect() as client:
        client.get("/", "Range: bytes=0-99", "Connection: close")
        client.head()
        with pytest.raises(Cut):
            client.take(101)
