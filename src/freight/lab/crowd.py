"""Thousands of clients in a process of their own, which do as they are told and say how they are."""

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


class Lost(FreightError):
    """A process of the lab's own has ended before its time."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a crowd is: how many are at what (:class:`freight.lab.client.At`), the bytes of body taken, and when."""

    at: Mapping[str, int]
    taken_bytes: int
    seconds: float

    def count(self, *at: str) -> int:
        return sum(self.at.get(one, 0) for one in at)


class Crowd:
    """The clients of the server at a port, all of whom ask for one target."""

    def __init__(self, port: int, target: str) -> None:
        self.process = tether.start(
            [sys.executable, "-m", "freight.lab.crowd_loop", str(port), target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        tether.stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was written and never read is lost, as it should be
                pipe.close()  # type: ignore[union-attr]

    def join(self, count: int, manner: Manner) -> Standing:
        """So many more clients."""
        return self._tell("join", count=count, **asdict(manner))

    def go(self) -> Standing:
        """All take what comes, those too that stand still."""
        return self._tell("go")

    def leave(self) -> Standing:
        """All close their connections. What is counted begins anew, the bytes apart."""
        return self._tell("leave")

    def look(self) -> Standing:
        return self._tell("look")

    def waits_seconds(self) -> list[float]:
        """The time of each answer from the beginning of its connection to its first byte."""
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
            raise Lost("the crowd of clients has ended before its time")
        said: dict[str, Any] = json.loads(line)
        return said
