"""The servers that are measured: a table of names and commands, and how to start, verify and stop one.

Commands are templates. The results record them without paths, because directories differ between machines.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from freight.tools.loadgen import child_process
from freight.tools.loadgen.network import Unsupported
from freight.tools.programs import find_program
from freight.units import format_size

PROGRAMS = Path(__file__).with_name("programs")
_TIMEOUT_SECONDS = 15.0
_PROOF_BYTES = 4096

NGINX = """\
daemon off; master_process off; pid $work/nginx.pid; error_log $work/nginx.log; worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    access_log off; sendfile on;
    open_file_cache max=1000;  # one descriptor a file, not a download
    server { listen 127.0.0.1:$port backlog=4096; root $files; }
}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A way to serve ``$file``, which is in ``$files``, at ``$port`` of 127.0.0.1 or of ``$host``.

    ``needs``: a program that must be installed. ``files``: its configurations, by their names in ``$work``. ``build``:
    the command that builds it, once. ``size_bytes``: the varied size of a chunk or a budget; 0 if none varies.
    """

    name: str
    command: tuple[str, ...]
    needs: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()
    size_bytes: int = 0

    def missing(self) -> str | None:
        """Return the reason why it cannot run here, or None."""
        return f"{self.needs} is not installed" if self.needs and find_program(self.needs) is None else None


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server process that accepts connections. ``admin``: the port of freight's admin listener."""

    server: Server
    pid: int
    port: int
    admin: int
    log: Path


def freight(memory: str | None = None, *more: str, name: str = "", size_bytes: int = 0) -> Server:
    """Return freight with this budget; None: its default."""
    flags = ("--memory", memory, *more) if memory else more
    command = ("$python", "-m", "freight", "serve", "$file", "--port", "$port", "--admin", "127.0.0.1:$admin", *flags)
    return Server(name or (f"freight --memory {memory}" if memory else "freight"), command, size_bytes=size_bytes)


def strategy(kind: str, chunk_bytes: int, name: str) -> Server:
    """Return one of the programs that come with the lab."""
    command = ("$python", "$programs/strategies.py", kind, "$port", "$file", str(chunk_bytes))
    return Server(name, command, size_bytes=chunk_bytes)


READ_ALL = strategy("read_all", 0, "read it all")
ZERO_COPY = strategy("zero_copy", 4 << 20, "zero-copy")
CHUNK_BYTES = 32 << 10
PEERS: Mapping[str, Server] = {
    "nginx": Server(
        "nginx", ("$nginx", "-c", "$work/nginx.conf", "-e", "$work/nginx.log"), "nginx", {"nginx.conf": NGINX}
    ),
    "caddy": Server("caddy", ("$caddy", "file-server", "--root", "$files", "--listen", "127.0.0.1:$port"), "caddy"),
    "go": Server(
        "go io.Copy",
        ("$work/io_copy", "127.0.0.1:$port", "$files"),
        "go",
        build=("$go", "build", "-o", "$work/io_copy", "$programs/io_copy.go"),
    ),
}


def chunks(chunk_bytes: int) -> Server:
    """Return the server that copies with a buffer of this size."""
    return strategy("chunks", chunk_bytes, f"{format_size(chunk_bytes)} chunks")


def recorded(server: Server, file: Path) -> str:
    """Return the exact command, without paths."""
    names = {"python": "python", "programs": "freight/tools/lab/programs", "file": file.name, "files": "."}
    names |= {server.needs: server.needs} if server.needs else {}
    return " ".join(Template(word).safe_substitute(names) for word in server.command)


@contextmanager
def running(server: Server, file: Path, work: Path, host: str = "127.0.0.1") -> Iterator[RunningServer]:
    """Start the server, verify that it serves this file at ``host``, and stop it at the end. Raises Unsupported."""
    if why := server.missing():
        raise Unsupported(why)
    port, admin = _free_ports()
    places = {"python": sys.executable, "programs": PROGRAMS, "file": file, "files": file.parent, "work": work}
    places |= {
        "host": host,
        "port": port,
        "admin": admin,
        server.needs or "none": find_program(server.needs) if server.needs else "",
    }
    for name, text in server.files.items():
        (work / name).write_text(Template(text).substitute(places))
    if server.build:
        _build([Template(word).substitute(places) for word in server.build])
    log = work / "server.log"
    with log.open("wb") as output:
        command = [Template(word).substitute(places) for word in server.command]
        process = child_process.start(
            command,
            {"XDG_DATA_HOME": str(work), "XDG_CONFIG_HOME": str(work)},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        _await(process, (host, port), log)
        _prove((host, port), file)
        yield RunningServer(server, process.pid, port, admin, log)
    finally:
        child_process.stop(process)


def _free_ports() -> tuple[int, int]:
    """Return two ports that are free now."""
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _build(command: list[str]) -> None:
    made = Path(command[command.index("-o") + 1])
    if not made.exists():
        done = subprocess.run(
            command, env=os.environ | {"GO111MODULE": "off"}, capture_output=True, timeout=300, check=False
        )
        if done.returncode:
            raise Unsupported(f"it could not be built: {_last_line(done.stderr)}")


def _await(process: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    until = time.monotonic() + _TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise Unsupported(f"it did not start: {_last_line(log.read_bytes())}")


def _prove(address: tuple[str, int], file: Path) -> None:
    """Verify that the server sends this file, by its first bytes. Raises Unsupported."""
    connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/{file.name}")
        answer = connection.getresponse()
        body = answer.read(_PROOF_BYTES)
        if answer.status != http.client.OK:
            raise Unsupported(f"it answered {answer.status}")
    except (OSError, http.client.HTTPException) as error:
        raise Unsupported(f"it did not answer: {error!r}") from error
    finally:
        connection.close()
    with file.open("rb") as mine:
        if body != mine.read(_PROOF_BYTES):
            raise Unsupported("it did not send the bytes of the file")


def _last_line(output: bytes) -> str:
    return (output.decode(errors="replace").strip().splitlines() or ["it printed nothing"])[-1][-200:]
