"""What a scenario measures with: files, servers, a crowd of clients, and readings, all of which are kept."""

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

from freight.lab import gauge, load, servers, tether
from freight.lab.crowd import Crowd, Lost, Standing
from freight.lab.network import LOOPBACK, Ends, inside
from freight.lab.queues import receive_queues, send_queues
from freight.lab.servers import Running, Server, Unfit

READ_SECONDS = 0.05  # between readings, at least, and twice that in a long run; 10,000 sockets take about as long
PATIENCE_SECONDS = 60.0
ROUNDS = 3  # of each measurement of speed: a median, and how far the others are from it
MB = 1_000_000

Row = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """One scenario's files, and its results: rows of ``samples``, ``commands``, ``left_out``.

    ``tick`` is called often, for the progress bar; ``quick``: fewer cases and shorter times.
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
        """Return a sample of at least this size; make it with ``freight sample`` the first time."""
        files = self.work / "files"
        files.mkdir(exist_ok=True)
        path = files / f"{size_bytes // MB}MB.csv"
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
    def serving(self, server: Server, file: Path, ends: Ends = LOOPBACK) -> Iterator[Station | None]:
        """Yield the server and its crowd, or None, with the reason in ``left_out``, if it cannot run here.

        A peer that fails while it is measured is left out as a whole. At the ends of a line, the lab itself is at the
        server's end meanwhile, where it can read the server's send queues.
        """
        self.commands[server.name] = servers.recorded(server, file)
        try:
            with (
                inside(ends.server),
                servers.running(server, file, self.work, ends.host) as process,
                Crowd(process.port, f"/{file.name}", ends) as crowd,
            ):
                yield Station(self, process, crowd, file, ends.carrier_pid)
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
    """A running server, its crowd, and readings of both. ``labels`` go into every later reading.

    ``carrier_pid``: the process that carries packets between them, if there is one; it is none of the others.
    """

    bench: Bench
    process: Running
    crowd: Crowd
    file: Path
    carrier_pid: int | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    begin_seconds: float = field(default_factory=time.monotonic)

    def read(self, phase: str, **more: Any) -> Standing:
        """Read everything once, and keep the reading."""
        private, pss = gauge.memory_bytes(self.process.pid)
        queues = send_queues(self.process.port)
        standing = self.crowd.look()
        cpu_seconds = gauge.cpu_seconds(self.process.pid)
        row = {
            "server": self.process.server.name,
            **self.labels,
            "phase": phase,
            "seconds": round(standing.seconds - self.begin_seconds, 4),
            "process_bytes": private,
            "pss_bytes": pss,
            "kernel_bytes": sum(queues),
            "connections": len(queues),
            "host_tcp_bytes": gauge.host_tcp_bytes(),
            "cpu_seconds": round(cpu_seconds, 6),
            "others_seconds": self._others_seconds(cpu_seconds),
            "crowd_waited_seconds": load.waited_seconds(self.crowd.process.pid),
            "taken_bytes": standing.taken_bytes,
            "at": {at: count for at, count in standing.at.items() if count},
            **more,
        }
        self.bench.samples.append(row)
        self.bench.tick()
        return standing

    def _others_seconds(self, server_cpu_seconds: float) -> float | None:
        """CPU time a processor that went to others than us, the server, its crowd, the line; its zero is arbitrary."""
        use = load.cpu_use()
        if use is None:
            return None
        ours = server_cpu_seconds + time.process_time() + gauge.cpu_seconds(self.crowd.process.pid)
        if self.carrier_pid is not None:
            ours += gauge.cpu_seconds(self.carrier_pid)
        return round((use.busy_seconds + use.steal_seconds - ours) / use.processors, 4)

    def read_for(self, seconds: float, phase: str, more: Callable[[], Row] = dict) -> None:
        """Read again and again for this long, at least at its beginning and at its end."""
        end = time.monotonic() + seconds
        while True:
            begin = time.monotonic()
            self.read(phase, **more())
            if begin >= end:
                return
            time.sleep(max(0.0, min(self.bench.pause_seconds - (time.monotonic() - begin), end - time.monotonic())))

    def read_until(self, done: Callable[[Standing], bool], phase: str, more: Callable[[], Row] = dict) -> Standing:
        """Read until ``done`` is true of the crowd. Raises Lost when it never is."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            if done(standing := self.read(phase, **more())):
                return standing
            time.sleep(max(0.0, self.bench.pause_seconds - (time.monotonic() - begin)))
        raise Lost(f"{phase} did not end within {PATIENCE_SECONDS:g} s")

    def wait(self, done: Callable[[Standing], bool], what: str) -> Standing:
        """Wait, without readings, until ``done`` is true of the crowd. Raises Lost when it never is."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not done(standing := self.crowd.look()):
            if time.monotonic() > end:
                raise Lost(f"{what} did not come within {PATIENCE_SECONDS:g} s")
            self.bench.tick()
            time.sleep(0.01)
        return standing

    def settle(self, phase: str) -> None:
        """Read until memory has settled; the last three readings are the phase.

        It has settled when none of process, send queues and the clients' receive queues changes by more than 1%. The
        last are needed: on a busy machine a server can be slow to fill them, while its own memory does not change.
        """
        end = time.monotonic() + PATIENCE_SECONDS / 10
        settling, settled = f"{phase}, settling", False
        while True:
            self.read(settling, client_bytes=sum(receive_queues(self.process.port)))
            last = self.bench.samples[-3:]
            if len(last) == 3 and all(row["phase"] == settling for row in last):
                looks = [[row[name] for row in last] for name in ("process_bytes", "kernel_bytes", "client_bytes")]
                settled = all(max(look) <= 1.01 * min(look) + 4096 for look in looks)
                if settled or time.monotonic() > end:
                    break
            time.sleep(READ_SECONDS / 2)
        for row in last:
            row["phase"], row["settled"] = phase, settled

    def ask_slots(self) -> int:
        """Ask freight's admin listener how many slots it has."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.process.admin}/status", timeout=PATIENCE_SECONDS
        ) as answer:
            return int(json.load(answer)["gate"]["slots"])

    def clear(self) -> None:
        """Close all clients, and wait until the server has closed its connections too."""
        self.crowd.leave()
        end = time.monotonic() + PATIENCE_SECONDS / 10
        while send_queues(self.process.port) and time.monotonic() < end:
            self.bench.tick()
            time.sleep(0.01)
