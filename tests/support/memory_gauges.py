"""The memory that a server needs for its clients: its own, and the kernel's in its send queues."""

from __future__ import annotations

import socket

from freight.tools.loadgen import gauge
from freight.tools.loadgen.network import inside
from support.servers import ServerProcess, wait_until

MB = 1_000_000
KIB = 1024
SETTLED_READINGS = 6  # over 50 ms
A_FEW_PAGES = 32 * KIB
"""How much a process may grow between two of its own measurements, in bytes."""


def socket_memory(server: ServerProcess) -> list[gauge.SocketMemory]:
    """Return the kernel's memory for each of the server's connections, over IPv4 and IPv6."""
    with inside(server.place.namespace):
        return [
            *gauge.socket_memory(server.port, socket.AF_INET),
            *gauge.socket_memory(server.port, socket.AF_INET6),
        ]


def send_queues(server: ServerProcess) -> list[int]:
    """Return the bytes in the send queue of each of the server's connections."""
    return [memory.wmem_queued for memory in socket_memory(server)]


class Gauge:
    """Measures how much more memory a server needs than when this was made: now, and at most (``peak``), in bytes.

    ``pids``: the processes that count; None: all of them.
    """

    def __init__(self, server: ServerProcess, pids: list[int] | None = None) -> None:
        self._server = server
        self._pids = pids
        self.baseline = server.private_bytes(pids)
        self.peak = self.peak_process = self.peak_kernel = 0

    def grown(self) -> int:
        """Return the growth of the processes."""
        return self._server.private_bytes(self._pids) - self.baseline

    def look(self) -> int:
        """Return the memory for clients now: in the processes, and in the kernel."""
        process, kernel = self.grown(), sum(send_queues(self._server))
        self.peak = max(self.peak, process + kernel)
        self.peak_process, self.peak_kernel = max(self.peak_process, process), max(self.peak_kernel, kernel)
        return process + kernel

    def settle(self) -> int:
        """Measure until SETTLED_READINGS in a row agree within A_FEW_PAGES. Return the last."""
        readings: list[int] = []

        def settled() -> bool:
            readings.append(self.look())
            last = readings[-SETTLED_READINGS:]
            return len(last) == SETTLED_READINGS and max(last) - min(last) <= A_FEW_PAGES

        wait_until(settled, "the memory for clients has settled")
        return readings[-1]

    def __str__(self) -> str:
        return f"at most {self.peak} bytes: {self.peak_process} in the process, {self.peak_kernel} in the kernel"
