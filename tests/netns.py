"""Where a server and its clients are: on the loopback, or at the two ends of a link with Ethernet's frames."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000
_SETUP = (  # what ip(8) is told: two namespaces, and a link whose ends nobody outside them sees
    "netns add {server}",
    "netns add {client}",
    "link add {end} mtu 1500 netns {server} type veth peer name {end} mtu 1500 netns {client}",
    "-n {server} address add 10.77.0.1/24 dev {end}",
    "-n {client} address add 10.77.0.2/24 dev {end}",
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

        maker = threading.Thread(target=make)  # a namespace is a thread's own, and this one goes with its thread
        maker.start()
        maker.join()
        return made[0]


HERE = Place()


@dataclass(frozen=True, slots=True)
class Network:
    """A place for the server, and one for its clients."""

    server: Place = HERE
    client: Place = HERE


class Unmade(Exception):
    """The link cannot be made here; the text says why."""


@contextmanager
def veth() -> Iterator[Network]:
    """Two network namespaces with a link of MTU 1500 between them, for as long as the context lasts."""
    # "ip netns" names are the machine's; with a process id they are a test run's own.
    server, client = f"freight-{os.getpid()}-server", f"freight-{os.getpid()}-client"
    with ExitStack() as undo:
        undo.callback(_ip, "netns delete {client}", server, client, check=False)
        undo.callback(_ip, "netns delete {server}", server, client, check=False)  # the link goes with its ends
        for words in _SETUP:
            _ip(words, server, client)
        yield Network(Place("10.77.0.1", server), Place("10.77.0.2", client))


def _ip(words: str, server: str, client: str, *, check: bool = True) -> None:
    command = ["ip", *words.format(server=server, client=client, end="freight0").split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
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
