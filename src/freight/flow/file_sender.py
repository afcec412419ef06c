"""Send an answer's literals and spans of a file, a bounded amount whenever the socket can take bytes.

**Goal.** Most steps are one call of sendfile(2). No coroutine, future or buffer is involved in a step.

**Invariant.** A step never makes the send queue exceed the window that the budget grants. The queue is read from the
kernel before each call (decision 007). After it, the whole window is recorded on the fast path, else the queue as it
is then. Only a literal may exceed the window, as it is not cut.

**Rules.**

1. A step sends at most CALL_SIZES[0] bytes of a span, so that one download delays the others by one call. It sends at
   most 32 parts of an answer with many ranges.
2. How much is sent follows from the window: see :mod:`freight.flow.send_window`.
3. Bytes are sent only if they were in the page cache within the last second. A thread fetches others (decision 004).
4. Of a file that only threads may read (:attr:`freight.protocols.Reader.in_pieces`), a thread reads a piece, and the
   socket takes that. The piece counts as if it were in the send queue, so its size is that of a call (decision 029).
5. The file is checked for changes every 2 MiB, before its last bytes and after them.

**Left out.** The budget divides memory, the rate limiter bandwidth. The sweep in :mod:`freight.flow.transfers` ends
downloads that stall. Nothing here waits or reads a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

from freight import unsupported
from freight.errors import ShortRead
from freight.fair_queue import Key
from freight.flow.page_cache import Prefetcher, is_cached
from freight.flow.poller import Poller
from freight.flow.rate_limit import RateLimiter
from freight.flow.send_window import CALL_SIZES, MEMORY_RETRY_SECONDS, SendWindow
from freight.memory.budget import Budget
from freight.memory.costs import FAST_WINDOW
from freight.model import Span
from freight.protocols import Reader, Sink

_CALL = CALL_SIZES[0]
_PARTS_PER_STEP = 32  # an answer with many small ranges must not delay other downloads
_ACTIONS_PER_PART = 3  # take the next part, send its literal, send its span
_FETCH_BYTES = 4 * 1024 * 1024  # a thread fetches at most this at a time, because other downloads wait for it
_PROBE_BYTES = 4 * 1024 * 1024  # how far ahead the page cache is probed
_CHECK_BYTES = 2 * 1024 * 1024
_CACHED_SECONDS = 1.0  # how long the result of a probe is trusted


@dataclass(frozen=True, slots=True)
class TransferContext:
    """What the transfers of one event loop share. ``ids`` gives each file that is sent a number."""

    budget: Budget
    prefetcher: Prefetcher
    rates: RateLimiter
    ids: Iterator[int] = field(default_factory=lambda: count(1))


class FileSender(SendWindow):
    """Sends ``segments`` to ``sink``: literals, and spans of the file that ``reader`` has open as ``fd``.

    ``client`` is the key for rates and for turns at the disk. ``id`` identifies the download in its process.
    ``sent_bytes`` counts bytes of spans. ``disk_seconds`` is the time spent waiting for the disk.
    """

    __slots__ = (
        "_cached_at",
        "_cached_stop",
        "_fd",
        "_fetching_since",
        "_literal",
        "_next_check",
        "_prefetcher",
        "_reader",
        "_segments",
        "_start",
        "_stop",
        "disk_seconds",
        "id",
        "sent_bytes",
    )

    def __init__(
        self,
        fd: int,
        reader: Reader,
        segments: Iterator[bytes | Span],
        sink: Sink,
        client: Key,
        context: TransferContext,
    ) -> None:
        super().__init__(sink, client, context.budget, context.rates)
        self._fd = fd
        self._reader = reader
        self._segments = segments
        self._prefetcher = context.prefetcher
        # The literal goes first, then the span [start, stop). A piece of a file goes as a literal: a memoryview.
        self._literal: bytes | memoryview = b""
        self._start = self._stop = 0
        # At that time the span was in the page cache up to this offset; or a piece is being read up to it.
        self._cached_stop, self._cached_at = 0, 0.0
        self._next_check = 0
        self._fetching_since: float | None = None
        self.id = next(context.ids)
        self.sent_bytes = 0
        self.disk_seconds = 0.0

    def step(self) -> bool:
        """Also raises FileChanged, or ShortRead when the file has become shorter than the spans."""
        if self._fetching_since is not None:
            return False
        sink, budget = self.sink, self._budget
        account, held = sink.account, sink.queued_bytes()
        # It has borrowed a whole window and its client can receive one, so nothing need be asked or recorded.
        whole = account.peer_window >= FAST_WINDOW == account.reserved + account.borrowed
        window = FAST_WINDOW if whole else budget.window(sink, held)
        # The fast path comes first, as nearly all steps take it: within a span, nothing has changed and the call fits.
        start, stop = self._start, self._start + _CALL
        if (
            window == self.window
            and held + account.piece_bytes <= self._fast_path_limit
            and stop < self._stop
            and stop <= self._cached_stop
            and (now := monotonic()) - self._cached_at <= _CACHED_SECONDS
        ):
            self._sent_at = now
            if start >= self._next_check:
                self._check_unchanged()
            try:
                count = sink.sendfile(self._fd, start, _CALL)
            except OSError as error:
                return self._use_pieces(error)
            self._start = start + count
            self.sent_bytes += count
            account.peer_window -= count
            if not whole:
                # The most that the kernel can hold. To ask it here would cost a system call for each call; a reclaim
                # costs one for each loan, and only when memory is short.
                budget.record(sink, window)
            if not count:
                raise ShortRead("the file ended before its length")
            return False
        return self._full_step(held, window)

    def _full_step(self, held: int, window: int) -> bool:
        """Take a step of any kind."""
        if isinstance(self._literal, memoryview):
            return self._send_piece(self._literal, held)
        limit = self._sendable_bytes(held, window, self._stop - self._start)
        sent = 0
        try:
            for _ in range(_PARTS_PER_STEP * _ACTIONS_PER_PART):
                if sent >= limit:
                    break
                if self._literal:
                    sent += self._send_literal()
                elif self._start < self._stop:
                    sent += self._send_span(limit - sent)
                    if self._start < self._stop:
                        return False  # the kernel is full, a thread fetches the next bytes, or the step is complete
                elif not self._next_segments():
                    return True
            return False
        except BlockingIOError:
            if not sent:
                raise
            return False
        finally:
            self._record(sent, held)

    def register(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> asyncio.Future[None]:
        done = super().register(loop, poller)
        if self._fetching_since is not None:
            self.pause()
        elif self._paused_by_us:
            self._pause_for(MEMORY_RETRY_SECONDS)
        return done

    def _next_segments(self) -> bool:
        """Take the next literal, the span after it, or both. Return whether there was any."""
        segment = next(self._segments, None)
        if isinstance(segment, bytes):
            self._literal = segment
            segment = next(self._segments, None)
        if isinstance(segment, Span):
            assert segment.stop is not None  # a file's size is known, and the sink resolved the span by it
            self._start, self._stop = segment.start, segment.stop
            self._cached_stop = self._next_check = segment.start
        return bool(self._literal) or self._start < self._stop

    def _send_literal(self) -> int:
        # With MSG_MORE it shares a packet with the span after it. Without a span the kernel would only delay it.
        count = self.sink.send(self._literal, self._start < self._stop and not self._reader.in_pieces)
        self._literal = self._literal[count:]
        return count

    def _send_span(self, limit: int) -> int:
        """Send at most ``limit`` bytes of the span. Return how many were sent: 0 while a thread reads them."""
        if self._reader.in_pieces:
            self._read_piece(limit)
            return 0
        ready = self._cached_bytes(limit)
        if not ready:
            return 0
        # A file that is rewritten during the transfer must not end complete: check before the last bytes and after.
        if self._start >= self._next_check or self._start + ready == self._stop:
            self._check_unchanged()
        try:
            count = self.sink.sendfile(self._fd, self._start, ready)
        except OSError as error:
            self._use_pieces(error)
            return 0
        if count == 0:
            raise ShortRead("the file ended before its length")
        self._start += count
        self.sent_bytes += count
        if self._start == self._stop:
            self._reader.check()
        return count

    def _check_unchanged(self) -> None:
        self._reader.check()
        self._next_check = self._start + _CHECK_BYTES

    def _use_pieces(self, error: OSError) -> bool:
        """Read this file in pieces from now on, if the call of the sink is refused for it. Raise any other error."""
        call = "sendfile(2)" if self.sink.zero_copy else "preadv2(2)"
        unsupported.note(call, error, "such files are read and sent, which costs more CPU time")
        self._reader.in_pieces = True
        self._cached_stop = self._start  # the fast path is over
        return False

    def _read_piece(self, limit: int) -> None:
        """Have a thread read the span's next bytes, at most ``limit``."""
        start, stop = self._start, min(self._stop, self._start + limit)
        check = None
        if start >= self._next_check or stop == self._stop:
            check, self._next_check = self._reader.check, stop + _CHECK_BYTES
        self._prefetcher.read(self._reader, start, stop, self._client, self._piece_read, check)
        self.sink.account.piece_bytes += stop - start
        self._cached_stop = stop
        self._fetching_since = monotonic()
        self.pause()

    def _piece_read(self, outcome: bytes | Exception) -> None:
        if self._fetching_since is None:
            return  # the transfer has ended, and given the memory of its piece back
        if isinstance(outcome, Exception):
            self.finish(outcome)
        elif not outcome:
            self.finish(ShortRead("the file ended before its length"))
        else:
            self._end_fetch()
            self.sink.account.piece_bytes -= self._cached_stop - self._start - len(outcome)
            self._start = self._cached_stop = self._start + len(outcome)
            self._literal = memoryview(outcome)
            self.resume()

    def _send_piece(self, piece: memoryview, held: int) -> bool:
        """Send what is left of the piece. Return True if that was the last one."""
        sent = 0
        try:
            while sent < len(piece):
                sent += self.sink.send_piece(piece[sent:])
        except BlockingIOError:
            if not sent:
                raise
        finally:
            self._literal = piece[sent:] or b""
            self.sink.account.piece_bytes -= sent
            self.sent_bytes += sent
            self._record(sent, held)
        return not self._literal and self._start == self._stop and not self._next_segments()

    def unregister(self) -> None:
        """Stop waiting for the socket, and give the memory of a piece back."""
        super().unregister()
        if isinstance(self._literal, memoryview):
            self.sink.account.piece_bytes -= len(self._literal)
            self._literal = b""
        if self._fetching_since is not None:
            self.sink.account.piece_bytes -= self._cached_stop - self._start
            self._end_fetch()

    def _end_fetch(self) -> None:
        if self._fetching_since is not None:
            self.disk_seconds += monotonic() - self._fetching_since
        self._fetching_since = None

    def _cached_bytes(self, limit: int) -> int:
        """Return how many of the span's next ``limit`` bytes can be sent: all, or 0 after starting to fetch them."""
        start = self._start
        stop = min(self._stop, start + limit)
        now = monotonic()
        trusted = now - self._cached_at <= _CACHED_SECONDS
        if stop <= self._cached_stop and trusted:
            return stop - start
        known = max(start, self._cached_stop) if trusted else start
        # Probe further than this call needs, so that small windows do not probe at each step.
        for ahead in (min(self._stop, max(stop, start + _PROBE_BYTES)), stop):
            if is_cached(self._fd, known, ahead):
                self._cached_stop, self._cached_at = ahead, now
                return stop - start
        self._fetch()
        return 0

    def _fetch(self) -> None:
        # If the transfer ends first, the thread reads on and its result is dropped.
        self._fetching_since = monotonic()
        self._cached_stop = self._start  # no piece is being read
        stop = min(self._stop, self._start + _FETCH_BYTES)
        self._prefetcher.fetch(
            self._fd, self._start, stop, self._reader.device, self._client, lambda error: self._fetched(stop, error)
        )
        self.pause()

    @property
    def zero_copy_bytes(self) -> int:
        """How many bytes of the file have been sent without entering the process."""
        return self.sent_bytes if self.sink.zero_copy and not self._reader.in_pieces else 0

    @property
    def is_fetching(self) -> bool:
        """Whether it waits for the disk."""
        return self._fetching_since is not None

    def blocked_by_us(self) -> bool:
        return self._fetching_since is not None or super().blocked_by_us()

    def _fetched(self, stop: int, error: Exception | None) -> None:
        self._end_fetch()
        if error is not None:
            self.finish(error)
            return
        # Trusted without a probe: under memory pressure the bytes may be evicted again, and probing would never end.
        self._cached_stop, self._cached_at = stop, monotonic()
        self.resume()
