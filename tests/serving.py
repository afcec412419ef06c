"""A running ``freight serve`` and a client that says exactly what it is told, for tests over real sockets."""

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
from pathlib import Path
from typing import Any, Self

import processes
from certificates import trusting_all
from netns import HERE, Place

_marks = itertools.count()

PATIENCE_SECONDS = 40.0  # how long anything may take before a test gives up; never a measure of speed


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds that can only be looked at, such as one about another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def assert_nothing_for(seconds: float, happened: Callable[[], bool], what: str) -> None:
    """Wait as long, which cannot be shortened, and see that nothing happens meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not happened(), f"{what}, within {seconds} s"
        time.sleep(0.01)


HUGE_BYTES = 64 << 20  # of a file that is far more than the kernel takes by itself


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python, as these tests have it, to its end; what it printed is text."""
    return processes.run(sys.executable, *arguments, env=processes.environment())


class Served:
    """A server process on a free port, and what it says.

    ``nofile``: how many descriptors it may have. ``admin``: it has an admin listener, on a free port of 127.0.0.1.
    ``place``: the network that it is in. ``within``: words before its command that lead elsewhere, as a cage's do;
    ``pass_fds``: descriptors that they have too.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        host: str,
        nofile: int | None,
        log_fd: int | None,
        admin: bool = False,
        place: Place = HERE,
        within: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        def limit() -> None:
            if nofile is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        self.host = host
        self.place = place
        self._said = threading.Condition()
        self._lines_ahead = bytearray()
        self._lines: list[str] = []  # that it has said on its standard output, as far as anybody has asked
        self.log: list[str] = []
        # Where it would be by itself depends on the port, and tests run side by side.
        listens = ("--host", host, "--port", "0", "--admin", "127.0.0.1:0" if admin else "none")
        self.process = processes.start(
            [*place.within, *within, sys.executable, "-m", "freight", "serve", *listens, *arguments],
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
            self.line = self.line_with("freight: serving ")
            self.port = _port(self.line)
            self.tls = trusting_all() if " at https://" in self.line else None  # what its clients speak
            if admin:
                self.line_with("freight: admin at ")
        except BaseException:
            self.close()
            raise

    @property
    def admin_port(self) -> int:
        """Where its admin listener is."""
        return _port(self.line_with("freight: admin at http://127.0.0.1:"))

    def line_with(self, words: str) -> str:
        """Return the first line of its standard output with these words in it, as soon as it is there."""
        while True:
            for line in self._lines:
                if words in line:
                    return line
            self._lines.append(self._next_line())

    def port_with(self, words: str) -> int:
        """Return the port at the end of the first line of its standard output with these words in it."""
        return _port(self.line_with(words))

    def _next_line(self) -> str:
        """The next line on its standard output. Not by readline: that would wait for ever for one that is missing."""
        assert self.process.stdout is not None
        fd, watch = self.process.stdout.fileno(), select.poll()
        watch.register(fd, select.POLLIN)
        while (stop := self._lines_ahead.find(b"\n") + 1) == 0:
            data = os.read(fd, 1 << 16) if watch.poll(PATIENCE_SECONDS * 1000) else b""
            if not data:
                raise AssertionError(f"no such line on its standard output: {self._lines}; {self.log}")
            self._lines_ahead += data
        line = self._lines_ahead[:stop].decode()
        del self._lines_ahead[:stop]
        return line

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.log.append(line.decode().rstrip("\n"))
                self._said.notify_all()

    def await_log(self, *words: str, count: int = 1) -> str:
        """The last of ``count`` log lines that hold all of ``words``, as soon as it is written."""

        def found() -> list[str]:
            return [line for line in self.log if all(word in line for word in words)]

        with self._said:
            if not self._said.wait_for(lambda: len(found()) >= count, PATIENCE_SECONDS):
                raise AssertionError(f"{count} lines with {words} did not come: {self.log[-20:]}")
            return found()[count - 1]

    def forget(self) -> None:
        """Have what has happened logged, and forget it: what is in the log from here on is the next test's."""
        mark = f"/mark-{next(_marks)}"
        self.get(mark)
        self.await_log(mark)
        self.forget_log()

    def forget_log(self) -> None:
        """Forget what has been logged."""
        with self._said:
            self.log.clear()

    def connect(self, receive_bytes: int | None = None) -> Client:
        """A new client. ``receive_bytes`` bounds what its kernel takes while it does not read."""
        return Client(self.host, self.port, receive_bytes, tls=self.tls)

    def begin(self, target: str = "/", *fields: str, version: str = "1.1") -> Client:
        """A new client that has the head of its answer, and reads no more."""
        client = self.connect(receive_bytes=64 * 1024)
        client.get(target, *fields, version=version)
        assert client.head()[0] in (200, 206)
        return client

    def get(self, target: str = "/", *fields: str) -> Answer:
        """The answer to one GET on a connection of its own."""
        with self.connect() as client:
            client.get(target, *fields)
            return client.answer()

    def ask_admin(self, target: str, *fields: str) -> Answer:
        """The admin listener's answer to one GET on a connection of its own."""
        with Client("127.0.0.1", self.admin_port, named="127.0.0.1", made=self.place.socket()) as client:
            client.get(target, *fields)
            return client.answer()

    def status(self) -> dict[str, Any]:
        """What it says of itself now."""
        found: dict[str, Any] = json.loads(self.ask_admin("/status").content)
        return found

    def gate(self) -> dict[str, Any]:
        """What its gate says of itself now: how many downloads are ``running``, how many are ``waiting``."""
        gate: dict[str, Any] = self.status()["gate"]
        return gate

    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pids(self) -> list[int]:
        """Its processes: itself, and its workers if it has any."""
        return [self.pid, *processes.children(self.pid)]

    def private_bytes(self, pids: list[int] | None = None) -> int:
        """Memory that is its processes' own, or that of these alone: private dirty pages, in memory and swapped out.

        Not the text of programs: whether that is one process's own depends on who else runs the same program. Of a
        program's file that was just written, pages are dirty too, so it is no more than what is in no file.
        """
        total = 0
        for pid in pids or self.pids():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
            total += min(sizes["Private_Dirty"], sizes["Anonymous"]) + sizes["Swap"]
        return total * 1024

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status, once it has ended; all of the log is there then."""
        status = self.process.wait(PATIENCE_SECONDS)
        if self.process.stderr is not None:
            self._reader.join(PATIENCE_SECONDS)
        return status

    def close(self) -> None:
        """End it, whatever it does, with its workers and all that came after it by hand-over."""
        processes.end(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.stderr is not None:
            self._reader.join(PATIENCE_SECONDS)
            # Not before: to close what another thread reads waits for that thread.
            assert not self._reader.is_alive(), "somebody has its log open still"
            self.process.stderr.close()


def _port(line: str) -> int:
    """The port in a line that ends in a URL."""
    return int(line.rsplit(":", 1)[1].rstrip("/\n"))


@dataclass(frozen=True)
class Answer:
    """One whole answer: framed as it promised, every byte of it there."""

    status: int
    fields: dict[str, str]
    content: bytes


class Cut(Exception):
    """The connection ended before the answer did."""


class Client:
    """One connection, spoken by hand. Reading raises :class:`Cut` or ConnectionResetError for a cut answer.

    ``named`` is what its requests have in Host; ``made``: a socket to use; ``tls``: what it speaks HTTPS with.
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
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect((host, port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._ahead = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def get(self, target: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> None:
        """Send a request."""
        lines = (f"{method} {target} HTTP/{version}", f"Host: {self.named}", *fields, "", "")
        self.send("\r\n".join(lines).encode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, as a client that takes nothing for whole that is not."""
        status, fields = self.head()
        if method == "HEAD" or status in (204, 304):
            content = b""
        elif fields.get("transfer-encoding") == "chunked":
            content = self._chunks()
        elif "content-length" in fields:
            content = self.take(int(fields["content-length"]))
        else:
            content = self.rest()
        return Answer(status, fields, content)

    def head(self) -> tuple[int, dict[str, str]]:
        """The next answer's status and fields (lower-case names)."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in pairs}

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._ahead) < count:
            self._receive()
        taken = bytes(self._ahead[:count])
        del self._ahead[:count]
        return taken

    def rest(self) -> bytes:
        """Everything to the end of the stream. A reset raises ConnectionResetError."""
        while data := self.socket.recv(1 << 18):
            self._ahead += data
        taken = bytes(self._ahead)
        self._ahead.clear()
        return taken

    def line(self) -> bytes:
        """The next line, without its end."""
        return self._until(b"\n")

    def reset(self) -> None:
        """End the connection by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _chunks(self) -> bytes:
        content = bytearray()
        while size := int(self._until(b"\r\n"), 16):
            content += self.take(size)
            assert self.take(2) == b"\r\n"
        assert self.take(2) == b"\r\n"
        return bytes(content)

    def _until(self, mark: bytes) -> bytes:
        while (at := self._ahead.find(mark)) < 0:
            self._receive()
        taken = bytes(self._ahead[:at])
        del self._ahead[: at + len(mark)]
        return taken

    def _receive(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise Cut(f"the stream ended, with {len(self._ahead)} bytes of an unfinished answer")
        self._ahead += data


def find_program(name: str) -> str | None:
    """The path of a program; None when it is missing. /usr/sbin, where Debian puts nginx, and .venv/bin count too."""
    places = (os.environ.get("PATH", os.defpath), "/usr/sbin", os.path.dirname(sys.executable))
    return shutil.which(name, path=os.pathsep.join(places))
