"""What a service manager does: it passes sockets, and hears what services say (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path

from serving import PATIENCE_SECONDS

ACTIVATOR = str(Path(__file__).resolve().parent / "activator.py")


class Manager:
    """Hears what services say."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(PATIENCE_SECONDS)
        self.heard: list[str] = []

    def hear(self, wanted: str) -> str:
        """The next message with a line that begins so."""
        while True:
            self.heard.append(self._socket.recv(4096).decode())
            if any(line.startswith(wanted) for line in self.heard[-1].split("\n")):
                return self.heard[-1]

    def has_more(self) -> bool:
        """Whether there is something that has not been heard."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()


def passing(names: str, *listening: socket.socket) -> dict[str, tuple[str | int, ...]]:
    """What has a server started with these sockets."""
    numbers = tuple(each.fileno() for each in listening)
    words = (sys.executable, ACTIVATOR, names, ",".join(map(str, numbers)))
    return {"within": words, "pass_fds": numbers}
