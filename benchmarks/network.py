"""Where a server and its clients meet: on the loopback, or over a cable or a long line between two namespaces."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
HANDLES = Path("/run/netns")
MTU = 1500
CABLE = ("type", "veth", "peer", "name")
SERVER, CLIENTS = "192.0.2.1", "192.0.2.2"
"""Addresses for documentation (RFC 5737): they lead nowhere outside the two namespaces."""


class NoNamespaces(Exception):
    """This machine makes no network namespaces; the text says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """The address a server binds, and both ends' namespaces (network_namespaces(7)); ``""`` is this process's own."""

    name: str
    address: str = "127.0.0.1"
    server: str = ""
    clients: str = ""


LOOPBACK = Network("loopback")


@dataclass(frozen=True, slots=True)
class Line:
    """A long line: its round trip in milliseconds, its rate in Mbit/s, and the part of all packets that is lost."""

    round_trip_ms: float
    mbit: float
    loss: float = 0.0

    def __str__(self) -> str:
        lost = f", {self.loss:.1%} lost" if self.loss else ""
        return f"{self.round_trip_ms:g} ms, {self.mbit:g} Mbit/s{lost}"


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread in a namespace (setns(2)): sockets and processes that it makes meanwhile stay there."""
    if not namespace:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        other = os.open(HANDLES / namespace, os.O_RDONLY)
        try:
            enter(other)
        finally:
            os.close(other)
        try:
            yield
        finally:
            enter(own)
    finally:
        os.close(own)


def enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, a server's and its clients', removed afterwards; NoNamespaces where it cannot be."""
    names = f"freight-bench-{os.getpid()}-s", f"freight-bench-{os.getpid()}-c"
    try:
        for name in names:
            ip("netns", "add", name)
        yield names
    finally:
        for name in names:
            if (HANDLES / name).exists():
                ip("netns", "delete", name)


@contextmanager
def veth() -> Iterator[Network]:
    """Two namespaces with a cable of MTU 1500 between them, removed afterwards; NoNamespaces where it cannot be."""
    with namespaces() as (server, clients):
        ip("link", "add", "cable", "mtu", str(MTU), "netns", server, *CABLE, "cable", "mtu", str(MTU), "netns", clients)
        for name, address in ((server, SERVER), (clients, CLIENTS)):
            ip("-n", name, "address", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield Network("veth", SERVER, server, clients)


@contextmanager
def connected(line: Line) -> Iterator[Network]:
    """Two namespaces with a long line between them (freight.lab.link); NoNamespaces where it cannot be."""
    with namespaces() as (server, clients):
        words = (server, SERVER, clients, CLIENTS, line.round_trip_ms / 2, line.mbit, line.loss)
        command = [sys.executable, "-m", "freight.lab.link", *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout and process.stderr
            if process.stdout.readline() != "ready\n":
                raise NoNamespaces((process.stderr.read().strip().splitlines() or ["the line ended"])[-1])
            yield Network(str(line), SERVER, server, clients)
        finally:
            process.kill()
            process.communicate()


def ip(*words: str) -> None:
    """Run ip(8)."""
    if not shutil.which("ip"):
        raise NoNamespaces("ip is not installed")
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespaces(f"ip {words[0]} {words[1]}: {(done.stderr.strip().splitlines() or ['failed'])[0]}")
