"""What two looks say that one does not: how fast a server and each download is now, and which have stalled.

A server tells an average of up to its idle timeout, in which a client that has stopped is still as fast as it was. What
was sent between two looks, and is not in the kernel any more, says more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from freight.top.look import Download, Look

STALLED_SECONDS = 3.0
"""A download has stalled whose client has taken nothing for this time."""

_SMOOTH_SECONDS = 3.0  # how fast a rate follows what it is now


@dataclass(frozen=True, slots=True)
class Progress:
    """A download, its ``rate`` lately (bytes a second) and for how long it has ``still_seconds`` taken nothing."""

    download: Download
    rate: float
    still_seconds: float

    @property
    def stalled(self) -> bool:
        """Whether its client takes nothing: it is not the disk that keeps it."""
        return not self.download.on_disk and self.still_seconds >= STALLED_SECONDS

    @property
    def eta_seconds(self) -> float:
        """In how many seconds it will have been sent at its rate; infinite where nobody can say."""
        of = self.download.of_bytes
        if of is None or not self.rate or self.still_seconds >= STALLED_SECONDS:
            return math.inf
        return max(0, of - self.download.sent_bytes) / self.rate

    @property
    def part(self) -> float:
        """How much of it has been sent, from 0 to 1; -1 where its length is not known."""
        of = self.download.of_bytes
        if of is None:
            return -1.0
        return min(1.0, self.download.sent_bytes / of) if of else 1.0


@dataclass(frozen=True, slots=True)
class View:
    """A look, ``at`` a time that never goes back, and what the looks before make of it.

    ``rate``: bytes a second of all downloads. ``on_clients``, ``on_disk``: how many of them waited for each, on average
    since the look before; None in the first look.
    """

    at: float
    look: Look
    rate: float
    downloads: tuple[Progress, ...]
    on_clients: float | None = None
    on_disk: float | None = None


def follow(before: View | None, look: Look, at: float) -> View:
    """What a look makes of the one before; of a server that has been started since, nothing."""
    if before is None or before.look.started_at != look.started_at or at <= before.at:
        downloads = tuple(_first(each) for each in look.downloads)
        return View(at, look, sum(each.rate for each in downloads), downloads)
    old, seconds = before.look, at - before.at
    return View(
        at,
        look,
        _smooth(before.rate, max(0, look.sent_bytes - old.sent_bytes) / seconds, seconds),
        _follow_all(before, look, seconds),
        max(0.0, look.client_seconds - old.client_seconds) / seconds,
        max(0.0, look.disk_seconds - old.disk_seconds) / seconds,
    )


def _first(download: Download) -> Progress:
    """One that was not seen before: what the server says of it must do."""
    still = 0.0 if download.rate_bytes_per_second else download.seconds
    return Progress(download, download.rate_bytes_per_second, still)


def _follow_all(before: View, look: Look, seconds: float) -> tuple[Progress, ...]:
    """Each download with the one it was."""
    known = {_name(each.download): each for each in before.downloads}
    return tuple(
        _first(each) if (was := known.get(_name(each))) is None else _follow(was, each, seconds)
        for each in look.downloads
    )


def _follow(before: Progress, download: Download, seconds: float) -> Progress:
    old = before.download
    sent, queued = download.sent_bytes - old.sent_bytes, download.queue_bytes - old.queue_bytes
    rate = _smooth(before.rate, max(0, sent - queued) / seconds, seconds)
    # A slow client is handed nothing for long: then what it takes is seen in the kernel's queue only.
    return Progress(download, rate, 0.0 if sent or queued else before.still_seconds + seconds)


def _name(download: Download) -> tuple[int, int, str, str]:
    return download.worker, download.number, download.client, download.target


def _smooth(before: float, now: float, seconds: float) -> float:
    return now + (before - now) * math.exp(-seconds / _SMOOTH_SECONDS)
