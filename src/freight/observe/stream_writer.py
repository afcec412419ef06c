"""Writing an event stream to one socket: wait while the kernel takes no bytes, and buffer nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from freight.flow.poller import Poller
from freight.flow.socket_writer import BufferWriter
from freight.memory.budget import Budget
from freight.protocols import Sink

T = TypeVar("T")

MAX_VIEWERS = 64
"""The most event streams at once."""


async def run_inline(call: Callable[[], T]) -> T:
    """Call a function that may block, and return its result: for an event loop without threads."""
    return call()


@dataclass(frozen=True, slots=True)
class StreamWriter:
    """Writes on one event loop. ``budget`` counts what the kernel takes; the sweep of ``poller`` finds stalls."""

    loop: asyncio.AbstractEventLoop
    budget: Budget
    poller: Poller

    async def write(self, data: bytes, sink: Sink) -> None:
        """Hand all of ``data`` to the kernel. Raises a TransferError: the viewer has disconnected, or stalls."""
        await BufferWriter(data, sink, self.budget).run(self.loop, self.poller)
