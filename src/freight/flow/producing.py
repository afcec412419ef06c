"""The body of a producer: more memory for it while it runs, and the making and sending of its pieces."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from freight.errors import ClientDisconnected
from freight.flow.poller import GONE, Poller
from freight.flow.send_window import send_buffer_for
from freight.flow.socket_writer import BufferWriter
from freight.memory.budget import Budget
from freight.protocols import LoopProducer, Sink

LEAST_PIECE_BYTES = 4096
"""The size of an application's pieces without memory for larger ones, in bytes. The slot pays for it."""

_REPLY_SECONDS = 5.0  # the loop replies in its next turn, unless it ends


class PieceWriter(BufferWriter):
    """Sends a piece through the largest window that the budget grants, so that few waits are needed."""

    __slots__ = ()

    def step(self) -> bool:
        window = self._budget.window(self.sink, self.sink.queued_bytes())
        self.sink.set_send_buffer(send_buffer_for(window))
        return super().step()


class ProducerMemory:
    """What one producer has been granted beyond the memory that its slot has. :meth:`release` ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: Budget) -> None:
        self._loop = loop
        self._budget = budget
        self._granted = 0
        self._released = False

    def ask(self) -> int:
        """Return how many more bytes the producer may use, 0 if none. Call it from a thread other than the loop's."""
        reply: Future[int] = Future()
        try:
            self._loop.call_soon_threadsafe(self._reply, reply)
            return reply.result(_REPLY_SECONDS)
        except (RuntimeError, TimeoutError):  # the loop is closed, or does not reply
            return 0

    def take(self) -> int:
        """Return how many more bytes the producer may use, 0 if none. Call it on the loop."""
        if self._released or not self._budget.extend_producer():
            return 0
        self._granted += 1
        return self._budget.division.producer_cost

    def release(self) -> None:
        """Return everything, and grant no more."""
        self._released = True
        self._budget.shrink_producer(self._granted)

    def _reply(self, reply: Future[int]) -> None:
        reply.set_result(self.take())


class _ClientWatch:
    """Notices that a client leaves while its next piece is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gone: asyncio.Future[None] = loop.create_future()

    def handle_events(self, events: int) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


async def make_piece(
    producer: LoopProducer, most_bytes: int, sink: Sink, loop: asyncio.AbstractEventLoop, poller: Poller
) -> bytes:
    """Return a producer's next piece. Raise ClientDisconnected, and cancel the producer, if the client leaves."""
    watch, making = _ClientWatch(loop), loop.create_task(producer.produce(most_bytes))
    poller.register(sink.fileno(), watch, GONE)
    try:
        await asyncio.wait((making, watch.gone), return_when=asyncio.FIRST_COMPLETED)
        if making.done():
            return making.result()
        raise ClientDisconnected("the client closed the connection")
    finally:
        poller.unregister(sink.fileno())
        if not making.done():
            making.cancel()
            await asyncio.wait((making,))
