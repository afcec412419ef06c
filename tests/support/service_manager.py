"""A service manager: it passes sockets and receives notifications (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path

from support.servers import TIMEOUT_SECONDS

ACTIVATOR = str(Path(__file__).resolve().parent / "socket_activator.py")


class ServiceManager:
    """The socket for notifications of services. ``messages``: all messages so far."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(TIMEOUT_SECONDS)
        self.messages: list[str] = []

    def receive(self, wanted: str) -> str:
        """Wait for the next message with a line that starts with ``wanted``, and return it."""
        while True:
            self.messages.append(self._socket.recv(4096).decode())
            if any(line.startswith(wanted) for line in self.messages[-1].split("\n")):
                return self.messages[-1]

    def has_unread(self) -> bool:
        """Return whether a message waits."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()


def socket_activation(names: str, *listening: socket.socket) -> dict[str, tuple[str | int, ...]]:
    """Return arguments of ``serve`` that pass these sockets to the server."""
    numbers = tuple(each.fileno() for each in listening)
    words = (sys.executable, ACTIVATOR, names, ",".join(map(str, numbers)))
    return {"within": words, "pass_fds": numbers}
