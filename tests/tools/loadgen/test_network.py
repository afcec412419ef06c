"""The two ends of a long line: each process is at its end, and nothing of the line is left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from freight.tools.loadgen import network
from freight.tools.loadgen.network import LOOPBACK, Network, Place, Unsupported, inside, long_link, veth
from support.processes import environment, is_running, run, running
from support.servers import wait_until


def here() -> int:
    """The network namespace of this thread, by its inode."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def command_of(pid: str) -> bytes:
    """The command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def inode(place: Place) -> int:
    """Return the network namespace of a place, by its inode."""
    assert place.namespace is not None
    return os.fstat(place.namespace).st_ino


@pytest.mark.needs("ip")
@pytest.mark.parametrize("connect", [veth, partial(long_link, 0, 100)], ids=["cable", "line"])
def test_each_end_is_a_namespace_of_its_own_and_both_go_with_it(
    connect: Callable[[], AbstractContextManager[Network]],
) -> None:
    own, names = here(), set(Path("/run/netns").glob("*"))
    try:
        with connect() as made:
            assert len({own, inode(made.server), inode(made.client)}) == 3
            with inside(made.server.namespace):
                assert here() == inode(made.server)
                listening = socket.create_server((made.server.host, 0))
                with inside(made.client.namespace):
                    assert here() == inode(made.client)
                    far = socket.create_connection(listening.getsockname(), 10)
                assert here() == inode(made.server)
            assert here() == own
            with listening, far, listening.accept()[0] as near:
                near.settimeout(10)
                far.sendall(b"over the line")
                assert near.recv(100) == b"over the line"
            assert set(Path("/run/netns").glob("*")) == names  # no name that a killed process could leave there
    except Unsupported as why:
        pytest.skip(str(why))
    assert made.carrier_pid is None or not Path(f"/proc/{made.carrier_pid}").exists()
    for place in (made.server, made.client):
        with pytest.raises(OSError, match="Bad file descriptor"):
            inode(place)


@pytest.mark.needs("ip")
def test_nothing_arrives_over_a_network_that_was_cut() -> None:
    try:
        with veth() as made:
            with inside(made.server.namespace):
                listening = socket.create_server((made.server.host, 0))
            made.cut()
            with listening, made.client.socket() as far, pytest.raises(OSError, match="Invalid argument"):
                far.connect(listening.getsockname())
    except Unsupported as why:
        pytest.skip(str(why))
    with pytest.raises(ValueError, match="only a network of namespaces"):
        LOOPBACK.cut()


@pytest.mark.needs("ip")
def test_a_line_ends_with_the_lab_that_is_killed(tmp_path: Path) -> None:
    try:
        with long_link(0, 100):
            pass
    except Unsupported as why:
        pytest.skip(str(why))
    lab = [sys.executable, "-m", "freight", "lab", "--quick", "--scenario", "path", "--out", str(tmp_path / "out")]
    with running(lab, env=environment(TMPDIR=str(tmp_path)), stderr=subprocess.DEVNULL) as process:

        def carriers() -> list[int]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            return [int(pid) for pid in children if b"freight.tools.loadgen.link" in command_of(pid)]

        found = list[int]()

        def carries() -> bool:
            found[:] = carriers()
            return len(found) == 1

        wait_until(carries, "a process carries packets")
        (carrier,) = found
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    wait_until(lambda: not is_running(carrier), "it has ended")


def test_the_loopback_is_in_the_namespace_of_the_lab() -> None:
    own = here()
    with inside(LOOPBACK.server.namespace), inside(LOOPBACK.client.namespace):
        assert here() == own
    assert LOOPBACK.server.host == "127.0.0.1"


def test_without_tun_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "_TUN", tmp_path / "tun")
    with pytest.raises(Unsupported, match=r"^a long line needs .*/tun, which does not exist$"), long_link(0, 100):
        pass


def test_without_ip_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "_TUN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"^a long line needs ip\(8\), which is not installed$"), long_link(0, 100):
        pass


def test_a_line_that_ends_at_once_says_why() -> None:
    words = (
        sys.executable,
        "-m",
        "freight.tools.loadgen.link",
        "/proc/self/no",
        "192.0.2.1",
        "/proc/self/no",
        "192.0.2.2",
        "0",
        "1",
    )
    done = run(*words, env=environment(), seconds=20)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr.splitlines()[-1]
