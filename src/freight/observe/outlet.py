"""A way out for who is told something again and again: bytes to one socket, waiting while it takes none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from freight.flow.budget import Budget
from freight.flow.rounds import Rounds
from freight.flow.waiting import Writer
from freight.ports import Sink

T = TypeVar("T")

VIEWERS = 64
"""How many may watch at once."""


async def run_here(call: Callable[[], T]) -> T:
    """Do what may take long at once; its result. For those who have no threads."""
    return call()


@dataclass(frozen=True, slots=True)
class Outlet:
    """Writes on one event loop; what the kernel takes is noted in ``budget``, and the sweep of ``rounds`` judges it."""

    loop: asyncio.AbstractEventLoop
    budget: Budget
    rounds: Rounds

    async def write(self, data: bytes, sink: Sink) -> None:
        """Hand all of ``data`` to the kernel. Raises a TransferError: the viewer is gone, or has stood still."""
        writer = Writer(data, sink, self.budget)
        if not writer.start():
            try:
                await writer.begin(self.loop, self.rounds)
            finally:
                writer.leave()
