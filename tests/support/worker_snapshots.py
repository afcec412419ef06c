"""Observe a server of several workers from outside."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable

from support.processes import children, state_of
from support.servers import Client, ServerProcess, wait_until

FILE_BYTES = 16 << 20  # of the file that they serve
MOST = 100  # downloads until each worker has one: a worker with more connections waits for 2 ms only


def running(server: ServerProcess) -> Counter[int]:
    """Return how many downloads each worker runs, by pid, once each that has a slot is shown."""
    status = server.status_when(
        lambda found: len(found["transfers"]["running"]) == found["admission"]["running"],
        "all files of running downloads are open",
    )
    return Counter(each["worker"] for each in status["transfers"]["running"])


def server_processes(pid: int, workers: int = 2) -> list[int]:
    """Return the workers of a supervisor, and then the process of its admin listener.

    The last starts after the server has logged that it serves.
    """
    wait_until(lambda: len(children(pid)) == workers + 1, "all processes of the server have started")
    return children(pid)


def answers_of_each(server: ServerProcess, ask: Callable[[], str]) -> list[str]:
    """Return the answer of each of two workers, which is asked while the other is stopped and accepts nothing."""
    answers = list[str]()
    for stopped in server_processes(server.pid)[:2]:
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_until(lambda pid=stopped: state_of(pid) == "T", "it is stopped")  # type: ignore[misc]
            answers.append(ask())
        finally:
            os.kill(stopped, signal.SIGCONT)
    return answers


def refuses(server: ServerProcess, port: int | None = None) -> bool:
    """Return whether connections are refused."""
    try:
        socket.create_connection((server.host, port or server.port), 5).close()
    except OSError:
        return True
    return False


def stall_in_each(server: ServerProcess, start_stalled: Callable[[ServerProcess], Client]) -> list[Client]:
    """Start stalled downloads, at least one in each worker."""
    clients = [start_stalled(server)]
    while len(running(server)) < server.status()["workers"]["wanted"]:
        assert len(clients) < MOST, "one worker has them all"
        clients.append(start_stalled(server))
    return clients
