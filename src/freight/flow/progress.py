"""Judge whether a client reads fast enough. Pure: the caller passes the time and what the client has acknowledged."""

from __future__ import annotations

from freight.errors import Stalled, TooSlow, TransferError


class ProgressMonitor:
    """Judges one transfer by the bytes that its client has acknowledged, not by those that the kernel queues for it.

    ``acknowledged_bytes`` is their number at the last check, or None before the first one.
    """

    __slots__ = ("_average_from", "_average_since", "_changed_at", "acknowledged_bytes")

    def __init__(self) -> None:
        self.acknowledged_bytes: int | None = None
        self._changed_at = 0.0
        # The average rate begins at this number of acknowledged bytes, and at this time.
        self._average_from = 0
        self._average_since = 0.0

    def restart_progress(self, now: float, acknowledged: int) -> None:
        """Begin again: time until ``now`` does not count, because the transfer did not wait for its client."""
        self.acknowledged_bytes = self._average_from = acknowledged
        self._changed_at = self._average_since = now

    def judge_progress(
        self, now: float, acknowledged: int, idle_seconds: float, min_rate: float, pause_seconds: float = 0.0
    ) -> TransferError | None:
        """Return why the transfer must end, or None.

        Stalled: nothing was acknowledged for ``idle_seconds``, or for ``pause_seconds`` if that is longer. TooSlow:
        over ``idle_seconds``, the average was less than ``min_rate`` bytes a second. A pause that is allowed does not
        count for the average.
        """
        if self.acknowledged_bytes is None:
            self.restart_progress(now, acknowledged)
            return None
        silent_seconds, pauses = now - self._changed_at, False
        if acknowledged != self.acknowledged_bytes:
            self.acknowledged_bytes, self._changed_at = acknowledged, now
            if idle_seconds <= silent_seconds <= pause_seconds:
                self.restart_progress(now, acknowledged)
        elif silent_seconds >= max(idle_seconds, pause_seconds):
            return Stalled("the client acknowledged nothing for the idle timeout")
        else:
            pauses = pause_seconds > idle_seconds
        seconds = now - self._average_since
        if seconds >= idle_seconds:
            if acknowledged - self._average_from < min_rate * seconds and not pauses:
                return TooSlow("the client was slower than the minimum rate")
            self._average_from, self._average_since = acknowledged, now
        return None

    def acknowledged_rate(self, now: float, acknowledged: int) -> float:
        """Return the bytes a second since the current average began; 0.0 before the first check."""
        if self.acknowledged_bytes is None or now <= self._average_since:
            return 0.0
        return max(0, acknowledged - self._average_from) / (now - self._average_since)
