"""A long line between two network namespaces: rate, delay, queue and losses, by two TUN devices.

Some kernels have no netem (tc-netem(8)). A TUN device passes every packet to a program, and this program writes it to
the other device after the delay. Run as::

    python -m freight.tools.loadgen.link NAMESPACE ADDRESS NAMESPACE ADDRESS DELAY_MS MBIT [LOSS]

The namespaces must exist: each is a name (ip-netns(8)) or a path (network_namespaces(7)). ``DELAY_MS`` is one way,
``MBIT`` is a rate in 10^6 bits per second, ``LOSS`` is the fraction of lost packets. The program prints ``ready``, and
the line ends with it. It needs root, ``/dev/net/tun`` and ip(8). One core carries about 100,000 packets per second: 600
Mbit/s one way, and their acknowledgements the other way.
"""

from __future__ import annotations

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

from freight.tools.loadgen.network import MTU, inside

QUEUE_PACKETS = 3000
"""Length of the send queue, each way: 4.5 MB, about what a line of 400 Mbit/s carries in 100 ms."""

DEVICE = "wan0"
_TUN = Path("/dev/net/tun")
_NAMESPACES = Path("/run/netns")
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI: each read(2) is one packet of IP
_BATCH = 64  # packets that are read from one device before the other is served


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One-way delay in seconds, rate in bytes per second, queue in bytes, fraction of lost packets."""

    delay: float
    rate: float
    queue: float = QUEUE_PACKETS * MTU
    loss: float = 0.0


class Direction:
    """One direction of a line. ``now`` is in seconds of a monotonic clock.

    A packet waits until those before it are sent, is sent at the line's rate, and arrives a delay later. A packet that
    finds the queue full is lost, as in a router.
    """

    __slots__ = ("_chance", "_free_at", "_line", "_packets")

    def __init__(self, line: LinkSpec, chance: random.Random) -> None:
        self._line = line
        self._chance = chance
        self._free_at = 0.0  # when all accepted packets are sent
        self._packets: deque[tuple[float, bytes]] = deque()  # each with its arrival, in order

    def take(self, packet: bytes, now: float) -> None:
        """Accept a packet at the near end."""
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
        """Return when the next packet arrives at the far end; infinite if there is none."""
        return self._packets[0][0] if self._packets else float("inf")

    def arrived(self, now: float) -> bytes | None:
        """Remove and return the next packet that has arrived, or None."""
        if self._packets and self._packets[0][0] <= now:
            return self._packets.popleft()[1]
        return None


def open_device(namespace: str, address: str) -> int:
    """Make the device in a namespace, give it an address of a /24, and return its descriptor. Raises OSError."""
    entered = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    with inside(entered):
        os.close(entered)
        device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _TUN_WITHOUT_HEADER))
        for words in (
            f"address add {address}/24 dev {DEVICE}",
            f"link set {DEVICE} mtu {MTU} txqueuelen 10000 up",
            "link set lo up",
        ):
            subprocess.run(["ip", *words.split()], check=True, timeout=20)  # in the namespace that this thread is in
    return device


def carry(near: int, far: int, line: LinkSpec) -> None:
    """Carry packets between two devices until the process ends."""
    chance = random.Random(1)  # the same losses each time
    ways = {near: (Direction(line, chance), far), far: (Direction(line, chance), near)}
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
                for _ in range(_BATCH):
                    way.take(os.read(device, MTU), now)
            except BlockingIOError:
                pass


def main() -> None:
    """Make a line as the arguments say. See the head of this file."""
    near, near_address, far, far_address, delay, mbit, *loss = sys.argv[1:]
    line = LinkSpec(float(delay) / 1e3, float(mbit) * 1e6 / 8, loss=float(loss[0]) if loss else 0.0)
    devices = open_device(near, near_address), open_device(far, far_address)
    print("ready", flush=True)
    carry(*devices, line)


if __name__ == "__main__":
    main()
