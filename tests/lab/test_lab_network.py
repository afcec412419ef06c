"""The two ends of a long line: who is where, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freight.lab import network
from freight.lab.network import LOOPBACK, inside, line
from freight.lab.servers import Unfit
from processes import environment, run, running, runs
from serving import until


def here() -> int:
    """The network namespace of this thread, by its inode."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def command_of(pid: str) -> bytes:
    """The command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.needs("ip")
def test_each_end_of_a_line_is_a_namespace_of_its_own_and_both_go_with_it() -> None:
    own, names = here(), set(Path("/run/netns").glob("*"))
    try:
        with line(0, 100) as ends:
            assert ends.server is not None and ends.client is not None and ends.carrier_pid is not None
            assert len({own, os.fstat(ends.server).st_ino, os.fstat(ends.client).st_ino}) == 3
            with inside(ends.server):
                assert here() == os.fstat(ends.server).st_ino
                listening = socket.create_server((ends.host, 0))
                with inside(ends.client):
                    assert here() == os.fstat(ends.client).st_ino
                    far = socket.create_connection(listening.getsockname(), 10)
                assert here() == os.fstat(ends.server).st_ino
            assert here() == own
            with listening, far, listening.accept()[0] as near:
                near.settimeout(10)
                far.sendall(b"over the line")
                assert near.recv(100) == b"over the line"
            assert set(Path("/run/netns").glob("*")) == names  # no name that a killed lab could leave there
    except Unfit as why:
        pytest.skip(str(why))
    assert not Path(f"/proc/{ends.carrier_pid}").exists()
    for end in (ends.server, ends.client):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


@pytest.mark.needs("ip")
def test_a_line_ends_with_the_lab_that_is_killed(tmp_path: Path) -> None:
    try:
        with line(0, 100):
            pass
    except Unfit as why:
        pytest.skip(str(why))
    lab = [sys.executable, "-m", "freight", "lab", "--quick", "--scenario", "path", "--out", str(tmp_path / "out")]
    with running(lab, env=environment(TMPDIR=str(tmp_path)), stderr=subprocess.DEVNULL) as process:

        def carriers() -> list[int]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            return [int(pid) for pid in children if b"freight.lab.link" in command_of(pid)]

        until(lambda: len(carriers()) == 1, "a process carries packets")
        (carrier,) = carriers()
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    until(lambda: not runs(carrier), "it has ended")


def test_the_loopback_is_in_the_namespace_of_the_lab() -> None:
    own = here()
    with inside(LOOPBACK.server), inside(LOOPBACK.client):
        assert here() == own
    assert LOOPBACK.host == "127.0.0.1"


def test_a_machine_without_tun_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "_TUN", tmp_path / "tun")
    with pytest.raises(Unfit, match=r"^a long line needs .*/tun, which is not there$"), line(0, 100):
        pass


def test_a_machine_without_ip_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "_TUN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unfit, match=r"^a long line needs ip\(8\), which is not installed$"), line(0, 100):
        pass


def test_a_line_that_ends_at_once_says_why() -> None:
    words = (
        sys.executable,
        "-m",
        "freight.lab.link",
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
