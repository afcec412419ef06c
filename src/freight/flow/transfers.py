"""Send an answer, head and body, from a reader to a sink.

**Goal.** A transfer never has more in the process than the kernel takes at once, so that a slow client costs no memory.

**Rules.**

1. A reader with a descriptor is sent by a :class:`~freight.flow.file_sender.FileSender`: a callback each time that
   the socket can take bytes, and ``sendfile`` where the sink allows it. A small body that is cached is read instead,
   and sent in one call with the head; only what the kernel does not take of it is left to a sender.
2. A reader without one is a producer. A coroutine asks it for a piece in the pool, sends the piece, and only then asks
   for the next. A slow client therefore slows its producer, and no pieces accumulate.
3. A sweep checks all transfers and ends those whose client stalls or is too slow. There is no limit on total time.
   A client may pause for long, but only while no request waits and memory is free.
4. :meth:`Transfers.send_at_once` sends a short answer in one turn of the loop, and leaves what the kernel does not take
   to a transfer.

**Left out.** Admission is :mod:`freight.flow.gate`'s: a transfer that starts here has its slot, and what is sent at
once needs none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn

from freight.errors import FileChanged
from freight.fair_queue import Key
from freight.flow.counters import Counters, reason_of
from freight.flow.file_sender import FileSender, TransferContext
from freight.flow.limits import TransferLimits
from freight.flow.page_cache import Prefetcher, is_cached, read_cached
from freight.flow.poller import Poller
from freight.flow.producing import LEAST_PIECE_BYTES, PieceWriter, ProducerMemory, make_piece
from freight.flow.rate_limit import RateLimiter
from freight.flow.send_window import CALL_SIZES, FAST_SEND_BUFFER, OVERHEAD_DIVISOR, SEND_BUFFER_MIN
from freight.flow.slot import Slot
from freight.flow.socket_writer import BufferWriter, SocketWriter
from freight.memory.budget import Budget
from freight.memory.costs import FAST_WINDOW, WINDOW_MIN
from freight.model import Plan, Span
from freight.protocols import KeptOpen, LoopProducer, Reader, Sink
from freight.sources.disk_pool import SERVER_ITSELF, DiskPool, Work

_SWEEP_BATCH = 1000  # transfers checked before the loop gets its turn: 1-2 ms
_QUEUED_DIVISOR = 4  # while requests wait, the idle timeout is a quarter
_LOAN_SECONDS = 10.0  # and at most this for a client that keeps a loan
_ROOMY_FRACTION = 0.5  # a client may pause for long while at least this part of the memory is free
_HEAD_COST = 8 * 1024  # of a head beside a body of many pages
_SMALL_COST = 20 * 1024  # kernel memory of a small body with its head, in bytes, at most

MOST_AT_ONCE = CALL_SIZES[0]
"""The longest body that is sent without a slot, in bytes: one call."""

SMALL_BYTES = 16 * 1024
"""A body of up to this many bytes is read and sent in one call with its head, if it is cached. With bodies of 4 KiB the
server then uses a tenth less CPU time than with sendfile(2)."""

_BODY = memoryview(bytearray(SMALL_BYTES))  # such a body, from its read until it is sent in the same call


class Transfers:
    """Runs the transfers of one event loop, and ends those whose client stalls or is too slow.

    Producers and reads from cold disks block in ``pool``. Without ``rates``, the rate limiter is of this process alone.
    ``patience_seconds`` is for how long a client may acknowledge nothing of an answer that the kernel has whole. Each
    sweep sets it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: DiskPool,
        budget: Budget,
        counters: Counters,
        limits: TransferLimits,
        rates: RateLimiter | None = None,
    ) -> None:
        self.limits = limits
        self.patience_seconds = limits.idle_seconds
        self.poller = Poller(loop)
        self.rates = rates or RateLimiter(limits.rate, limits.client_rate)
        self._loop = loop
        self.pool = pool
        self._budget = budget
        self._counters = counters
        self._context = TransferContext(budget, Prefetcher(loop, pool), self.rates)

    def set_limits(self, limits: TransferLimits) -> None:
        """Apply other limits at once, to running transfers too."""
        self.limits = limits
        self.rates.set_rates(limits.rate, limits.client_rate, self._loop.time())

    def transfer(self, reader: Reader, plan: Plan, sink: Sink, slot: Slot) -> Coroutine[Any, Any, None]:
        """Begin to send a plan with spans of ``reader``. Return a coroutine that ends when the kernel has all of it.

        The caller runs the coroutine, and counts the transfer with :meth:`count` when the client has all of it, or
        cannot get the rest. The coroutine raises a :class:`~freight.errors.TransferError`, or OSError, when the
        transfer cannot be completed. The caller must then reset the connection, so that a truncated body does not look
        complete.
        """
        segments, fd = sink.segments(plan, reader.size), reader.fileno()
        if fd is None:
            return self._send_produced(reader, segments, sink, slot.key)
        if self._is_small(reader, plan, sink):
            try:
                rest = self._send_small(fd, reader, tuple(segments), sink)
            except FileChanged as error:
                return self.fail(error)
            if not rest:
                return _send_nothing()
            segments = iter(rest)
        return self.send_file(reader, segments, sink, slot.key) or _send_nothing()

    def send_file(
        self, reader: Reader, segments: Iterator[bytes | Span], sink: Sink, client: Key
    ) -> Coroutine[Any, Any, None] | None:
        """Send the first bytes of an answer from a file. Return a coroutine that sends the rest; None: that was all."""
        fd, started_at, error = reader.fileno(), self._loop.time(), None
        assert fd is not None
        sender = FileSender(fd, reader, segments, sink, client, self._context)
        self.rates.join(client, started_at)
        try:
            if sender.send_now():
                self._file_sent(sender, client, started_at)
                return None
        except Exception as raised:
            error = raised
        return self._send_rest(sender, client, started_at, error)

    async def _send_rest(self, sender: FileSender, client: Key, started_at: float, error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            await sender.send_rest(self._loop, self.poller)
        except BaseException as raised:
            self.count(reason_of(raised))
            raise
        finally:
            del error  # its traceback refers to this frame
            self._file_sent(sender, client, started_at)

    def _file_sent(self, sender: FileSender, client: Key, started_at: float) -> None:
        self.rates.leave(client)
        disk = sender.disk_seconds
        seconds = max(0.0, self._loop.time() - started_at - disk)
        self._counters.transfer_sent(sender.sent_bytes, sender.zero_copy_bytes, seconds, disk)

    async def _send_produced(self, reader: Reader, segments: Iterator[bytes | Span], sink: Sink, client: Key) -> None:
        produced, started_at = 0, self._loop.time()
        try:
            produced = await self._relay(reader, segments, sink, client)
            reader.check()
        except BaseException as error:
            self.count(reason_of(error))
            raise
        finally:
            self._counters.transfer_sent(produced, 0, max(0.0, self._loop.time() - started_at), 0.0)

    def _is_small(self, reader: Reader, plan: Plan, sink: Sink) -> bool:
        """Return whether the body of a plan is one span that may be sent in one call with its head, if it is cached.

        It must fit into the slot's window beside what is queued.
        """
        length = plan.length
        if not length or length > SMALL_BYTES or len(plan.parts) != 1 or not sink.zero_copy:
            return False
        if not isinstance(plan.parts[0], Span) or reader.in_pieces or self.rates.is_limited:
            return False
        return sink.queued_bytes() <= WINDOW_MIN - _SMALL_COST

    def _send_small(
        self, fd: int, reader: Reader, segments: tuple[bytes | Span, ...], sink: Sink
    ) -> tuple[bytes | Span, ...]:
        """Send a small body with its head, if it is cached. Return what is left of them. Raise FileChanged."""
        *literals, span = segments
        assert isinstance(span, Span) and span.stop is not None
        length = span.stop - span.start
        if not read_cached(fd, _BODY[:length], span.start):
            return segments
        reader.check()  # after the read: what was read is of the announced version
        head = b"".join([each for each in literals if isinstance(each, bytes)])
        return self._send_message(head, span.start, length, sink)

    def send_at_once(
        self, file: KeptOpen, head: bytes, start: int, length: int, sink: Sink
    ) -> tuple[bytes | Span, ...] | None:
        """Send a head and part of a file without waiting. Return what is left of them, which the caller must send.

        ``length`` is at most MOST_AT_ONCE. The sink must have nothing queued, and :func:`cost_at_once` bytes must be
        free: what the kernel then holds is recorded as a loan, until it has drained. Return None, and send nothing, if
        the file is not cached, or the path names another one now. Raise FileChanged if the file changed meanwhile.
        """
        fd = file.fileno()
        if fd is None:
            return None
        if length <= SMALL_BYTES:
            # Looked up after the read: what was read is then of the announced version.
            if not read_cached(fd, _BODY[:length], start) or not file.is_current():
                return None
            return self._send_message(head, start, length, sink)
        if not is_cached(fd, start, start + length) or not file.is_current():
            return None
        accepted = 0
        try:
            sink.set_send_buffer(FAST_SEND_BUFFER)
            accepted = sink.send(head, True)
            if accepted == len(head):
                accepted += sink.sendfile(fd, start, length)
                file.check()
        except OSError:
            pass  # the next send on this socket, or read of this file, fails in the same way and reports it
        finally:
            body_bytes = max(0, accepted - len(head))
            self._record_sent(sink, accepted, body_bytes, body_bytes if sink.zero_copy else 0)
        return _rest(head, start, length, accepted)

    def _send_message(self, head: bytes, start: int, length: int, sink: Sink) -> tuple[bytes | Span, ...]:
        """Send a head, and a body that is in _BODY, in one call. Return what is left of them.

        TLS may have encrypted a record of which the kernel took nothing: the same bytes must be offered again.
        """
        message, accepted = head + _BODY[:length], 0
        try:
            accepted = sink.send(message, False)
        except OSError:
            pass  # the next send on this socket fails in the same way and reports it
        if accepted or sink.zero_copy:
            self._record_sent(sink, accepted, max(0, accepted - len(head)), 0)
            return _rest(head, start, length, accepted)
        self._record_sent(sink, 0, length, 0)  # a transfer counts no bytes of literals
        return (message,)

    def _record_sent(self, sink: Sink, accepted: int, body_bytes: int, zero_copy_bytes: int) -> None:
        """Record what the kernel has accepted in one turn, and count the bytes of a body."""
        sink.account.peer_window -= accepted
        self._budget.record(sink, sink.queued_bytes())
        self._counters.transfer_sent(body_bytes, zero_copy_bytes, 0.0, 0.0)

    async def fail(self, error: FileChanged) -> NoReturn:
        """Count a transfer that must be aborted, though the kernel may have all of it, and raise the reason."""
        self.count(reason_of(error))
        raise error

    def count(self, reason: str | None) -> None:
        """Count a transfer that has completed (None), or was aborted for a reason."""
        self._counters.transfer_ended(reason)

    async def send(self, plan: Plan, sink: Sink) -> None:
        """Send a plan without spans. Raise as :meth:`transfer` does."""
        await self._relay(None, sink.segments(plan, None), sink, SERVER_ITSELF)

    async def sweep(self, queued: int) -> int:
        """Check every transfer once, and end those whose client has stalled or was too slow.

        ``queued`` requests wait for slots. For each of them, one transfer may be ended after a shorter timeout.
        Return how many bytes all clients have acknowledged since the last sweep.
        """
        now, acknowledged, stalled = self._loop.time(), 0, 0
        # While nobody needs its slot or its memory, a client may pause.
        is_roomy = self._budget.free_fraction() >= _ROOMY_FRACTION
        pause_seconds = (self.limits.pause_seconds or 0.0) if is_roomy else 0.0
        self.patience_seconds = max(self.limits.idle_seconds, 0.0 if queued else pause_seconds)
        for count, writer in enumerate(self.poller, 1):
            # Some have ended while the loop had its turn.
            if isinstance(writer, SocketWriter) and writer.is_registered:
                before = writer.acknowledged_bytes
                if self._end_if_slow(writer, now, queued, 0.0 if queued else pause_seconds):
                    queued = max(0, queued - 1)
                after = writer.acknowledged_bytes
                if before is not None and after is not None:
                    acknowledged += max(0, after - before)
                    stalled += writer.sink.account.borrowed if after == before else 0
            if count % _SWEEP_BATCH == 0:
                await asyncio.sleep(0)
        self._budget.stalled_loans = min(stalled, self._budget.lent)
        return acknowledged

    def _end_if_slow(self, writer: SocketWriter, now: float, queued: int, pause_seconds: float) -> bool:
        sink = writer.sink
        if sink.account.borrowed:
            self._budget.record(sink, sink.queued_bytes())
        error = writer.check_progress(now, self._idle_seconds(sink, queued), self.limits.min_rate, pause_seconds)
        if error is None:
            return False
        writer.finish(error)
        return True

    def _idle_seconds(self, sink: Sink, queued: int) -> float:
        """Return how long the client may acknowledge nothing, in seconds, if it may not pause."""
        idle_seconds = self.limits.idle_seconds
        if not queued:
            return idle_seconds
        return min(idle_seconds / _QUEUED_DIVISOR, _LOAN_SECONDS if sink.account.borrowed else idle_seconds)

    def close(self) -> None:
        """Release what the transfers share. The caller guarantees that none is running."""
        self.poller.close()

    async def _relay(self, reader: Reader | None, segments: Iterator[bytes | Span], sink: Sink, client: Key) -> int:
        """Send literals and a producer's pieces. Return how many bytes the producer made."""
        sink.set_send_buffer(SEND_BUFFER_MIN)
        produced = 0
        for segment in segments:
            if isinstance(segment, bytes):
                await BufferWriter(segment, sink, self._budget).run(self._loop, self.poller)
                continue
            assert reader is not None  # only a plan with spans has any
            produced += await self._produce(reader, sink, client)
        return produced

    async def _produce(self, reader: Reader, sink: Sink, client: Key) -> int:
        """Send a producer's pieces, each before the next is made. Return how many bytes it made."""
        produced, memory = 0, ProducerMemory(self._loop, self._budget)
        coded = reader if isinstance(reader, LoopProducer) else None
        most_bytes = self._budget.division.piece_bytes if coded is not None and memory.take() else LEAST_PIECE_BYTES

        def read() -> bytes:
            return reader.read(memory.ask)

        try:
            while True:
                if coded is not None:
                    piece = await make_piece(coded, most_bytes, sink, self._loop, self.poller)
                else:
                    job = self.pool.submit(read, work=Work.LISTING, device=reader.device, client=client)
                    piece = await asyncio.wrap_future(job, loop=self._loop)
                if not piece:
                    return produced
                produced += len(piece)
                piece = sink.encode_chunk(piece)
                await PieceWriter(piece, sink, self._budget).run(self._loop, self.poller)
        except asyncio.CancelledError:
            if coded is not None:
                coded.start_close()  # code that is stuck does not delay the stop of the server
                coded = None
            raise
        finally:
            memory.release()
            if coded is not None:
                await coded.aclose()  # the slot is free when the application's code has ended


def cost_at_once(length: int) -> int:
    """Return how much kernel memory :meth:`Transfers.send_at_once` may take for a body of ``length`` bytes."""
    return min(max(WINDOW_MIN, length + length // OVERHEAD_DIVISOR + _HEAD_COST), FAST_WINDOW)


def _rest(head: bytes, start: int, length: int, accepted: int) -> tuple[bytes | Span, ...]:
    """Return what is left of a head and a span of which ``accepted`` bytes have been sent."""
    sent = accepted - len(head)
    if sent == length:
        return ()
    if sent < 0:
        return head[accepted:], Span(start, start + length)
    return (Span(start + sent, start + length),)


async def _send_nothing() -> None:
    """Send what is left of an answer that was sent at once."""
