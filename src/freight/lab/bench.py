"""What a scenario measures with: a place for files, servers, a crowd, and readings, each of which is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freight.lab import gauge, servers, tether
from freight.lab.crowd import Crowd, Lost, Standing
from freight.lab.queues import send_queues
from freight.lab.servers import Running, Server, Unfit

READ_SECONDS = 0.05  # between readings, at least, and twice that in a long run; 10,000 sockets take about as long
PATIENCE_SECONDS = 60.0

Row = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """One scenario's place of work, and what it brings home: rows of ``samples``, ``commands``, ``left_out``.

    ``tick`` is called often and says that time has passed; ``quick``: fewer cases and shorter times.
    """

    work: Path
    quick: bool
    peers: tuple[Server, ...] = ()
    tick: Callable[[], None] = lambda: None
    samples: list[Row] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def pause_seconds(self) -> float:
        """How long from one reading to the next."""
        return READ_SECONDS if self.quick else 2 * READ_SECONDS

    def file(self, size_bytes: int) -> Path:
        """A sample of at least this size, made with ``freight sample``; one of a size is made once."""
        files = self.work / "files"
        files.mkdir(exist_ok=True)
        path = files / f"{size_bytes >> 20}MiB.csv"
        if not path.exists():
            words = ["sample", str(path), "--size", str(size_bytes)]
            done = tether.start(
                [sys.executable, "-m", "freight", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            _, said = done.communicate()
            if done.returncode:
                raise Lost(said.decode(errors="replace").strip().removeprefix("freight: "))
        self.tick()
        return path

    @contextmanager
    def serving(self, server: Server, file: Path) -> Iterator[Station | None]:
        """The server and its crowd; None, and why in ``left_out``, where it cannot be had.

        One of the others that gives up in the midst of it is left out as a whole.
        """
        self.commands[server.name] = servers.recorded(server, file)
        try:
            with servers.running(server, file, self.work) as process, Crowd(process.port, f"/{file.name}") as crowd:
                yield Station(self, process, crowd, file)
        except Unfit as why:
            self._leave_out(server, str(why))
            yield None
        except Lost as why:
            if server not in self.peers:
                raise Lost(f"{server.name}: {why}") from why
            self._leave_out(server, str(why))

    def _leave_out(self, server: Server, why: str) -> None:
        del self.commands[server.name]
        self.samples[:] = [row for row in self.samples if row["server"] != server.name]
        self.left_out[server.name] = why


@dataclass(slots=True)
class Station:
    """A server that runs, its crowd, and readings of both. ``labels`` go into every reading from now on."""

    bench: Bench
    process: Running
    crowd: Crowd
    file: Path
    labels: Mapping[str, Any] = field(default_factory=dict)
    begin_seconds: float = field(default_factory=time.monotonic)

    def read(self, phase: str, **more: Any) -> Standing:
        """Read everything once, and keep it."""
        uss, pss = gauge.memory_bytes(self.process.pid)
        queues = send_queues(self.process.port)
        standing = self.crowd.look()
        row = {
            "server": self.process.server.name,
            **self.labels,
            "phase": phase,
            "seconds": round(standing.seconds - self.begin_seconds, 4),
            "uss_bytes": uss,
            "pss_bytes": pss,
            "kernel_bytes": sum(queues),
            "connections": len(queues),
            "host_tcp_bytes": gauge.host_tcp_bytes(),
            "cpu_seconds": round(gauge.cpu_seconds(self.process.pid), 6),
            "taken_bytes": standing.taken_bytes,
            "at": {at: count for at, count in standing.at.items() if count},
            **more,
        }
        self.bench.samples.append(row)
        self.bench.tick()
        return standing

    def read_for(self, seconds: float, phase: str, more: Callable[[], Row] = dict) -> None:
        """Read for so long, at its beginning and at its end at the least."""
        end = time.monotonic() + seconds
        while True:
            begin = time.monotonic()
            self.read(phase, **more())
            if begin >= end:
                return
            time.sleep(max(0.0, min(self.bench.pause_seconds - (time.monotonic() - begin), end - time.monotonic())))

    def read_until(self, done: Callable[[Standing], bool], phase: str, more: Callable[[], Row] = dict) -> Standing:
        """Read until the crowd stands so. Raises Lost when it never does."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            if done(standing := self.read(phase, **more())):
                return standing
            time.sleep(max(0.0, self.bench.pause_seconds - (time.monotonic() - begin)))
        raise Lost(f"{phase} did not end within {PATIENCE_SECONDS:g} s")

    def wait(self, done: Callable[[Standing], bool], what: str) -> Standing:
        """Wait until the crowd stands so, without readings. Raises Lost when it never does."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not done(standing := self.crowd.look()):
            if time.monotonic() > end:
                raise Lost(f"{what} did not come within {PATIENCE_SECONDS:g} s")
            self.bench.tick()
            time.sleep(0.01)
        return standing

    def settle(self, phase: str) -> None:
        """Read until neither the process nor the kernel has changed by a hundredth; the last three are the phase."""
        end = time.monotonic() + PATIENCE_SECONDS / 10
        while True:
            self.read(f"{phase}, settling")
            last = self.bench.samples[-3:]
            if len(last) == 3 and all(row["phase"] == f"{phase}, settling" for row in last):
                looks = [[row[name] for row in last] for name in ("uss_bytes", "kernel_bytes")]
                if all(max(look) <= 1.01 * min(look) + 4096 for look in looks) or time.monotonic() > end:
                    break
            time.sleep(READ_SECONDS / 2)
        for row in last:
            row["phase"] = phase

    def ask_slots(self) -> int:
        """How many slots freight says it has, at its admin listener."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.process.admin}/status", timeout=PATIENCE_SECONDS
        ) as answer:
            return int(json.load(answer)["gate"]["slots"])

    def clear(self) -> None:
        """The crowd goes away, and the server has seen it."""
        self.crowd.leave()
        end = time.monotonic() + PATIENCE_SECONDS / 10
        while send_queues(self.process.port) and time.monotonic() < end:
            self.bench.tick()
            time.sleep(0.01)
