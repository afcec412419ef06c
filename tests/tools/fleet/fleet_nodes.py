"""Three nodes and a real engine in front of them, all on the loopback."""

from __future__ import annotations

import csv
import json
import os
import random
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from freight.cli.main import main
from support import processes
from support.certificates import unverified_context
from support.servers import Client, Response, Serve, ServerProcess, find_program, wait_until

NODES = 3
_HOSTS = tuple(f"127.0.0.{11 + number}" for number in range(NODES))
_FRONT_HOST = "127.0.0.10"
_COMMANDS = {
    "haproxy": ("haproxy", "-db", "-f", "FILE"),
    "caddy": ("caddy", "run", "--adapter", "caddyfile", "--config", "FILE"),
    "envoy": ("envoy", "-c", "FILE", "--log-level", "error", "--use-dynamic-base-id", "--concurrency", "2"),
}
_SUFFIXES = {"envoy": ".yaml"}  # it goes by the name


def free_port(hosts: Sequence[str], distances: Sequence[int] = (0,)) -> int:
    """A port that is free on each of the hosts, and so are those at these distances from it."""
    for port in random.sample(range(20_000, 29_000), 1000):
        with ExitStack() as taken:
            try:
                for host in hosts:
                    for distance in distances:
                        taken.enter_context(socket.create_server((host, port + distance)))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")


def socket_from(host: str) -> socket.socket:
    """A stream socket that connects from an address of this host."""
    made = socket.socket()
    made.bind((host, 0))
    return made


class Fleet:
    """Three nodes that serve ``roots`` (one, or a copy each), each at its own address, and an engine."""

    def __init__(self, serve: Serve, folder: Path, roots: Sequence[Path]) -> None:
        self._serve = serve
        self._folder = folder
        self.roots = roots
        self._arguments: tuple[str, ...] = ()
        self._engine: subprocess.Popen[bytes] | None = None
        self._log = (folder / "engine.log").open("wb")
        self.port = free_port(_HOSTS, (0, 1000, 2000))
        self.front_port = free_port([_FRONT_HOST], (0, 1))
        self.stats_port = self.front_port + 1
        self.nodes: list[ServerProcess] = []
        self.tls = False

    @property
    def addresses(self) -> str:
        """The nodes, as ``--nodes`` has them."""
        return ",".join(f"{host}:{self.port}" for host in _HOSTS)

    def start_nodes(self, *arguments: str, within: Sequence[tuple[str, ...]] = ((),) * NODES) -> None:
        """Start all nodes with these arguments."""
        self._arguments = arguments
        self.nodes = [self._start(at, words) for at, words in enumerate(within)]

    def restart(self, at: int) -> None:
        """Start a node again that has ended."""
        self.nodes[at] = self._start(at, ())

    def _start(self, at: int, within: tuple[str, ...]) -> ServerProcess:
        host = _HOSTS[at]
        beside = ("--admin", f"{host}:{self.port + 1000}", "--haproxy-agent", f"{host}:{self.port + 2000}")
        listens = ("--port", str(self.port), *beside, "--trusted-proxy", "127.0.0.1")
        return self._serve(self.roots[at], *listens, *self._arguments, host=host, within=within)

    def configure(self, engine: str, *options: str) -> Path:
        """The configuration that ``freight fleet`` writes for this fleet."""
        file = self._folder / f"front{_SUFFIXES.get(engine, '.conf')}"
        front = ("--front", f"{_FRONT_HOST}:{self.front_port}", "--idle-timeout", "20s")
        stats = () if engine == "caddy" else ("--stats", f"{_FRONT_HOST}:{self.stats_port}")
        assert main(["fleet", engine, "--nodes", self.addresses, "-o", str(file), *front, *stats, *options]) == 0
        return file

    def start_engine(
        self, engine: str, *options: str, change: Callable[[str], str] = lambda text: text, tls: bool = False
    ) -> None:
        """Start an engine with what ``freight fleet`` writes; ``change`` may have a last word."""
        self.tls = tls
        file = self.configure(engine, *options)
        file.write_text(change(file.read_text()))
        program = find_program(engine)
        assert program is not None
        words = [program, *(str(file) if word == "FILE" else word for word in _COMMANDS[engine][1:])]
        admin = f"{_FRONT_HOST}:{free_port([_FRONT_HOST])}"
        home = {"HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder), "CADDY_ADMIN": admin}
        self._engine = processes.start_process(words, env=os.environ | home, stdout=self._log, stderr=self._log)
        wait_until(lambda: self._serves(engine), f"{engine} serves: {(self._folder / 'engine.log').read_text()}")

    def _serves(self, engine: str) -> bool:
        assert self._engine is not None and self._engine.poll() is None, (self._folder / "engine.log").read_text()
        try:
            socket.create_connection(self.front, 5).close()
        except OSError:
            return False
        if engine == "envoy":  # until it has asked a node it sends nothing there
            healthy = self._shown("/clusters").count("health_flags::healthy")
            return healthy > 0 and healthy % NODES == 0
        return self.get("/", method="HEAD").status == 200

    def _shown(self, target: str) -> str:
        """Return the statistics of the engine."""
        with Client(_FRONT_HOST, self.stats_port) as client:
            client.get(target, "Connection: close")
            return client.read_response().content.decode()

    @property
    def front(self) -> tuple[str, int]:
        """Where clients come to."""
        return _FRONT_HOST, self.front_port

    def url(self, target: str) -> str:
        """A target behind the engine."""
        return f"{'https' if self.tls else 'http'}://{_FRONT_HOST}:{self.front_port}{target}"

    def get(self, target: str, *fields: str, method: str = "GET") -> Response:
        """The engine's answer on a connection of its own."""
        with Client(*self.front, tls=unverified_context() if self.tls else None) as client:
            client.get(target, *fields, "Connection: close", method=method)
            return client.read_response(method)

    def answered(self, target: str) -> Counter[int]:
        """How often each node has answered a GET of a target, by its log."""
        asked = f'"GET {target}"'
        return Counter({at: sum(asked in line for line in node.log) for at, node in enumerate(self.nodes)})

    def status(self, at: int) -> dict[str, Any]:
        """Return the current status of a node."""
        with Client(_HOSTS[at], self.port + 1000, named=_HOSTS[at]) as client:
            client.get("/status")
            found: dict[str, Any] = json.loads(client.read_response().content)
            return found

    def balanced(self, backend: str) -> list[dict[str, str]]:
        """What HAProxy says of each node in a backend now: the fields of its management guide's section 9.1."""
        lines = self._shown("/;csv").removeprefix("# ").splitlines()
        return [row for row in csv.DictReader(lines) if row["pxname"] == backend and row["svname"].startswith("node")]

    def close(self) -> None:
        """End the engine; the nodes end with ``serve``."""
        if self._engine is not None:
            processes.kill_process_group(self._engine)  # asked to end, some wait for clients that are gone
        self._log.close()
