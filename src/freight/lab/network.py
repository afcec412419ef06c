"""Where a server and its clients are: on the loopback, or at the two ends of a long line (:mod:`freight.lab.link`).

The two network namespaces of a line have no names: processes hold them open by descriptors. So the kernel removes them
when the lab and what it has started end, even if the lab is killed (network_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from freight.lab import tether
from freight.lab.servers import Unfit

_TUN = Path("/dev/net/tun")
_OWN = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x40000000
_SERVER, _CLIENT = "192.0.2.1", "192.0.2.2"  # for documentation (RFC 5737): they lead nowhere outside the line


@dataclass(frozen=True, slots=True)
class Ends:
    """The server's address, descriptors of both ends' namespaces, and the process that carries the packets.

    ``None`` is the namespace of the lab itself, and no such process.
    """

    host: str = "127.0.0.1"
    server: int | None = None
    client: int | None = None
    carrier_pid: int | None = None


LOOPBACK = Ends()


@contextmanager
def inside(namespace: int | None) -> Iterator[None]:
    """Have this thread in a namespace (setns(2)): sockets and processes that it makes meanwhile stay there."""
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
def line(round_trip_ms: float, mbit: float) -> Iterator[Ends]:
    """A line with this round trip and this rate, in 10^6 bits a second each way. Raises Unfit where it cannot be made.

    It needs root, ``/dev/net/tun`` and ip(8).
    """
    if not _TUN.exists():
        raise Unfit(f"a long line needs {_TUN}, which is not there")
    if not shutil.which("ip"):
        raise Unfit("a long line needs ip(8), which is not installed")
    with ExitStack() as undo:
        server = _new_namespace()
        undo.callback(os.close, server)
        client = _new_namespace()
        undo.callback(os.close, client)
        yield undo.enter_context(_carried(server, client, round_trip_ms, mbit))


@contextmanager
def _carried(server: int, client: int, round_trip_ms: float, mbit: float) -> Iterator[Ends]:
    words = [f"/proc/self/fd/{server}", _SERVER, f"/proc/self/fd/{client}", _CLIENT, f"{round_trip_ms / 2}", f"{mbit}"]
    process = tether.start(
        [sys.executable, "-m", "freight.lab.link", *words],
        pass_fds=(server, client),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            if process.stdout.readline() != b"ready\n":
                said = process.stderr.read().decode(errors="replace").strip().splitlines() or ["it ended at once"]
                raise Unfit(f"a long line cannot be made: {said[-1]}")
            yield Ends(_SERVER, server, client, process.pid)
        finally:
            tether.stop(process)


def _new_namespace() -> int:
    """Make a network namespace; return a descriptor of it. Raises Unfit where this process may not."""
    own = os.open(_OWN, os.O_RDONLY)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            return os.open(_OWN, os.O_RDONLY)
        finally:
            _call("setns", own, _CLONE_NEWNET)
    except OSError as error:
        raise Unfit(f"a long line needs network namespaces, which only root may make: {error.strerror}") from None
    finally:
        os.close(own)


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
