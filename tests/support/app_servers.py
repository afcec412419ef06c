"""Servers of applications from PyPI, with an application of :mod:`support.embedded_apps`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.processes import environment, kill_process_group, start_process
from support.servers import TIMEOUT_SECONDS, Client, Response, wait_until

_HERE = Path(__file__).resolve().parent.parent

COMMANDS = {
    "uvicorn": ("uvicorn", "--log-level", "warning", "--port", "{port}", "{app}"),
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:{port}", "{app}"),
    "granian": (
        "granian",
        "--interface",
        "asgi",
        "--no-ws",
        "--http1-buffer-size",
        "16384",
        "--port",
        "{port}",
        "{app}",
    ),
    "daphne": ("daphne", "--verbosity", "0", "--port", "{port}", "{app}"),
    "gunicorn": ("gunicorn", "--worker-class", "gthread", "--threads", "40", "--bind", "127.0.0.1:{port}", "{app}"),
    "waitress": (
        "waitress",
        "--threads",
        "40",
        "--outbuf-high-watermark",
        "65536",
        "--listen",
        "127.0.0.1:{port}",
        "{app}",
    ),
}
"""Each server's command after ``python -m``, by its name on PyPI."""

_AIOHTTP = ("aiohttp.web", "-H", "127.0.0.1", "-P", "{port}", "{app}")

WSGI = frozenset({"gunicorn", "waitress"})

UNBOUNDED = frozenset({"daphne"})
"""Servers that take any amount of content for a client that does not read: no application can bound their memory."""


class AppServer:
    """A running server at ``port`` of 127.0.0.1, and what it has printed in the file ``output``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process = process
        self.port = port
        self.output = output

    def connect(self, receive_bytes: int | None = None) -> Client:
        return Client("127.0.0.1", self.port, receive_bytes)

    def get(self, target: str, *fields: str, method: str = "GET") -> Response:
        with self.connect() as client:
            client.get(target, *fields, method=method)
            return client.read_response(method)

    def answers(self) -> bool:
        """Return whether it accepts connections. Raise AssertionError if it has ended."""
        assert self.process.poll() is None, self.output.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS).close()
        except ConnectionRefusedError:
            return False
        return True

    def pids(self) -> list[int]:
        """Return the process and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def private_bytes(self) -> int:
        """Return the private memory of its processes."""
        lines = [line for pid in self.pids() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024

    def stop(self) -> None:
        """Let it end by itself."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(TIMEOUT_SECONDS)


@contextmanager
def app_server(name: str, app: str = "", **variables: str) -> Iterator[AppServer]:
    """Run an application, ``module:name``, under a server, with these environment variables."""
    app = app or f"support.embedded_apps:{'wsgi' if name in WSGI else 'asgi'}"
    port = free_port()
    words = [word.format(port=port, app=app) for word in COMMANDS.get(name, _AIOHTTP)]
    path = os.pathsep.join((str(_HERE.parent / "src"), str(_HERE), str(_HERE.parent)))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        with output.open("wb") as file:
            process = start_process(
                [sys.executable, "-m", *words],
                env=environment(PYTHONPATH=path, **variables),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            server = AppServer(process, port, output)
            wait_until(server.answers, f"{name} listens", 30.0)
            yield server
        finally:
            kill_process_group(process)
