"""A long line between two network namespaces: a rate, a delay, a queue and losses, by two TUN devices.

Some kernels have no netem (tc-netem(8)). A TUN device gives every packet that is sent to it to a program, and this
program writes it to the other device when its time has come. Run as::

    python -m freight.lab.link NAMESPACE ADDRESS NAMESPACE ADDRESS DELAY_MS MBIT [LOSS]

The namespaces exist already: each is a name (ip-netns(8)) or the path of one (network_namespaces(7)). ``DELAY_MS`` is
one way, ``MBIT`` is a rate in 10^6 bits a second, and ``LOSS`` is the part of all packets that is lost, from 0 to 1. It
prints ``ready``, and the line ends with the process. It needs root, ``/dev/net/tun`` and ip(8). One core carries about
100,000 packets a second, which is 600 Mbit/s one way and the acknowledgements of it the other way.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

MTU = 1500
QUEUE_PACKETS = 3000
"""What may wait for its turn to be sent, each way: 4.5 MB, about as much as a line of 400 Mbit/s holds in 100 ms."""

DEVICE = "wan0"
_TUN = Path("/dev/net/tun")
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI: each read(2) is one packet of IP
_AT_ONCE = 64  # packets that are read from one device before the other has its turn


@dataclass(frozen=True, slots=True)
class Line:
    """A line: one-way delay in seconds, rate in bytes a second, queue in bytes, the part of packets that is lost."""

    delay: float
    rate: float
    queue: float = QUEUE_PACKETS * MTU
    loss: float = 0.0


class Way:
    """One direction of a line. ``now`` is in seconds of a clock that never goes back.

    A packet waits until those before it are sent, is sent at the line's rate, and arrives a delay later. A packet that
    finds the queue full is lost, as in a router.
    """

    __slots__ = ("_chance", "_free_at", "_line", "_packets")

    def __init__(self, line: Line, chance: random.Random) -> None:
        self._line = line
        self._chance = chance
        self._free_at = 0.0  # when all that was taken is sent
        self._packets: deque[tuple[float, bytes]] = deque()  # each with its arrival, in order

    def take(self, packet: bytes, now: float) -> None:
        """A packet has come to this end."""
        line = self._line
        begins = max(self._free_at, now)
        if (begins - now) * line.rate > line.queue:
            return
        self._free_at = begins + len(packet) / line.rate
        if line.loss and self._chance.random() < line.loss:
            return
        self._packets.append((self._free_at + line.delay, packet))

    @property
    def next_at(self) -> float:
        """When the next packet arrives at the other end; infinite where none is under way."""
        return self._packets[0][0] if self._packets else float("inf")

    def arrived(self, now: float) -> bytes | None:
        """The next packet that has arrived by now, or None."""
        if self._packets and self._packets[0][0] <= now:
            return self._packets.popleft()[1]
        return None


def open_device(namespace: str, address: str) -> int:
    """Make the device in a namespace, give it an address of a /24, and return its descriptor. Raises OSError."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(namespace)
        device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _TUN_WITHOUT_HEADER))
        for words in (
            f"address add {address}/24 dev {DEVICE}",
            f"link set {DEVICE} mtu {MTU} txqueuelen 10000 up",
            "link set lo up",
        ):
            subprocess.run(["ip", *words.split()], check=True, timeout=20)  # in the namespace that this thread is in
    finally:
        _set_namespace(own)
        os.close(own)
    return device


def _enter(namespace: str) -> None:
    other = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _set_namespace(other)
    finally:
        os.close(other)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def carry(near: int, far: int, line: Line) -> None:
    """Carry packets between two devices until the process ends."""
    chance = random.Random(1)  # the same losses each time
    ways = {near: (Way(line, chance), far), far: (Way(line, chance), near)}
    epoll = select.epoll()
    for device in ways:
        epoll.register(device, select.EPOLLIN)
    while True:
        now = monotonic()
        for way, to in ways.values():
            while (packet := way.arrived(now)) is not None:
                try:
                    os.write(to, packet)
                except BlockingIOError:
                    pass  # the other end's own queue is full: lost
        wait = min(way.next_at for way, _ in ways.values()) - monotonic()
        for device, _ in epoll.poll(None if wait == float("inf") else max(0.0, wait)):
            way, _ = ways[device]
            now = monotonic()
            try:
                for _ in range(_AT_ONCE):
                    way.take(os.read(device, MTU), now)
            except BlockingIOError:
                pass


def main() -> None:
    """Make a line as the arguments say. See the head of this file."""
    near, near_address, far, far_address, delay, mbit, *loss = sys.argv[1:]
    line = Line(float(delay) / 1e3, float(mbit) * 1e6 / 8, loss=float(loss[0]) if loss else 0.0)
    devices = open_device(near, near_address), open_device(far, far_address)
    print("ready", flush=True)
    carry(*devices, line)


if __name__ == "__main__":
    main()
