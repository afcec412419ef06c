"""A running ``freight serve``, and a client that sends exactly the given bytes, for tests over real sockets."""

from __future__ import annotations

import itertools
import json
import os
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Self

from freight.tools.loadgen.gauge import memory_of
from freight.tools.loadgen.network import HERE, Place, inside
from support import processes
from support.certificates import unverified_context

_mark_numbers = itertools.count()

TIMEOUT_SECONDS = 40.0
"""How long an operation may take before a test fails. No test uses it to measure speed."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = TIMEOUT_SECONDS) -> None:
    """Poll until a condition holds. Raise AssertionError after ``seconds``. For conditions that send no event."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def assert_nothing_for(seconds: float, happened: Callable[[], bool], what: str) -> None:
    """Wait for ``seconds`` and assert that nothing happens."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not happened(), f"{what}, within {seconds} s"
        time.sleep(0.01)


HUGE_BYTES = 64 << 20
"""Size of a file that is much larger than the kernel's socket buffers."""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the environment of the tests until it exits, with its output as text."""
    return processes.run(sys.executable, *arguments, env=processes.environment())


class ServerProcess:
    """A server process on a free port, and its output.

    ``nofile``: its limit of descriptors. ``admin``: start an admin listener on a free port of 127.0.0.1.
    ``place``: its network. ``within``: words before its command, such as :attr:`Cgroup.command_prefix`.
    ``pass_fds``: descriptors that it inherits.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        host: str = "127.0.0.1",
        nofile: int | None = None,
        log_fd: int | None = None,
        admin: bool = False,
        place: Place = HERE,
        within: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        def limit() -> None:
            if nofile is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        self.host, self.place = host, place
        self._log_changed = threading.Condition()
        self._lines_ahead = bytearray()
        self._lines: list[str] = []  # read from its standard output so far
        self.log: list[str] = []
        # The default address of the admin listener depends on the port, and tests run in parallel.
        listens = ("--host", host, "--port", "0", "--admin", "127.0.0.1:0" if admin else "none")
        with inside(place.namespace):
            self.process = processes.start_process(
                [*within, sys.executable, "-m", "freight", "serve", *listens, *arguments],
                env=processes.environment(PYTHONUNBUFFERED=""),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if log_fd is None else log_fd,
                preexec_fn=limit,
                pass_fds=pass_fds,
            )
        self.pid = self.process.pid
        if log_fd is None:
            self._reader = threading.Thread(target=self._read_log, daemon=True)
            self._reader.start()
        try:
            self._wait_for_start(admin)
        except BaseException:
            self.close()
            raise

    def _wait_for_start(self, admin: bool) -> None:
        self.line = self.line_with("freight: serving ")
        self.port = _port(self.line)
        self.tls = unverified_context() if " at https://" in self.line else None  # for its clients
        if admin:
            self.line_with("freight: admin at ")

    @property
    def admin_port(self) -> int:
        """Port of its admin listener."""
        return _port(self.line_with("freight: admin at http://127.0.0.1:"))

    def line_with(self, words: str) -> str:
        """Wait for the first line of its standard output with these words, and return it."""
        while True:
            for line in self._lines:
                if words in line:
                    return line
            self._lines.append(self._next_line())

    def port_with(self, words: str) -> int:
        """Return the port at the end of the first line of its standard output with these words."""
        return _port(self.line_with(words))

    def _next_line(self) -> str:
        """Return the next line of its standard output. readline() has no timeout."""
        assert self.process.stdout is not None
        fd, watch = self.process.stdout.fileno(), select.poll()
        watch.register(fd, select.POLLIN)
        while (stop := self._lines_ahead.find(b"\n") + 1) == 0:
            data = os.read(fd, 1 << 16) if watch.poll(TIMEOUT_SECONDS * 1000) else b""
            if not data:
                raise AssertionError(f"no such line on its standard output: {self._lines}; {self.log}")
            self._lines_ahead += data
        line = self._lines_ahead[:stop].decode()
        del self._lines_ahead[:stop]
        return line

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._log_changed:
                self.log.append(line.decode().rstrip("\n"))
                self._log_changed.notify_all()

    def wait_for_log(self, *words: str, count: int = 1) -> str:
        """Wait for ``count`` log lines that contain all of ``words``, and return the last of them."""

        def found() -> list[str]:
            return [line for line in self.log if all(word in line for word in words)]

        with self._log_changed:
            if not self._log_changed.wait_for(lambda: len(found()) >= count, TIMEOUT_SECONDS):
                raise AssertionError(f"{count} lines with {words} did not come: {self.log[-20:]}")
            return found()[count - 1]

    def clear_log_when_written(self) -> None:
        """Wait until everything so far is logged, and clear the log."""
        mark = f"/mark-{next(_mark_numbers)}"
        self.get(mark)
        self.wait_for_log(mark)
        self.clear_log()

    def clear_log(self) -> None:
        """Clear the log."""
        with self._log_changed:
            self.log.clear()

    def connect(self, receive_bytes: int | None = None) -> Client:
        """Connect a new client. ``receive_bytes``: what its kernel accepts while the client does not read."""
        return Client(self.host, self.port, receive_bytes, tls=self.tls)

    def start_download(self, target: str = "/", *fields: str, version: str = "1.1") -> Client:
        """Connect a new client, send a request, and read only the head of the response."""
        client = self.connect(receive_bytes=64 * 1024)
        try:
            client.get(target, *fields, version=version)
            assert client.read_head()[0] in (200, 206)
        except BaseException:
            client.close()
            raise
        return client

    def get(self, target: str = "/", *fields: str) -> Response:
        """Return the response to a GET on a new connection."""
        with self.connect() as client:
            client.get(target, *fields)
            return client.read_response()

    def ask_admin(self, target: str, *fields: str) -> Response:
        """Return the admin listener's response to a GET on a new connection."""
        with Client("127.0.0.1", self.admin_port, named="127.0.0.1", made=self.place.socket()) as client:
            client.get(target, *fields)
            return client.read_response()

    def status(self) -> dict[str, Any]:
        """Return its /status."""
        found: dict[str, Any] = json.loads(self.ask_admin("/status").content)
        return found

    def status_when(self, condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Wait until a condition holds for its /status, and return that one: the next may differ from it."""
        found: dict[str, Any] = {}

        def holds() -> bool:
            nonlocal found
            found = self.status()
            return bool(condition(found))

        wait_until(holds, what)
        return found

    def gate(self) -> dict[str, Any]:
        """Return ``gate`` of its /status: the number of ``running`` and of ``waiting`` downloads, and more."""
        gate: dict[str, Any] = self.status()["admission"]
        return gate

    def descriptors(self) -> int:
        """Return the number of descriptors that the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pids(self) -> list[int]:
        """Return its process and the children of that, such as workers."""
        return [self.pid, *processes.children(self.pid)]

    def private_bytes(self, pids: list[int] | None = None) -> int:
        """Return the memory that its processes, or these of them, wrote and share with no other (``written``)."""
        return sum(memory_of(pid).written for pid in pids or self.pids())

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the process and of its log. Return the exit status."""
        status = self.process.wait(TIMEOUT_SECONDS)
        if self.process.stderr is not None:
            self._reader.join(TIMEOUT_SECONDS)
        return status

    def close(self) -> None:
        """Kill it, with its workers and its successors by hand-over."""
        processes.kill_process_group(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.stderr is not None:
            self._reader.join(TIMEOUT_SECONDS)
            # close() would wait for a thread that still reads.
            assert not self._reader.is_alive(), "another process has its log open"
            self.process.stderr.close()


Serve = Callable[..., ServerProcess]
"""The type of the fixture ``serve``."""


def _port(line: str) -> int:
    """Return the port in a line that ends in a URL."""
    return int(line.rsplit(":", 1)[1].partition("/")[0])


@dataclass(frozen=True)
class Response:
    """A complete response."""

    status: int
    fields: dict[str, str]
    content: bytes


class IncompleteResponse(Exception):
    """The connection ended before the end of the response."""


class Client:
    """An HTTP/1 client on one connection.

    Reading raises IncompleteResponse at a close within a response, and ConnectionResetError at a reset. ``named``: Host
    of its requests. ``made``: a socket to connect. ``tls``: a context for HTTPS.
    """

    def __init__(
        self,
        host: str,
        port: int,
        receive_bytes: int | None = None,
        named: str = "x",
        made: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.named = named
        self.socket = made or socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.socket.connect((host, port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._ahead = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes verbatim."""
        self.socket.sendall(data)

    def get(self, target: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> None:
        """Send a request."""
        lines = (f"{method} {target} HTTP/{version}", f"Host: {self.named}", *fields, "", "")
        self.send("\r\n".join(lines).encode("latin-1"))

    def read_response(self, method: str = "GET") -> Response:
        """Return the next response, which must be complete."""
        status, fields = self.read_head()
        if method == "HEAD" or status in (204, 304):
            content = b""
        elif fields.get("transfer-encoding") == "chunked":
            content = self.read_chunks()
        elif "content-length" in fields:
            content = self.read_exactly(int(fields["content-length"]))
        else:
            content = self.read_to_end()
        return Response(status, fields, content)

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the fields, with lower-case names, of the next response."""
        lines = self.read_head_bytes().decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in pairs}

    def read_head_bytes(self) -> bytes:
        """Return the next response's head as it came, without the empty line."""
        return self._read_until(b"\r\n\r\n")

    def read_exactly(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""
        while len(self._ahead) < count:
            self._receive()
        taken = bytes(self._ahead[:count])
        del self._ahead[:count]
        return taken

    def read_to_end(self) -> bytes:
        """Return everything up to the end of the stream. Raise ConnectionResetError at a reset."""
        while data := self.socket.recv(1 << 18):
            self._ahead += data
        taken = bytes(self._ahead)
        self._ahead.clear()
        return taken

    def read_line(self) -> bytes:
        """Return the next line, without its end."""
        return self._read_until(b"\n")

    def reset(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read_chunks(self) -> bytes:
        """Return the content of a chunked response."""
        content = bytearray()
        while size := int(self._read_until(b"\r\n"), 16):
            content += self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
        assert self.read_exactly(2) == b"\r\n"
        return bytes(content)

    def _read_until(self, mark: bytes) -> bytes:
        while (at := self._ahead.find(mark)) < 0:
            self._receive()
        taken = bytes(self._ahead[:at])
        del self._ahead[: at + len(mark)]
        return taken

    def _receive(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise IncompleteResponse(f"the stream ended, with {len(self._ahead)} bytes of an unfinished response")
        self._ahead += data


class UnixClient(Client):
    """A client of a Unix socket."""

    def __init__(self, path: Path) -> None:
        class Connecting(socket.socket):
            def connect(self, _: Any) -> None:
                super().connect(os.fspath(path))

        super().__init__("", 0, made=Connecting(socket.AF_UNIX))


def find_program(name: str) -> str | None:
    """Return the path of a program, or None. Search .venv/bin too, and where Debian has nginx and PostgreSQL."""
    debian = ("/usr/sbin", *glob("/usr/lib/postgresql/*/bin"))
    places = (os.environ.get("PATH", os.defpath), *debian, os.path.dirname(sys.executable))
    return shutil.which(name, path=os.pathsep.join(places))
