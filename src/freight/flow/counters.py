"""Counters that only grow: how transfers ended, what they sent, and what they waited for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from freight.errors import ShutdownTimeout, TransferError
from freight.model import Counts, RejectReason, WaitReason

OTHER_ERROR = "error"
"""The reason of a transfer that ended without a TransferError: a failing disk, or a bug."""

ABORT_REASONS = (*sorted(each.reason for each in TransferError.__subclasses__()), OTHER_ERROR)
"""Every reason that is counted separately. The number is fixed, as each is a time series in metrics."""

REJECT_REASONS = (*(each.value for each in WaitReason), RejectReason.DRAINING.value)
"""Every key of ``Counts.rejected_by_reason``: why no slot was free, or that the server drains."""


@dataclass(slots=True)
class Sums:
    """What transfers and queued requests add up to.

    - ``sent_bytes``: of the bodies; ``zero_copy_bytes``: those of them that sendfile sent.
    - ``client_seconds``, ``disk_seconds``: how long transfers were blocked on their clients, and on the disk.
    - ``waiting_seconds``: how long requests have waited for a slot.
    """

    sent_bytes: int = 0
    zero_copy_bytes: int = 0
    client_seconds: float = 0.0
    disk_seconds: float = 0.0
    waiting_seconds: float = 0.0


class Counters:
    """Counts for one event loop. Not thread-safe: every method must be called on the loop's thread."""

    __slots__ = ("_aborted", "_completed", "_expired", "_rejected", "_sums")

    def __init__(self) -> None:
        self._completed = 0
        self._aborted = dict.fromkeys(ABORT_REASONS, 0)  # a time series that starts at 0 shows its first event
        self._rejected = dict.fromkeys(REJECT_REASONS, 0)
        self._expired = 0
        self._sums = Sums()

    def transfer_ended(self, reason: str | None) -> None:
        """Count a transfer that has completed (None) or was aborted. An unknown reason counts as OTHER_ERROR."""
        if reason is None:
            self._completed += 1
        else:
            self._aborted[reason if reason in self._aborted else OTHER_ERROR] += 1

    def transfer_sent(self, sent: int, zero_copy: int, client_seconds: float, disk_seconds: float) -> None:
        """Add what a transfer has sent, as in :class:`Sums`. Whether it has completed may be known only later."""
        sums = self._sums
        sums.sent_bytes += sent
        sums.zero_copy_bytes += zero_copy
        sums.client_seconds += client_seconds
        sums.disk_seconds += disk_seconds

    def request_waited(self, seconds: float) -> None:
        """Add the time that a request has waited for a slot, whether it got one or not."""
        self._sums.waiting_seconds += seconds

    def request_rejected(self, reason: RejectReason, missing: WaitReason | None) -> None:
        """Count a request that got no slot. ``missing`` is None while the server drains."""
        self._rejected[RejectReason.DRAINING.value if missing is None else missing.value] += 1
        self._expired += reason is RejectReason.LATE

    def statistics(self, running: Sums | None = None, log_lost: int = 0, disk_timeouts: int = 0) -> Counts:
        """Return all counts, increased by the sums of the running transfers and queued requests.

        Without them a total would not change while a download runs, and jump at its end.
        """
        ended, running = self._sums, running or Sums()
        return Counts(
            completed=self._completed,
            aborted=self._aborted.copy(),
            rejected=sum(self._rejected.values()),
            expired=self._expired,
            rejected_by_reason=self._rejected.copy(),
            sent_bytes=ended.sent_bytes + running.sent_bytes,
            zero_copy_bytes=ended.zero_copy_bytes + running.zero_copy_bytes,
            blocked_on_client_seconds=ended.client_seconds + running.client_seconds,
            blocked_on_disk_seconds=ended.disk_seconds + running.disk_seconds,
            waiting_seconds=ended.waiting_seconds + running.waiting_seconds,
            disk_timeouts=disk_timeouts,
            log_lost=log_lost,
        )


def reason_of(error: BaseException) -> str:
    """Return the word for what ended a transfer; OTHER_ERROR if it was no TransferError.

    Only the server cancels a task. The error's argument is the reason; without one, the server stops.
    """
    if isinstance(error, TransferError):
        return error.reason
    if isinstance(error, asyncio.CancelledError):
        return next((each for each in error.args if each in ABORT_REASONS), ShutdownTimeout.reason)
    return OTHER_ERROR
