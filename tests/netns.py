"""Where a server and its clients are: on the loopback, or at the two ends of a cable or of a long line."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from processes import environment, running

_CLONE_NEWNET = 0x40000000
_PATIENCE_SECONDS = 40.0
_SERVER, _CLIENT = "10.77.0.1", "10.77.0.2"
_CABLE = (  # what ip(8) is told: a link whose ends nobody outside the two namespaces sees
    "link add {end} mtu 1500 netns {server} type veth peer name {end} mtu 1500 netns {client}",
    f"-n {{server}} address add {_SERVER}/24 dev {{end}}",
    f"-n {{client}} address add {_CLIENT}/24 dev {{end}}",
    "-n {server} link set lo up",
    "-n {server} link set {end} up",
    "-n {client} link set {end} up",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs: its address there, and the network namespace, None for the one that all are in."""

    host: str = "127.0.0.1"
    namespace: str | None = None

    @property
    def within(self) -> tuple[str, ...]:
        """The words in front of a command that run it there; they are replaced by it, and leave its process id."""
        return () if self.namespace is None else ("ip", "netns", "exec", self.namespace)

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """A stream socket that connects from there, wherever it is used."""
        made: list[socket.socket] = []

        def make() -> None:
            if self.namespace is not None:
                _enter(self.namespace)
            made.append(socket.socket(family))

        maker = threading.Thread(target=make, daemon=True)  # a namespace is a thread's own, and goes with it
        maker.start()
        maker.join(_PATIENCE_SECONDS)
        return made[0]


HERE = Place()


@dataclass(frozen=True, slots=True)
class Network:
    """A place for the server, and one for its clients."""

    server: Place = HERE
    client: Place = HERE

    def cut(self) -> None:
        """From now on nothing that clients send arrives: no request, no acknowledgement, no reset."""
        assert self.client.namespace is not None, "only a network of namespaces can be cut"
        words = ["ip", "-n", self.client.namespace, "route", "add", "blackhole", f"{self.server.host}/32"]
        subprocess.run(words, check=True, timeout=_PATIENCE_SECONDS)


class Unmade(Exception):
    """The link cannot be made here; the text says why."""


@contextmanager
def veth() -> Iterator[Network]:
    """Two network namespaces with a link of MTU 1500 between them, for as long as the context lasts."""
    with _namespaces() as (server, client):
        for words in _CABLE:
            _ip(words, server, client)
        yield Network(Place(_SERVER, server), Place(_CLIENT, client))


@contextmanager
def line(round_trip_ms: float, mbit: float, loss: float = 0.0) -> Iterator[Network]:
    """The same with a long line (:mod:`freight.lab.link`) between them; ``loss``: the part of packets that is lost."""
    with _namespaces() as (server, client):
        ends = (server, _SERVER, client, _CLIENT, round_trip_ms / 2, mbit, loss)
        words = [sys.executable, "-m", "freight.lab.link", *map(str, ends)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with running(words, env=environment(), text=True, **pipes) as process:
            assert process.stdout and process.stderr
            if process.stdout.readline() != "ready\n":
                raise Unmade((process.stderr.read().strip().splitlines() or ["the line ended"])[-1])
            yield Network(Place(_SERVER, server), Place(_CLIENT, client))


@contextmanager
def _namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, a server's and its clients'."""
    # "ip netns" names are the machine's; with a process id they are a test run's own.
    server, client = f"freight-{os.getpid()}-server", f"freight-{os.getpid()}-client"
    with ExitStack() as undo:
        undo.callback(_ip, "netns delete {client}", server, client, check=False)
        undo.callback(_ip, "netns delete {server}", server, client, check=False)  # the link goes with its ends
        for name in ("{server}", "{client}"):
            _ip(f"netns add {name}", server, client)
        yield server, client


def _ip(words: str, server: str, client: str, *, check: bool = True) -> None:
    command = ["ip", *words.format(server=server, client=client, end="freight0").split()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
    if check and ended.returncode:
        raise Unmade(f"{' '.join(command)}: {ended.stderr.strip()}")


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
    finally:
        os.close(fd)
