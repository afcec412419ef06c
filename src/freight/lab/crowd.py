"""Thousands of clients in their own process, which is controlled over a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Self

from freight.errors import FreightError
from freight.lab import tether
from freight.lab.client import Manner
from freight.lab.network import LOOPBACK, Ends, inside


class Lost(FreightError):
    """A process of the lab has ended unexpectedly, or something took too long."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The number of clients in each state (:class:`freight.lab.client.At`), bytes of body read, and the time."""

    at: Mapping[str, int]
    taken_bytes: int
    seconds: float

    def count(self, *at: str) -> int:
        return sum(self.at.get(one, 0) for one in at)


class Crowd:
    """The clients of the server at a port. All of them request one target, from the clients' end."""

    def __init__(self, port: int, target: str, ends: Ends = LOOPBACK) -> None:
        with inside(ends.client):
            self.process = tether.start(
                [sys.executable, "-m", "freight.lab.crowd_loop", ends.host, str(port), target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        tether.stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # a command that was not read is lost, which does no harm
                pipe.close()  # type: ignore[union-attr]

    def join(self, count: int, manner: Manner) -> Standing:
        """Add this many clients."""
        return self._tell("join", count=count, **asdict(manner))

    def go(self) -> Standing:
        """Let all clients read what comes, including stalled ones."""
        return self._tell("go")

    def leave(self) -> Standing:
        """Close all connections, and reset all counts except the bytes."""
        return self._tell("leave")

    def look(self) -> Standing:
        return self._tell("look")

    def waits_seconds(self) -> list[float]:
        """For each response, the time from connecting to its first byte."""
        waits: list[float] = self._ask("waits")["waits_seconds"]
        return waits

    def _tell(self, do: str, **more: Any) -> Standing:
        said = self._ask(do, **more)
        return Standing(said["at"], said["taken_bytes"], said["seconds"])

    def _ask(self, do: str, **more: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise Lost("the process of the clients ended unexpectedly")
        said: dict[str, Any] = json.loads(line)
        return said
