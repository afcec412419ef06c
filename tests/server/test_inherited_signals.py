"""A server obeys its operator whatever its parent process has done with signals (execve(2) passes that on)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from support.servers import Serve

_BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
_CHILDREN_IGNORED = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
_IGNORED = "[signal.signal(each, signal.SIG_IGN) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)]"
_EXECUTE = "import os, signal, sys; {}; os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("parent", [_BLOCKED, _CHILDREN_IGNORED, _IGNORED], ids=["blocked", "no children", "ignored"])
def test_a_signal_stops_the_server(huge: Path, serve: Serve, parent: str, workers: str, number: signal.Signals) -> None:
    server = serve(huge, "--workers", workers, within=(sys.executable, "-c", _EXECUTE.format(parent)))
    server.signal(number)
    assert server.wait() == 0


@pytest.mark.parametrize("parent", [_BLOCKED, _CHILDREN_IGNORED], ids=["blocked", "no children"])
def test_a_worker_that_is_killed_is_replaced(huge: Path, serve: Serve, parent: str) -> None:
    server = serve(huge, "--workers", "2", within=(sys.executable, "-c", _EXECUTE.format(parent)))
    killed = server.pids()[1]
    os.kill(killed, signal.SIGKILL)
    server.wait_for_log(f"(pid {killed}) was ended by SIGKILL; a new one is started")
