"""The send window of a file's transfer: how many bytes may be sent now, and when to continue if that is none.

**Invariant.** The send queue and the pieces of a connection never exceed the window that the budget grants.

**Rules.**

1. The send buffer (SO_SNDBUF, socket(7)) follows the window: epoll(7) reports the socket when a third of it is free.
2. Where the window is as large as SO_SNDBUF may be, the kernel chooses the send buffer, and the queue is polled eight
   times a round trip (decision 024).

**Left out.** Whether the bytes are there: that is :mod:`freight.flow.file_sender`'s.
"""

from __future__ import annotations

from time import monotonic

from freight.fair_queue import Key
from freight.flow.rate_limit import RateLimiter
from freight.flow.socket_writer import SocketWriter
from freight.memory.budget import LONG_PATH_SECONDS, Budget
from freight.memory.costs import FAST_WINDOW, WINDOW_MIN
from freight.protocols import Sink

_SEGMENT_CALL = 62 * 1024
CALL_SIZES = (3 * _SEGMENT_CALL + 2048, 2 * _SEGMENT_CALL, _SEGMENT_CALL)
"""Sizes of a call in bytes; a step uses the largest that fits. They are just below three, two and one of the loopback's
segments (65,483 bytes), because a small rest of a segment costs as much as a whole one. They are up to twice as fast
as sizes in between (docs/decisions/007)."""

_CALL = CALL_SIZES[0]

_BUFFER_MARGIN = 8 * 1024  # a send buffer is this much smaller than the window it is chosen for, in bytes
_KERNEL_SIZED_WINDOW = 2 * 208 * 1024  # twice Linux's default net.core.wmem_max: only root may set more, socket(7)

FAST_SEND_BUFFER = FAST_WINDOW - _BUFFER_MARGIN
"""The send buffer of a near client with the largest window, in bytes."""

SEND_BUFFER_MIN = WINDOW_MIN - _BUFFER_MARGIN
"""The send buffer of a connection without a slot, or with the smallest window, in bytes."""

_SEND_BUFFERS = (FAST_SEND_BUFFER, 128 * 1024 - _BUFFER_MARGIN, 64 * 1024 - _BUFFER_MARGIN)
_LEAST_SEND_BUFFER = 4 * 1024

SPLIT_BYTES = 1024  # the kernel's bookkeeping may grow by this when it splits a packet for a small receive window
_CALL_OVERHEAD_BYTES = 5 * 512  # the kernel's bookkeeping for a call, and a margin
OVERHEAD_DIVISOR = 40
"""The kernel's bookkeeping may take another 1/40 of a window."""

_MIN_CALL_DIVISOR = 4  # less than a quarter of the window is not worth a call, unless it completes a span
_POLLS_PER_ROUND_TRIP = 8  # a window of two round trips' bytes is then refilled in good time
_MAX_POLL_SECONDS = 0.5
MEMORY_RETRY_SECONDS = 0.01  # other downloads' loans come back within this time
_NEVER = -1  # no queue is that short


def send_buffer_for(window: int) -> int:
    """Return the largest send buffer, in bytes, that fits a window. Larger ones than FAST_SEND_BUFFER are slower."""
    return next((size for size in _SEND_BUFFERS if size + _BUFFER_MARGIN <= window), SEND_BUFFER_MIN)


class SendWindow(SocketWriter):
    """A writer that sends within the window of its slot and its loans. It is one and does not have one, to save memory.

    ``client`` is the key for rates. ``window`` is the window that the send buffer was chosen for, in bytes, or None.
    """

    __slots__ = (
        "_budget",
        "_client",
        "_fast_path_limit",
        "_kernel_sized",
        "_paused_by_us",
        "_rates",
        "_sent_at",
        "window",
    )

    def __init__(self, sink: Sink, client: Key, budget: Budget, rates: RateLimiter) -> None:
        super().__init__(sink)
        self._client = client
        self._budget = budget
        self._rates = rates
        self._paused_by_us = False
        self._sent_at = monotonic()
        # The longest queue with which the largest call fits and nothing else needs to be decided.
        self._fast_path_limit = _NEVER
        self._kernel_sized = False  # whether the kernel chooses the send buffer
        self.window: int | None = None

    def blocked_by_us(self) -> bool:
        return self._paused_by_us

    def _record(self, sent: int, held: int) -> None:
        """Record a step that sent ``sent`` bytes; ``held`` is the send queue before it."""
        if not sent:
            self._budget.record(self.sink, held)
            return
        self._sent_at = monotonic()
        self.sink.account.peer_window -= sent
        # The queue is read again: with a tiny receive buffer the bookkeeping is as large as the bytes.
        self._budget.record(self.sink, self.sink.queued_bytes() + SPLIT_BYTES)
        if self._rates.is_limited:
            self._rates.record(self._client, sent, self._sent_at)

    def _sendable_bytes(self, held: int, window: int, wanted: int) -> int:
        """Return how many bytes may be sent now, or read for it. Where it is 0, arrange the next wake-up.

        ``held`` is the send queue, and ``wanted`` what is left to send: if it fits, any rest of the window is enough.
        """
        self._paused_by_us = False
        self._fast_path_limit = _NEVER
        usable = window - window // OVERHEAD_DIVISOR - _CALL_OVERHEAD_BYTES
        free = usable - held - self.sink.account.piece_bytes
        if free < window // _MIN_CALL_DIVISOR and (free <= 0 or wanted > free):
            self._wait_for_memory(held)
            return 0
        limit = next((size for size in CALL_SIZES if size <= free), free)
        if window != self.window or window > FAST_WINDOW:
            self.window = window
            self._set_send_buffer(None if window >= _KERNEL_SIZED_WINDOW else send_buffer_for(window))
        if self._rates.is_limited:
            allowed, seconds = self._rates.allowance(self._client, monotonic())
            if not allowed:
                self._pause_for(seconds)
            limit = min(limit, allowed)
        elif window <= FAST_WINDOW:
            self._fast_path_limit = usable - _CALL
        return limit

    def _wait_for_memory(self, held: int) -> None:
        """Continue when half of the queue has drained, or all of it if it exceeds the window of the slot.

        An almost empty queue means that the budget is short: retry a little later.
        """
        if self._kernel_sized and held > WINDOW_MIN:
            self._retry_later()
            return
        self.window = None  # the send buffer is not chosen for a window now
        if held > WINDOW_MIN:
            self._set_send_buffer(_LEAST_SEND_BUFFER)
        elif held > 2 * _LEAST_SEND_BUFFER:
            self._set_send_buffer(max(_LEAST_SEND_BUFFER, held * 3 // 4))
        else:
            self._pause_for(MEMORY_RETRY_SECONDS)

    def _retry_later(self) -> None:
        """Pause for a part of a round trip: epoll would report the socket at once, as the kernel sizes its send buffer.

        The pause grows with the time since the last send, so that hundreds of stalled clients cost almost nothing.
        The client causes this wait, so :meth:`blocked_by_us` stays False.
        """
        if self._poller is not None:
            idle = min(monotonic() - self._sent_at, _MAX_POLL_SECONDS * _POLLS_PER_ROUND_TRIP)
            seconds = max(self.sink.path_info()[0], LONG_PATH_SECONDS, idle) / _POLLS_PER_ROUND_TRIP
            self._poller.pause_for(self.sink.fileno(), seconds)

    def _set_send_buffer(self, size: int | None) -> None:
        self._kernel_sized = size is None
        self.sink.set_send_buffer(size)  # set each time, as another stream of the connection may have changed it

    def _pause_for(self, seconds: float) -> None:
        self._paused_by_us = True
        if self._poller is not None:
            self._poller.pause_for(self.sink.fileno(), seconds)
