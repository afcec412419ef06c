"""The network between a server and its clients: the loopback, a virtual cable (veth(4)), or a long link.

A cable or a link joins two network namespaces. They have no names; processes hold them open by descriptors. So the
kernel removes them when this process and its children end, even if they are killed (network_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freight.tools.loadgen import child_process

MTU = 1500
_TUN = Path("/dev/net/tun")
_OWN = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x40000000
_SERVER, _CLIENT = "192.0.2.1", "192.0.2.2"  # for documentation (RFC 5737): they lead nowhere outside the namespaces
_IP_SECONDS = 20.0


class Unsupported(Exception):
    """This machine cannot make or measure what is asked for; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """One end of a network: its address, and a descriptor of its namespace; None: the namespace of this process."""

    host: str = "127.0.0.1"
    namespace: int | None = None

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a stream socket that connects from here, whatever thread uses it."""
        with inside(self.namespace):
            return socket.socket(family)


HERE = Place()


@dataclass(frozen=True, slots=True)
class Network:
    """A place for the server and one for its clients. ``carrier_pid``: the process that carries a link's packets."""

    server: Place = HERE
    client: Place = HERE
    carrier_pid: int | None = None

    def cut(self) -> None:
        """Drop all packets that clients send from now on: requests, acknowledgements and resets."""
        if self.client.namespace is None:
            raise ValueError("only a network of namespaces can be cut")
        with inside(self.client.namespace):
            _ip("route", "add", "blackhole", f"{self.server.host}/32")


LOOPBACK = Network()


@contextmanager
def inside(namespace: int | None) -> Iterator[None]:
    """Move this thread to a namespace (setns(2)). Sockets and processes that it makes meanwhile stay there."""
    if namespace is None:
        yield
        return
    own = os.open(_OWN, os.O_RDONLY)
    try:
        _call("setns", namespace, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", own, _CLONE_NEWNET)
    finally:
        os.close(own)


@contextmanager
def veth() -> Iterator[Network]:
    """Yield two namespaces with a cable of MTU 1500 between them. Raises Unsupported without root or ip(8)."""
    with _namespace(_SERVER) as server, _namespace(_CLIENT) as client:
        ends = [f"cable mtu {MTU} netns /proc/self/fd/{place.namespace}" for place in (server, client)]
        words = f"link add {ends[0]} type veth peer name {ends[1]}".split()
        _ip(*words, pass_fds=[place.namespace for place in (server, client) if place.namespace is not None])
        for place in (server, client):
            with inside(place.namespace):
                _ip("address", "add", f"{place.host}/24", "dev", "cable")
                _ip("link", "set", "lo", "up")
                _ip("link", "set", "cable", "up")
        yield Network(server, client)


@contextmanager
def long_link(round_trip_ms: float, mbit: float, loss: float = 0.0) -> Iterator[Network]:
    """Yield two namespaces with a long link between them (:mod:`freight.tools.loadgen.link`).

    ``mbit`` is its rate in 10^6 bits per second each way, ``loss`` the fraction of lost packets. Raises Unsupported
    without root, ``/dev/net/tun`` or ip(8).
    """
    if not _TUN.exists():
        raise Unsupported(f"a long line needs {_TUN}, which does not exist")
    if not shutil.which("ip"):
        raise Unsupported("a long line needs ip(8), which is not installed")
    with _namespace(_SERVER) as server, _namespace(_CLIENT) as client:
        words = [word for place in (server, client) for word in (f"/proc/self/fd/{place.namespace}", place.host)]
        process = child_process.start(
            [sys.executable, "-m", "freight.tools.loadgen.link", *words, f"{round_trip_ms / 2}", f"{mbit}", f"{loss}"],
            pass_fds=(server.namespace, client.namespace),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            try:
                if process.stdout.readline() != b"ready\n":
                    said = process.stderr.read().decode(errors="replace").strip().splitlines() or ["it ended at once"]
                    raise Unsupported(f"a long line cannot be made: {said[-1]}")
                yield Network(server, client, process.pid)
            finally:
                child_process.stop(process)


@contextmanager
def _namespace(host: str) -> Iterator[Place]:
    """Make a network namespace. Raises Unsupported without permission."""
    own = os.open(_OWN, os.O_RDONLY)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            made = os.open(_OWN, os.O_RDONLY)
        finally:
            _call("setns", own, _CLONE_NEWNET)
    except OSError as error:
        raise Unsupported(f"only root may make network namespaces: {error.strerror}") from None
    finally:
        os.close(own)
    try:
        yield Place(host, made)
    finally:
        os.close(made)


def _ip(*words: str, pass_fds: Collection[int] = ()) -> None:
    """Run ip(8) in the namespace of this thread. Raises Unsupported."""
    try:
        done = subprocess.run(
            ["ip", *words], capture_output=True, text=True, timeout=_IP_SECONDS, check=False, pass_fds=pass_fds
        )
    except FileNotFoundError:
        raise Unsupported("ip(8) is not installed") from None
    if done.returncode:
        raise Unsupported(f"ip {' '.join(words[:2])}: {(done.stderr.strip().splitlines() or ['it failed'])[0]}")


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
