"""Where a file system, a sandbox or an old kernel refuses a call, freight uses another, and says so once."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.tools.loadgen.gauge import evict
from support.certificates import unverified_context
from support.memory_gauges import send_queues
from support.raw_h2 import Http2Client
from support.refusals import sandbox
from support.servers import Serve, assert_nothing_for, wait_until
from support.worker_snapshots import stall_in_each

SLACK_BYTES = 512 * 1024  # of the admin listener, which is not in the budget

BLIND = {"SO_MEMINFO": errno.ENOPROTOOPT, "TCP_INFO": errno.ENOPROTOOPT, "SIOCOUTQ": errno.ENOTTY}

SANDBOXES = {
    "sendfile: EINVAL": ({"sendfile": errno.EINVAL}, ["sendfile(2)"]),
    "sendfile: ENOSYS": ({"sendfile": errno.ENOSYS}, ["sendfile(2)"]),
    "sendfile: EPERM": ({"sendfile": errno.EPERM}, ["sendfile(2)"]),
    "posix_fadvise": ({"posix_fadvise": errno.ENOSYS}, ["posix_fadvise(2)"]),
    "preadv2": ({"preadv2": errno.ENOSYS}, []),
    "preadv2: EPERM": ({"preadv2": errno.EPERM}, []),
    "preadv2 and sendfile": ({"preadv2": errno.ENOSYS, "sendfile": errno.EPERM}, ["sendfile(2)"]),
    "preadv2 and sendfile: EPERM": ({"preadv2": errno.EPERM, "sendfile": errno.EPERM}, ["sendfile(2)"]),
    "SO_MEMINFO": ({"SO_MEMINFO": errno.ENOPROTOOPT}, ["SO_MEMINFO"]),
    "TCP_INFO": ({"TCP_INFO": errno.ENOPROTOOPT}, ["TCP_INFO"]),
    "SIOCOUTQ": ({"SIOCOUTQ": errno.ENOTTY}, ["SIOCOUTQ"]),
    "all about sockets": (BLIND, ["SO_MEMINFO", "TCP_INFO", "SIOCOUTQ"]),
    "openat2, madvise, SO_BUF_LOCK": (dict.fromkeys(("openat2", "madvise", "SO_BUF_LOCK"), errno.ENOSYS), []),
}


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Return what ``file.bin`` has, of which no block equals another."""
    content = os.urandom(1 << 20) * 8
    content = b"".join(bytes([number]) + content[number << 16 : (number + 1) << 16] for number in range(128))
    (tmp_path / "file.bin").write_bytes(content)
    return content


@pytest.mark.parametrize("name", SANDBOXES)
def test_a_server_in_a_sandbox_sends_the_same_bytes_and_says_once_what_is_refused(
    tmp_path: Path, serve: Serve, content: bytes, name: str
) -> None:
    refusals, said = SANDBOXES[name]
    server = serve(tmp_path, within=sandbox(**refusals))
    for _ in range(2):
        assert server.get("/file.bin").content == content
    part = server.get("/file.bin", "Range: bytes=1000-5000000")
    assert (part.status, part.content) == (206, content[1000:5000001])
    parts = server.get("/file.bin", "Range: bytes=0-99999,700000-7000000")
    assert parts.status == 206 and content[:100000] in parts.content and content[700000:7000001] in parts.content
    server.wait_for_log("206", "complete", count=2)
    for call in said:
        server.wait_for_log("warning", call, "does not work here")
    assert len([line for line in server.log if " warning " in line]) == len(said), server.log


def test_a_server_that_may_not_accept_says_so_once_and_ends(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path, within=sandbox(accept4=errno.EPERM))
    with server.connect(), server.connect():
        server.wait_for_log("warning cannot accept more connections for now: Operation not permitted")
        server.signal()
        assert server.wait() == 0
    assert len([line for line in server.log if "cannot accept" in line]) == 1, server.log


def test_several_workers_say_once_together_what_is_refused(tmp_path: Path, serve: Serve, content: bytes) -> None:
    server = serve(tmp_path, "--workers", "3", admin=True, within=sandbox(sendfile=errno.EPERM))
    with ExitStack() as clients:
        for client in stall_in_each(server, lambda each: each.start_download("/file.bin")):
            clients.enter_context(client)
    server.wait_for_log("warning", "sendfile(2)")
    assert_nothing_for(3.0, lambda: len([line for line in server.log if "sendfile(2)" in line]) > 1, "said again")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("refused", [("preadv2",), ("preadv2", "sendfile")], ids=" and ".join)
@pytest.mark.parametrize("flags", [(), ("--tls-self-signed",)], ids=["h2c", "TLS and h2"])
def test_without_preadv2_a_server_sends_the_same_bytes_by_each_protocol(
    tmp_path: Path, serve: Serve, content: bytes, flags: tuple[str, ...], refused: tuple[str, ...], number: int
) -> None:
    """EPERM comes from the profile of an old container runtime, which glibc does not take for a call that is missing.

    What is logged names the call that is refused.
    """
    (tmp_path / "small.bin").write_bytes(content[:1000])
    server = serve(tmp_path, *flags, within=sandbox(**dict.fromkeys(refused, number)))
    for _ in range(2):
        evict(tmp_path / "file.bin")
        assert server.get("/file.bin").content == content
        assert server.get("/small.bin").content == content[:1000]
        with Http2Client(server, tls=unverified_context() if flags else None) as client:
            assert client.get("/file.bin").content == content
            assert client.get("/small.bin").content == content[:1000]
    if number == errno.EPERM:
        server.wait_for_log("warning", "does not work here")
    assert {line.split()[2] for line in server.log if " warning " in line} <= {f"{call}(2)" for call in refused}


@pytest.mark.parametrize("name", ["sendfile: EINVAL", "all about sockets"])
def test_a_file_that_shrinks_never_arrives_as_whole_in_a_sandbox(huge: Path, serve: Serve, name: str) -> None:
    server = serve(huge, within=sandbox(**SANDBOXES[name][0]))
    with server.start_download("/") as client:
        os.truncate(huge, 1_000_000)
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    assert server.wait_for_log("GET /").endswith((" changed", " short-read"))


@pytest.mark.parametrize("name", ["sendfile: EINVAL", "SO_MEMINFO", "all about sockets"])
def test_clients_that_do_not_read_keep_within_the_memory_in_a_sandbox(huge: Path, serve: Serve, name: str) -> None:
    """The process and the kernel's send queues together."""
    server = serve(huge, "--memory", "4MB", admin=True, within=sandbox(**SANDBOXES[name][0]))
    with server.start_download("/", "Range: bytes=0-9") as first:  # what is allocated once is no client's
        first.read_exactly(10)
    before = server.private_bytes()
    with ExitStack() as clients:
        for _ in range(60):
            clients.enter_context(server.connect(receive_bytes=4096)).get("/")
        wait_until(lambda: server.gate()["running"] >= 50, "most downloads run")
        # All have a head and as many bytes as fit: a queue that nobody reads does not shrink again.
        wait_until(lambda: sum(size > 4096 for size in send_queues(server)) >= 50, "their queues are filled")
        assert sum(send_queues(server)) + server.private_bytes() - before <= 4_000_000 + SLACK_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_cold_files_are_served_where_there_is_no_dev(tmp_path: Path, serve: Serve, content: bytes) -> None:
    """A root without /dev: a container from scratch."""
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh")
    server = serve(tmp_path, within=hide)
    assert not os.path.exists(f"/proc/{server.pid}/root/dev/null")
    evict(tmp_path / "file.bin")
    assert server.get("/file.bin").content == content
    server.wait_for_log("GET /file.bin", "complete")
    assert not [line for line in server.log if " warning " in line], server.log
