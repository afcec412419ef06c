"""The tools of a scenario: files, servers, clients, and readings, all of which are kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freight.tools.lab import load, servers
from freight.tools.lab.servers import RunningServer, Server
from freight.tools.loadgen import child_process, gauge
from freight.tools.loadgen.client import Group
from freight.tools.loadgen.generator import LoadGenerator, LoadProcessLost, LoadStatus
from freight.tools.loadgen.network import LOOPBACK, Network, Unsupported, inside

READ_SECONDS = 0.05  # between readings; reading 10,000 sockets takes about as long
TIMEOUT_SECONDS = 60.0
ROUNDS = 3  # of each measurement of speed: a median and a range
MB = 1_000_000

Row = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """The files and results of one scenario: rows of ``samples``, ``commands``, ``left_out``.

    ``tick`` is called often, for the progress bar. ``quick``: fewer cases and shorter times.
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
        """Return the time from one reading to the next."""
        return READ_SECONDS if self.quick else 2 * READ_SECONDS

    def file(self, size_bytes: int) -> Path:
        """Return a sample of at least this size. ``freight make-sample`` makes it the first time."""
        files = self.work / "files"
        files.mkdir(exist_ok=True)
        path = files / f"{size_bytes // MB}MB.csv"
        if not path.exists():
            words = ["make-sample", str(path), "--size", str(size_bytes)]
            done = child_process.start(
                [sys.executable, "-m", "freight", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            _, error = done.communicate()
            if done.returncode:
                raise LoadProcessLost(error.decode(errors="replace").strip().removeprefix("freight: "))
        self.tick()
        return path

    @contextmanager
    def serving(self, server: Server, file: Path, network: Network = LOOPBACK) -> Iterator[MeasuredServer | None]:
        """Yield the running server and its clients, or None, with the reason in ``left_out``, if it cannot run here.

        A peer that fails during the measurement is left out completely. With a line, the lab itself moves to the
        server's end meanwhile, because it can read the server's send queues only there.
        """
        self.commands[server.name] = servers.recorded(server, file)
        try:
            with (
                inside(network.server.namespace),
                servers.running(server, file, self.work, network.server.host) as process,
                LoadGenerator(network.server.host, process.port, network.client) as clients,
            ):
                yield MeasuredServer(self, process, clients, file, network.carrier_pid)
        except Unsupported as why:
            self._leave_out(server, str(why))
            yield None
        except LoadProcessLost as why:
            if server not in self.peers:
                raise LoadProcessLost(f"{server.name}: {why}") from why
            self._leave_out(server, str(why))

    def _leave_out(self, server: Server, why: str) -> None:
        del self.commands[server.name]
        self.samples[:] = [row for row in self.samples if row["server"] != server.name]
        self.left_out[server.name] = why


@dataclass(slots=True)
class MeasuredServer:
    """A running server, its clients, and readings of both. ``labels`` go into every later reading.

    ``carrier_pid``: the process that carries packets between them, if there is one. Its CPU time counts as ours.
    """

    bench: Bench
    running: RunningServer
    clients: LoadGenerator
    file: Path
    carrier_pid: int | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    started_seconds: float = field(default_factory=time.monotonic)

    def join(self, count: int, like: Group) -> None:
        """Add clients that request the file, and otherwise behave as this group says."""
        self.clients.join(replace(like, count=count, targets=(f"/{self.file.name}",)))

    def read(self, phase: str, **more: Any) -> LoadStatus:
        """Read everything once, and keep the reading."""
        memory = gauge.memory_of_tree(self.running.pid)
        queues = gauge.send_queues(self.running.port)
        status = self.clients.status()
        cpu_seconds = gauge.cpu_seconds(self.running.pid)
        row = {
            "server": self.running.server.name,
            **self.labels,
            "phase": phase,
            "seconds": round(status.seconds - self.started_seconds, 4),
            "process_bytes": memory.private_dirty,
            "pss_bytes": memory.pss,
            "kernel_bytes": sum(queues),
            "connections": len(queues),
            "host_tcp_bytes": gauge.host_tcp_bytes(),
            "cpu_seconds": round(cpu_seconds, 6),
            "others_seconds": self._others_seconds(cpu_seconds),
            "crowd_waited_seconds": load.waited_seconds(self.clients.process.pid),
            "taken_bytes": status.taken_bytes,
            "at": dict(+status.at),
            **more,
        }
        self.bench.samples.append(row)
        self.bench.tick()
        return status

    def _others_seconds(self, server_cpu_seconds: float) -> float | None:
        """Return the CPU time of all other programs, per processor, from an arbitrary zero."""
        use = load.cpu_use()
        if use is None:
            return None
        ours = server_cpu_seconds + time.process_time() + gauge.cpu_seconds(self.clients.process.pid)
        if self.carrier_pid is not None:
            ours += gauge.cpu_seconds(self.carrier_pid)
        return round((use.busy_seconds + use.steal_seconds - ours) / use.processors, 4)

    def read_for(self, seconds: float, phase: str, more: Callable[[], Row] = dict) -> None:
        """Read repeatedly for this long, at least at the start and at the end."""
        end = time.monotonic() + seconds
        while True:
            begin = time.monotonic()
            self.read(phase, **more())
            if begin >= end:
                return
            time.sleep(max(0.0, min(self.bench.pause_seconds - (time.monotonic() - begin), end - time.monotonic())))

    def read_until(self, done: Callable[[LoadStatus], bool], phase: str, more: Callable[[], Row] = dict) -> LoadStatus:
        """Read until ``done`` is true. Raises LoadProcessLost after TIMEOUT_SECONDS."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            if done(status := self.read(phase, **more())):
                return status
            time.sleep(max(0.0, self.bench.pause_seconds - (time.monotonic() - begin)))
        raise LoadProcessLost(f"{phase} did not end within {TIMEOUT_SECONDS:g} s")

    def wait(self, done: Callable[[LoadStatus], bool], what: str) -> LoadStatus:
        """Wait without readings until ``done`` is true. Raises LoadProcessLost after TIMEOUT_SECONDS."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while not done(status := self.clients.status()):
            if time.monotonic() > end:
                raise LoadProcessLost(f"{what} did not happen within {TIMEOUT_SECONDS:g} s")
            self.bench.tick()
            time.sleep(0.01)
        return status

    def settle(self, phase: str) -> None:
        """Read until memory has settled; the last three readings are the phase.

        It has settled when process, send queues and the clients' receive queues change by at most 1%. On a busy machine
        a server can be slow to fill the receive queues while its own memory is constant.
        """
        end = time.monotonic() + TIMEOUT_SECONDS / 10
        settling, settled = f"{phase}, settling", False
        while True:
            self.read(settling, client_bytes=sum(gauge.receive_queues(self.running.port)))
            last = self.bench.samples[-3:]
            if len(last) == 3 and all(row["phase"] == settling for row in last):
                series = [[row[name] for row in last] for name in ("process_bytes", "kernel_bytes", "client_bytes")]
                settled = all(max(values) <= 1.01 * min(values) + 4096 for values in series)
                if settled or time.monotonic() > end:
                    break
            time.sleep(READ_SECONDS / 2)
        for row in last:
            row["phase"], row["settled"] = phase, settled

    def read_slots(self) -> int:
        """Return the number of slots, from freight's admin listener."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.running.admin}/status", timeout=TIMEOUT_SECONDS
        ) as response:
            return int(json.load(response)["admission"]["slots"])

    def clear(self) -> None:
        """Close all clients, and wait until the server has closed their connections."""
        self.clients.clear()
        end = time.monotonic() + TIMEOUT_SECONDS / 10
        while gauge.send_queues(self.running.port) and time.monotonic() < end:
            self.bench.tick()
            time.sleep(0.01)
