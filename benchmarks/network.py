"""Where a server and its clients meet: on the loopback, or over a virtual cable between two network namespaces."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
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
def veth() -> Iterator[Network]:
    """Two namespaces with a cable of MTU 1500 between them, removed afterwards; NoNamespaces where it cannot be."""
    server, clients = f"freight-bench-{os.getpid()}-s", f"freight-bench-{os.getpid()}-c"
    try:
        for name in (server, clients):
            ip("netns", "add", name)
        ip("link", "add", "cable", "mtu", str(MTU), "netns", server, *CABLE, "cable", "mtu", str(MTU), "netns", clients)
        for name, address in ((server, SERVER), (clients, CLIENTS)):
            ip("-n", name, "address", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield Network("veth", SERVER, server, clients)
    finally:
        for name in (server, clients):
            if (HANDLES / name).exists():
                ip("netns", "delete", name)


def ip(*words: str) -> None:
    """Run ip(8)."""
    if not shutil.which("ip"):
        raise NoNamespaces("ip is not installed")
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespaces(f"ip {words[0]} {words[1]}: {(done.stderr.strip().splitlines() or ['failed'])[0]}")
