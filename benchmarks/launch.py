"""Starts a peer on a free port, and stops it by its process id."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
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

from .network import LOOPBACK, Network, inside
from .peers import PROGRAMS, Peer, program

HOT = "hot.bin"
MIB = 1 << 20
SOURCE = Path(__file__).parent.parent / "src"


class Unfit(Exception):
    """A peer that cannot start or answers wrongly; the text says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """The files to serve (``root``), and room for what peers share, such as built programs."""

    root: Path
    shared: Path
    size: int


@dataclass(frozen=True, slots=True)
class Running:
    """A started peer: the root of its process tree, where it listens, and what it speaks there.

    ``h2c_port`` is where it speaks HTTP/2 without TLS, if it does.
    """

    pid: int
    port: int
    network: Network = LOOPBACK
    tls: bool = False
    h2: bool = False
    h2c_port: int = 0


def free_port(network: Network) -> int:
    with inside(network.server), socket.socket() as probe:
        probe.bind((network.address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def site(size: int) -> Iterator[Site]:
    """A directory on a disk (``TMPDIR``, else /var/tmp) with one file of random bytes, in the page cache."""
    with tempfile.TemporaryDirectory(prefix="freight-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        home = Path(name)
        home.chmod(0o755)
        for part in ("root", "shared"):
            (home / part).mkdir()
        write_random(home / "root" / HOT, size)
        certify(home / "shared")
        with held_in_memory(home / "root" / HOT):
            yield Site(home / "root", home / "shared", size)


@contextmanager
def held_in_memory(path: Path) -> Iterator[None]:
    """Keep a file in the page cache by mlock(2): a hot file stays hot, whatever the host reclaims between the turns."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    size = path.stat().st_size
    with path.open("rb") as file:
        # Not the mmap module's: a private mapping would be locked as a copy, and a read-only one hides its address.
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
        print(f"the hot file is not held in memory: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
    try:
        yield
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def write_random(path: Path, size: int) -> None:
    """A file of ``size`` random bytes (a multiple of 1 MiB), on the disk when this returns."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())


def certify(folder: Path) -> None:
    """A key pair that nobody has signed, ``cert.pem`` and ``key.pem``, for who speaks HTTPS."""
    where = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost")
    subprocess.run(["openssl", "req", "-x509", *kind, *where], check=True, capture_output=True)


def fill(texts: Sequence[str], names: dict[str, str]) -> list[str]:
    return [Template(text).safe_substitute(names) for text in texts]


def names_for(site: Site, network: Network, port: int, work: str) -> dict[str, str]:
    """What the names in a peer's templates stand for."""
    return {
        **{name: program(name) or name for name in ("nginx", "caddy", "go")},
        **{"python": sys.executable, "programs": str(PROGRAMS), "root": str(site.root), "shared": str(site.shared)},
        **{"work": work, "address": network.address, "port": str(port), "nofile": str(raise_descriptor_limit())},
        # Workers that a root's nginx starts are nobody's, and may not read what root's temporary directory holds.
        "user": "user root;" if os.geteuid() == 0 else "",
    }


@contextmanager
def running(peer: Peer, site: Site, *, ready: bool = True, network: Network = LOOPBACK) -> Iterator[Running]:
    """Start a peer, wait until it accepts (``ready``), and stop its whole group of processes afterwards."""
    port = free_port(network)
    with tempfile.TemporaryDirectory(prefix="work-", dir=site.shared, ignore_cleanup_errors=True) as work:
        aside = free_port(network) if peer.aside else port
        names = {**names_for(site, network, port, work), "aside": str(aside)}
        for name, text in peer.files.items():
            (Path(work) / name).write_text(fill([text], names)[0])
        own = {name: fill([text], names)[0] for name, text in peer.env.items()}
        env = {**os.environ, "PYTHONPATH": str(SOURCE), "HOME": work, **own}
        if peer.build:
            build(fill(peer.build, names), env, names)
        with (Path(work) / "output.log").open("w+b") as log:
            command = fill(peer.command, names)
            with inside(network.server):
                process = subprocess.Popen(
                    command, env=env, stdout=log, stderr=log, stdin=DEVNULL, start_new_session=True
                )
            server = Running(process.pid, port, network, peer.tls, peer.h2, aside)
            try:
                if ready:
                    wait_listening(process, server, Path(work) / "output.log", names)
                yield server
            finally:
                stop(process)


def build(command: list[str], env: dict[str, str], names: dict[str, str]) -> None:
    """Make a peer's program, unless it has been made; the word after ``-o`` is where it goes."""
    if Path(command[command.index("-o") + 1]).exists():
        return
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Unfit(f"it could not be built: {hidden(done.stderr, names)}")


def hidden(output: str, names: dict[str, str]) -> str:
    """The last line a program wrote, without what its directories are called on this machine."""
    line = (output.strip().splitlines() or ["no output"])[-1]
    places = {**names, "prefix": sys.prefix, "checkout": str(SOURCE.parent), "home": str(Path.home())}
    for name, place in sorted(places.items(), key=lambda item: -len(item[1])):
        line = line.replace(place, f"${name}") if place.startswith("/") and len(place) > 1 else line
    return line[-200:]


def wait_listening(process: subprocess.Popen[bytes], server: Running, log: Path, names: dict[str, str]) -> None:
    """Wait until the port accepts a connection, 15 s at most."""
    until = time.monotonic() + 15
    while time.monotonic() < until and process.poll() is None:
        try:
            with inside(server.network.clients):
                socket.create_connection((server.network.address, server.port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise Unfit(f"it did not start: {hidden(log.read_text(errors='replace'), names)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started: its session, never anything by name."""
    for kind, seconds in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, kind)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def raise_descriptor_limit() -> int:
    """Lift this process's limit, and so its children's, to the hard one; that many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
