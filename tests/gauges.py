"""What a server holds for its clients: memory of its own, and the kernel's in its send queues."""

from __future__ import annotations

import re
import subprocess

from serving import PATIENCE_SECONDS, Served, until

MB = 1_000_000
KIB = 1024
A_FEW_PAGES = 32 * KIB
"""What a process may grow by between two of its own looks at itself, in bytes."""


def socket_memory(server: Served) -> list[dict[str, int]]:
    """The kernel's memory, in bytes, of each of the server's connections: ss(8)'s skmem, by its own short names.

    ``r``: received and not read, bounded by ``rb``; ``w``: to be sent, with its bookkeeping, bounded by ``tb``.
    """
    asking = ("ss", "-tmnH", "state", "connected", "sport", "=", f":{server.port}")
    shown = subprocess.run(
        [*server.place.within, *asking], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    ).stdout
    return [
        {name: int(count) for name, count in re.findall(r"([a-z]+)(\d+)", found)}
        for found in re.findall(r"skmem:\((.*?)\)", shown)
    ]


def send_queues(server: Served) -> list[int]:
    """Of these what is to be sent."""
    return [memory["w"] for memory in socket_memory(server)]


class Gauge:
    """How much more a server holds than when this was made, now (:meth:`look`) and at most (``peak``), in bytes.

    ``pids``: its processes that count; all, if none are given.
    """

    def __init__(self, server: Served, pids: list[int] | None = None) -> None:
        self._server = server
        self._pids = pids
        self.baseline = server.private_bytes(pids)
        self.peak = self.peak_process = self.peak_kernel = 0

    def grown(self) -> int:
        """By how much the process has grown."""
        return self._server.private_bytes(self._pids) - self.baseline

    def look(self) -> int:
        """What is held for clients now: in the process, and in the kernel."""
        process, kernel = self.grown(), sum(send_queues(self._server))
        self.peak = max(self.peak, process + kernel)
        self.peak_process, self.peak_kernel = max(self.peak_process, process), max(self.peak_kernel, kernel)
        return process + kernel

    def settle(self) -> int:
        """The same as :meth:`look`, once it changes no more, but by the few pages that a process may at any time."""
        looks: list[int] = []

        def same() -> bool:
            looks.append(self.look())
            return len(looks) >= 3 and max(looks[-3:]) - min(looks[-3:]) <= A_FEW_PAGES

        until(same, "what is held for clients has settled")
        return looks[-1]

    def __str__(self) -> str:
        return f"at most {self.peak} bytes: {self.peak_process} in the process, {self.peak_kernel} in the kernel"
