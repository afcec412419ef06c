"""A server of the smallest budget, which has two slots of each lane, and requests that take them one after another."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from support.servers import Client, Serve, wait_until


class Lanes:
    """A server of ``root`` whose queued requests wait as long as a test needs."""

    def __init__(self, serve: Serve, root: Path, clients: ExitStack) -> None:
        patient = ("--idle-timeout", "10m", "--queue-timeout", "10m")
        self.server = serve(root, "--memory", "192KiB", *patient, admin=True)
        self._clients = clients

    def ask(self, target: str, express: int, waiting: int, *fields: str) -> Client:
        """Send a request, and wait until so many run in the express lane and so many wait."""
        client = self._clients.enter_context(self.server.connect(receive_bytes=4096))
        client.get(target, *fields)
        wait_until(lambda: self.counts() == (express, waiting), f"{express} small ones run, and {waiting} wait")
        return client

    def counts(self) -> tuple[int, int]:
        """Return how many requests run in the express lane, and how many wait."""
        found = self.server.gate()
        return found["express_running"], found["waiting"]
