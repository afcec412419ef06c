"""Start a peer on a free port, and stop it by its process id."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from subprocess import DEVNULL

from freight.tools.loadgen.child_process import raise_descriptor_limit
from freight.tools.loadgen.network import LOOPBACK, Network, inside
from freight.tools.programs import find_program

from .peers import PROGRAMS, Peer

HOT = "hot.bin"
MIB = 1 << 20
SOURCE = Path(__file__).parent.parent / "src"


class PeerFailed(Exception):
    """A peer cannot start, or its response is wrong; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Site:
    """The files to serve (``root``), and a directory for what peers share, such as built programs."""

    root: Path
    shared: Path
    size: int


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A running peer: the root of its process tree, its ports and protocols.

    ``h2c_port`` is its port for HTTP/2 without TLS, if there is one. ``work`` has its output and logs, as ``*.log``.
    """

    pid: int
    port: int
    network: Network = LOOPBACK
    tls: bool = False
    h2: bool = False
    h2c_port: int = 0
    work: Path = Path()


def free_port(network: Network) -> int:
    with inside(network.server.namespace), socket.socket() as probe:
        probe.bind((network.server.host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def make_site(size: int) -> Iterator[Site]:
    """Yield a directory on a disk (``TMPDIR``, else /var/tmp) with a file of random bytes, in the page cache."""
    with tempfile.TemporaryDirectory(prefix="freight-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        home = Path(name)
        home.chmod(0o755)
        for part in ("root", "shared"):
            (home / part).mkdir()
        write_random(home / "root" / HOT, size)
        make_certificate(home / "shared")
        with locked_in_memory(home / "root" / HOT):
            yield Site(home / "root", home / "shared", size)


@contextmanager
def locked_in_memory(path: Path) -> Iterator[None]:
    """Keep a file in the page cache by mlock(2), whatever the host reclaims between the turns."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    size = path.stat().st_size
    with path.open("rb") as file:
        # The mmap module cannot: it would lock a private mapping as a copy, and hides the address of a read-only one.
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
        print(f"the hot file is not locked in memory: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
    try:
        yield
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def write_random(path: Path, size: int) -> None:
    """Write a file of ``size`` random bytes, a multiple of 1 MiB. It is on the disk when this returns."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())


def make_certificate(folder: Path) -> None:
    """Make a self-signed certificate and its key, ``cert.pem`` and ``key.pem``, for servers of HTTPS."""
    where = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost")
    subprocess.run(["openssl", "req", "-x509", *kind, *where], check=True, capture_output=True)


def fill_templates(texts: Sequence[str], names: dict[str, str]) -> list[str]:
    return [Template(text).safe_substitute(names) for text in texts]


def names_for(site: Site, network: Network, port: int, work: str) -> dict[str, str]:
    """Return the values of the names in a peer's templates."""
    return {
        **{name: find_program(name) or name for name in ("nginx", "caddy", "go")},
        **{"python": sys.executable, "programs": str(PROGRAMS), "root": str(site.root), "shared": str(site.shared)},
        "lab_programs": str(SOURCE / "freight" / "tools" / "lab" / "programs"),
        **{"work": work, "address": network.server.host, "port": str(port), "nofile": str(raise_descriptor_limit())},
        # Workers of an nginx that root starts run as nobody, and may not read root's temporary directory.
        "user": "user root;" if os.geteuid() == 0 else "",
    }


@contextmanager
def run_peer(peer: Peer, site: Site, *, ready: bool = True, network: Network = LOOPBACK) -> Iterator[RunningPeer]:
    """Start a peer, wait until it accepts connections (``ready``), and stop its process group afterwards."""
    port = free_port(network)
    with tempfile.TemporaryDirectory(prefix="work-", dir=site.shared, ignore_cleanup_errors=True) as work:
        aside = free_port(network) if peer.aside else port
        names = {**names_for(site, network, port, work), "aside": str(aside)}
        for name, text in peer.files.items():
            (Path(work) / name).write_text(fill_templates([text], names)[0])
        own = {name: fill_templates([text], names)[0] for name, text in peer.env.items()}
        env = {**os.environ, "PYTHONPATH": str(SOURCE), "HOME": work, **own}
        if peer.build:
            build(fill_templates(peer.build, names), env, names)
        with (Path(work) / "output.log").open("w+b") as log:
            command = fill_templates(peer.command, names)
            with inside(network.server.namespace):
                process = subprocess.Popen(
                    command, env=env, stdout=log, stderr=log, stdin=DEVNULL, start_new_session=True
                )
            server = RunningPeer(process.pid, port, network, peer.tls, peer.h2, aside, Path(work))
            try:
                if ready:
                    wait_listening(process, server, Path(work) / "output.log", names)
                yield server
            finally:
                stop(process)


def build(command: list[str], env: dict[str, str], names: dict[str, str]) -> None:
    """Build a peer's program, unless it exists. The word after ``-o`` is its path."""
    if Path(command[command.index("-o") + 1]).exists():
        return
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise PeerFailed(f"it could not be built: {last_line_without_paths(done.stderr, names)}")


def last_line_without_paths(output: str, names: dict[str, str]) -> str:
    """Return the last line that a program wrote, without paths of this machine."""
    line = (output.strip().splitlines() or ["no output"])[-1]
    places = {**names, "prefix": sys.prefix, "checkout": str(SOURCE.parent), "home": str(Path.home())}
    for name, place in sorted(places.items(), key=lambda item: -len(item[1])):
        line = line.replace(place, f"${name}") if place.startswith("/") and len(place) > 1 else line
    return line[-200:]


def wait_listening(process: subprocess.Popen[bytes], server: RunningPeer, log: Path, names: dict[str, str]) -> None:
    """Wait until the port accepts a connection, for at most 15 s."""
    until = time.monotonic() + 15
    while time.monotonic() < until and process.poll() is None:
        try:
            with inside(server.network.client.namespace):
                socket.create_connection((server.network.server.host, server.port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise PeerFailed(f"it did not start: {last_line_without_paths(log.read_text(errors='replace'), names)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, by its session."""
    for kind, seconds in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, kind)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
