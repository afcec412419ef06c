"""The counters that only grow: what downloads came to, what they moved, what they waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from freight.errors import Drained, TransferError

OTHER = "error"
"""The reason of what ended by no TransferError: a failing disk, a fault of ours."""

REASONS = (*sorted(each.reason for each in TransferError.__subclasses__()), OTHER)
"""Every reason that is counted apart. Bounded, as each is a time series for as long as somebody keeps them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a :class:`Meter` has counted. ``aborted`` has each of REASONS; ``sent_bytes`` are of bodies."""

    completed: int
    aborted: Mapping[str, int]
    refused: int
    sent_bytes: int
    zero_copy_bytes: int
    blocked_on_client_seconds: float
    blocked_on_disk_seconds: float
    waiting_seconds: float


class Meter:
    """Counts for one event loop. Nothing here locks: each method is called on the loop's thread."""

    __slots__ = (
        "_aborted",
        "_blocked_on_client_seconds",
        "_blocked_on_disk_seconds",
        "_completed",
        "_refused",
        "_sent_bytes",
        "_waiting_seconds",
        "_zero_copy_bytes",
    )

    def __init__(self) -> None:
        self._completed = 0
        self._aborted = dict.fromkeys(REASONS, 0)  # a series that begins at 0 shows its first event as a rise
        self._refused = 0
        self._sent_bytes = 0
        self._zero_copy_bytes = 0
        self._blocked_on_client_seconds = 0.0
        self._blocked_on_disk_seconds = 0.0
        self._waiting_seconds = 0.0

    def ended(self, reason: str | None, sent: int, zero_copy: int, client_seconds: float, disk_seconds: float) -> None:
        """A download has ended: completely (None), or for a reason; one that is none of REASONS counts as OTHER.

        ``sent``: bytes of its body, ``zero_copy`` those of them that went by sendfile; the rest: how long it was
        blocked on its client, and on the disk.
        """
        if reason is None:
            self._completed += 1
        else:
            self._aborted[reason if reason in self._aborted else OTHER] += 1
        self._sent_bytes += sent
        self._zero_copy_bytes += zero_copy
        self._blocked_on_client_seconds += client_seconds
        self._blocked_on_disk_seconds += disk_seconds

    def waited(self, seconds: float) -> None:
        """A request has waited for its slot so long, whether it got one or not."""
        self._waiting_seconds += seconds

    def refused(self) -> None:
        """A request got no slot."""
        self._refused += 1

    def statistics(
        self, sent: int = 0, zero_copy: int = 0, client_seconds: float = 0.0, disk_seconds: float = 0.0
    ) -> Counts:
        """All counts. The arguments are what the downloads that still run have come to, all together.

        Without them a total would stand still for as long as a download lasts, and then jump.
        """
        return Counts(
            completed=self._completed,
            aborted=self._aborted.copy(),
            refused=self._refused,
            sent_bytes=self._sent_bytes + sent,
            zero_copy_bytes=self._zero_copy_bytes + zero_copy,
            blocked_on_client_seconds=self._blocked_on_client_seconds + client_seconds,
            blocked_on_disk_seconds=self._blocked_on_disk_seconds + disk_seconds,
            waiting_seconds=self._waiting_seconds,
        )


def reason_of(error: BaseException) -> str:
    """The word for what ended a transfer: to be cancelled is the server's own end, and what is none of ours OTHER."""
    if isinstance(error, TransferError):
        return error.reason
    return Drained.reason if isinstance(error, asyncio.CancelledError) else OTHER
