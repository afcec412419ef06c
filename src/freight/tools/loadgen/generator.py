"""Control thousands of clients, which run in their own process, over a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from freight.errors import FreightError
from freight.tools.loadgen import child_process
from freight.tools.loadgen.client import ClientState, Group
from freight.tools.loadgen.network import HERE, Place, inside

REFUSED = "refused"
"""All ends that are statuses, in :attr:`LoadStatus.at`."""


class LoadProcessLost(FreightError):
    """A process of the measurement has ended unexpectedly, or did not finish in time."""


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """The state of all clients at a time, ``seconds`` of the monotonic clock.

    ``groups``: for each group, its clients by state, and its ended requests by end: a :class:`.client.ClientState`, or
    a status such as ``503``. ``whole_from``: for each group, complete responses by source address. ``joining``: clients
    that have not begun to connect. ``taken_bytes``: bytes of body that were read. ``wrong``: the first response that
    was not right.
    """

    groups: Mapping[str, Mapping[str, int]]
    whole_from: Mapping[str, Mapping[str, int]]
    joining: int
    taken_bytes: int
    wrong: str
    seconds: float

    @property
    def at(self) -> Counter[str]:
        """Return the counts of all groups together. Those that join are connecting, and statuses are ``REFUSED``."""
        total = Counter({ClientState.CONNECTING.value: self.joining})
        for counts in self.groups.values():
            for at, count in counts.items():
                total[REFUSED if at.isdecimal() else at] += count
        return total

    def count(self, *at: str) -> int:
        total = self.at
        return sum(total[one] for one in at)


class LoadGenerator:
    """The clients of one server, at ``place`` of the network.

    ``root``: every byte is compared with the files in this directory. None: bodies are discarded, which costs less.
    """

    def __init__(self, host: str, port: int, place: Place = HERE, root: Path | None = None) -> None:
        words = [host, str(port), *([str(root)] if root else [])]
        with inside(place.namespace):
            self.process = child_process.start(
                [sys.executable, "-m", "freight.tools.loadgen.process", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and with it every connection."""
        child_process.stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # the process has ended, so an unread command does not matter
                pipe.close()  # type: ignore[union-attr]

    def join(self, group: Group) -> LoadStatus:
        """Add clients. If a group of this name exists already, they join it and behave as it does."""
        return self._command("join", **asdict(group))

    def go(self, name: str) -> LoadStatus:
        """Let all clients of a group read everything from now on, stalled ones too."""
        return self._command("go", name=name)

    def end(
        self, name: str, *, reset: bool = False, at: ClientState | str | None = None, most: int | None = None
    ) -> LoadStatus:
        """Close, or reset, the connections of a group: of all clients, or of ``most`` that are in the state ``at``."""
        return self._command("end", name=name, reset=reset, at=at, most=most)

    def clear(self) -> LoadStatus:
        """Close all connections, and forget all groups and counts except the bytes."""
        return self._command("clear")

    def status(self) -> LoadStatus:
        return self._command("status")

    def waits_seconds(self) -> list[float]:
        """Return, for each response, the time from connecting to its head."""
        waits: list[float] = self._request("waits")["waits_seconds"]
        return waits

    def _command(self, do: str, **more: Any) -> LoadStatus:
        reply = self._request(do, **more)
        del reply["waits_seconds"]
        return LoadStatus(**reply)

    def _request(self, do: str, **more: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise LoadProcessLost("the process of the clients ended unexpectedly")
        reply: dict[str, Any] = json.loads(line)
        return reply
