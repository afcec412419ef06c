"""Thousands of clients in a process of their own, told over a pipe what to do and telling what they see.

``crowd_loop.py`` is that process; here is what a test holds of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import processes
from netns import Place

PATIENCE_SECONDS = 60.0  # for a crowd, on a machine that does other things too


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Clients of one kind. Each asks on a connection of its own, and holds every byte against the file.

    ``targets`` and ``sources`` (the addresses it connects from) go round the group. ``span``: that many bytes from a
    place of its own instead of the whole file. ``stall``: how much of the body it takes before it stands still, until
    it is told to go on or for ``hold`` seconds. ``pace``: bytes a second that it reads; 0 reads all that comes.
    ``drip``: seconds between the bytes of its head, and ``head``: how many bytes of it are ever sent. ``receive`` is
    its SO_RCVBUF. ``again``: it asks anew whenever it has been answered; ``patient``: it comes back after Retry-After.
    """

    name: str
    count: int
    targets: tuple[str, ...]
    sources: tuple[str, ...] = ()
    span: int = 0
    stall: int | None = None
    hold: float | None = None
    pace: int = 0
    drip: float = 0.0
    head: int | None = None
    receive: int = 0
    again: bool = False
    patient: bool = False


class Crowd:
    """A process of clients of one server, from ``place``. ``root`` has the files that the server serves.

    What a client of a group is at: ``connecting``, ``asking`` (no answer yet), ``running``, ``stalled``, ``away`` (it
    comes back later). What has become of its requests: ``whole``, ``wrong`` (in status, length or any byte), ``cut``,
    ``ended`` (we were told to), or a status such as ``503``.
    """

    def __init__(self, place: Place, host: str, port: int, root: Path) -> None:
        program = Path(__file__).with_name("crowd_loop.py")
        self.process = processes.start(
            [*place.within, sys.executable, str(program), host, str(port), str(root)],
            env=processes.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._told = threading.Condition()
        self._groups: dict[str, dict[str, int]] = {}
        self._whole_from: dict[str, dict[str, int]] = {}
        self._why = ""
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def join(self, group: Group) -> None:
        """More clients; those of a name that is there already join that group."""
        self._say(do="join", **asdict(group))

    def go(self, name: str) -> None:
        """The group's clients take all that comes from now on, and so do those of them that stand still."""
        self._say(do="go", name=name)

    def end(self, name: str, *, reset: bool = False, at: str = "", most: int | None = None) -> None:
        """The group's clients close their connections, or reset them: those that are ``at`` this, so many at most."""
        self._say(do="end", name=name, reset=reset, at=at, most=most)

    def counts(self, name: str) -> Counter[str]:
        """How many of a group are at what, and how many of its requests have become what."""
        with self._told:
            return Counter(self._groups.get(name, {}))

    def whole_from(self, name: str) -> Counter[str]:
        """How many whole answers each source address has had."""
        with self._told:
            return Counter(self._whole_from.get(name, {}))

    def wait(
        self,
        condition: Callable[[], bool],
        what: str,
        meanwhile: Callable[[], object] = lambda: None,
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Wait until the condition holds, looking again (and at ``meanwhile``) whenever something has changed."""
        deadline = time.monotonic() + seconds
        while True:
            meanwhile()
            if self._why:
                raise AssertionError(f"a wrong answer: {self._why}; {self._groups}")
            if condition():
                return
            if self._over or time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}; {self._groups}")
            with self._told:
                self._told.wait(0.1)

    def wait_count(self, name: str, at: str, count: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until so many of a group are at, or have become, this."""
        self.wait(lambda: self.counts(name)[at] >= count, f"{count} of {name} {at}", meanwhile)

    def close(self) -> None:
        """End the process, and with it every connection."""
        assert self.process.stdin is not None and self.process.stdout is not None
        processes.end(self.process)
        self._reader.join(PATIENCE_SECONDS)
        assert not self._reader.is_alive(), "somebody has its pipe open still"
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def _say(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            with self._told:
                self._groups, self._whole_from, self._why = told["groups"], told["whole_from"], told["why"]
                self._told.notify_all()
        with self._told:
            self._over = True
            self._told.notify_all()
