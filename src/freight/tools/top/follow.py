"""Compare two snapshots of a server: how fast it and each download is now, and which downloads have stalled.

A server reports an average over up to its idle timeout, so a client that has just stopped still looks fast. The bytes
that were sent between two snapshots, and have left the kernel, show it within seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from freight.tools.top.status import Download, StatusSnapshot

STALLED_SECONDS = 3.0
"""A download has stalled if its client has read nothing for this time."""

_SMOOTHING_SECONDS = 3.0  # the time constant of a rate's moving average


@dataclass(frozen=True, slots=True)
class Progress:
    """A download. ``rate``: smoothed bytes per second; ``stalled_seconds``: how long its client has read nothing."""

    download: Download
    rate: float
    stalled_seconds: float

    @property
    def stalled(self) -> bool:
        """Whether its client reads nothing, and the disk is not the reason."""
        return not self.download.on_disk and self.stalled_seconds >= STALLED_SECONDS

    @property
    def eta_seconds(self) -> float:
        """The time until all bytes are sent at this rate; infinite if it is unknown."""
        of = self.download.of_bytes
        if of is None or not self.rate or self.stalled_seconds >= STALLED_SECONDS:
            return math.inf
        return max(0, of - self.download.sent_bytes) / self.rate

    @property
    def fraction(self) -> float | None:
        """The part of it that was sent, from 0 to 1; None if its length is unknown."""
        of = self.download.of_bytes
        if of is None:
            return None
        return min(1.0, self.download.sent_bytes / of) if of else 1.0


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot, and what the snapshots before it add. ``at`` is a time in seconds of a monotonic clock.

    ``rate``: bytes per second of all downloads. ``blocked_on_clients`` and ``blocked_on_disk``: how many downloads
    waited for each, on average since the last snapshot; None in the first view.
    """

    at: float
    status: StatusSnapshot
    rate: float
    downloads: tuple[Progress, ...]
    blocked_on_clients: float | None = None
    blocked_on_disk: float | None = None


def follow(before: View | None, status: StatusSnapshot, at: float) -> View:
    """Combine a snapshot with the view before it. A view of a server that has restarted since is ignored."""
    if before is None or before.status.started_at != status.started_at or at <= before.at:
        downloads = tuple(_first(each) for each in status.downloads)
        return View(at, status, sum(each.rate for each in downloads), downloads)
    old, seconds = before.status, at - before.at
    return View(
        at,
        status,
        _smooth(before.rate, max(0, status.sent_bytes - old.sent_bytes) / seconds, seconds),
        _follow_all(before, status, seconds),
        max(0.0, status.client_seconds - old.client_seconds) / seconds,
        max(0.0, status.disk_seconds - old.disk_seconds) / seconds,
    )


def _first(download: Download) -> Progress:
    """Return the progress of a new download, as the server reports it."""
    stalled = 0.0 if download.rate_bytes_per_second else download.seconds
    return Progress(download, download.rate_bytes_per_second, stalled)


def _follow_all(before: View, status: StatusSnapshot, seconds: float) -> tuple[Progress, ...]:
    known = {_identity(each.download): each for each in before.downloads}
    return tuple(
        _first(each) if (was := known.get(_identity(each))) is None else _follow(was, each, seconds)
        for each in status.downloads
    )


def _follow(before: Progress, download: Download, seconds: float) -> Progress:
    old = before.download
    sent, queued = download.sent_bytes - old.sent_bytes, download.queue_bytes - old.queue_bytes
    rate = _smooth(before.rate, max(0, sent - queued) / seconds, seconds)
    # The server may hand a slow client nothing for long. Then only the kernel's queue shows what the client reads.
    return Progress(download, rate, 0.0 if sent or queued else before.stalled_seconds + seconds)


def _identity(download: Download) -> tuple[int, int]:
    return download.worker, download.id


def _smooth(before: float, now: float, seconds: float) -> float:
    return now + (before - now) * math.exp(-seconds / _SMOOTHING_SECONDS)
