"""Looks at a server of several workers from outside."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable

from processes import children
from serving import Client, Served, until

FILE_BYTES = 16 << 20  # of the file that they serve
MOST = 100  # downloads until each worker has one: who has more waits for 2 ms only, which a busy machine may take


def running(server: Served) -> Counter[int]:
    """How many downloads each worker runs, by pid."""
    return Counter(each["worker"] for each in server.status()["transfers"]["running"])


def crew(pid: int, workers: int = 2) -> list[int]:
    """Return the workers of a supervisor with an admin listener, and then the process that answers there.

    The last is started after the server has said that it serves.
    """
    until(lambda: len(children(pid)) == workers + 1, "all processes of the server have been started")
    return children(pid)


def refuses(server: Served, port: int | None = None) -> bool:
    """Whether nobody can connect."""
    try:
        socket.create_connection((server.host, port or server.port), 5).close()
    except OSError:
        return True
    return False


def begin_in_each(server: Served, begun: Callable[[Served], Client]) -> list[Client]:
    """Downloads that stand still: at least one in each worker."""
    clients = [begun(server)]
    while len(running(server)) < server.status()["workers"]["wanted"]:
        assert len(clients) < MOST, "one worker has them all"
        clients.append(begun(server))
    return clients
