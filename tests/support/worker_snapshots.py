"""Observe a server of several workers from outside."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable

from support.processes import children
from support.servers import Client, ServerProcess, wait_until

FILE_BYTES = 16 << 20  # of the file that they serve
MOST = 100  # downloads until each worker has one: a worker with more connections waits for 2 ms only


def running(server: ServerProcess) -> Counter[int]:
    """Return how many downloads each worker runs, by pid."""
    return Counter(each["worker"] for each in server.status()["transfers"]["running"])


def server_processes(pid: int, workers: int = 2) -> list[int]:
    """Return the workers of a supervisor, and then the process of its admin listener.

    The last starts after the server has logged that it serves.
    """
    wait_until(lambda: len(children(pid)) == workers + 1, "all processes of the server have started")
    return children(pid)


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
