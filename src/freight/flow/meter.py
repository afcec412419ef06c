"""The counters that only grow: what downloads came to, what they moved, what they waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from freight.errors import Drained, PeerGone, TransferError
from freight.model import Refusal, WaitReason

OTHER = "error"
"""The reason of what ended by no TransferError: a failing disk, a fault of ours."""

REASONS = (*sorted(each.reason for each in TransferError.__subclasses__()), OTHER)
"""Every reason that is counted apart. Bounded, as each is a time series for as long as somebody keeps them."""


REFUSED_FOR = (*(each.value for each in WaitReason), Refusal.DRAINING.value)
"""Every reason for which a request is refused a slot."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a :class:`Meter` has counted. ``aborted`` has each of REASONS, ``refused`` each of REFUSED_FOR; ``expired``:
    those refused that had waited as long as a request may; ``sent_bytes`` are of bodies; ``log_lost``: lines.
    """

    completed: int
    aborted: Mapping[str, int]
    refused: Mapping[str, int]
    expired: int
    sent_bytes: int
    zero_copy_bytes: int
    blocked_on_client_seconds: float
    blocked_on_disk_seconds: float
    waiting_seconds: float
    log_lost: int = 0

    @property
    def refused_total(self) -> int:
        """How many requests got no slot."""
        return sum(self.refused.values())


class Meter:
    """Counts for one event loop. Nothing here locks: each method is called on the loop's thread."""

    __slots__ = (
        "_aborted",
        "_blocked_on_client_seconds",
        "_blocked_on_disk_seconds",
        "_completed",
        "_expired",
        "_refused",
        "_sent_bytes",
        "_waiting_seconds",
        "_zero_copy_bytes",
    )

    def __init__(self) -> None:
        self._completed = 0
        self._aborted = dict.fromkeys(REASONS, 0)  # a series that begins at 0 shows its first event as a rise
        self._refused = dict.fromkeys(REFUSED_FOR, 0)
        self._expired = 0
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

    def refused(self, why: Refusal, reason: WaitReason | None) -> None:
        """A request got no slot; ``reason`` is None while the server drains."""
        self._refused[Refusal.DRAINING.value if reason is None else reason.value] += 1
        self._expired += why is Refusal.LATE

    def statistics(
        self,
        sent: int = 0,
        zero_copy: int = 0,
        client_seconds: float = 0.0,
        disk_seconds: float = 0.0,
        waiting_seconds: float = 0.0,
        log_lost: int = 0,
    ) -> Counts:
        """All counts. The arguments are what the downloads that still run, and the requests that still wait, have come
        to, all together, and what the log has counted.

        Without them a total would stand still for as long as a download lasts, and then jump.
        """
        return Counts(
            completed=self._completed,
            aborted=self._aborted.copy(),
            refused=self._refused.copy(),
            expired=self._expired,
            sent_bytes=self._sent_bytes + sent,
            zero_copy_bytes=self._zero_copy_bytes + zero_copy,
            blocked_on_client_seconds=self._blocked_on_client_seconds + client_seconds,
            blocked_on_disk_seconds=self._blocked_on_disk_seconds + disk_seconds,
            waiting_seconds=self._waiting_seconds + waiting_seconds,
            log_lost=log_lost,
        )


def reason_of(error: BaseException) -> str:
    """The word for what ended a transfer; what is none of ours is OTHER.

    A task that is cancelled is ended by the server, unless it was cancelled with PeerGone's reason: its client went.
    """
    if isinstance(error, TransferError):
        return error.reason
    if isinstance(error, asyncio.CancelledError):
        return PeerGone.reason if PeerGone.reason in error.args else Drained.reason
    return OTHER
