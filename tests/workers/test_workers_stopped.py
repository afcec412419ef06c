"""A server ends although one of its processes does not obey: it is stopped (SIGSTOP), as by a debugger."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.servers import Serve
from support.worker_snapshots import server_processes


@pytest.mark.parametrize("which", ["the admin process", "a worker", "all"])
@pytest.mark.parametrize(
    "stop_signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGINT)]
)  # two of one kind may merge
def test_a_server_ends_although_a_process_is_stopped(
    serve: Serve, file: Path, which: str, stop_signals: tuple[int, ...]
) -> None:
    server = serve(file, "--workers", "2", "--shutdown-timeout", "1s", admin=True)
    children = server_processes(server.pid)
    for pid in {"the admin process": children[-1:], "a worker": children[:1], "all": children}[which]:
        os.kill(pid, signal.SIGSTOP)
    for number in stop_signals:
        server.signal(number)
    assert server.wait() in ([0] if len(stop_signals) == 1 else [128 + number for number in stop_signals])
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
