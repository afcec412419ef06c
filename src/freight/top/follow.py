"""What two looks say that one does not: how fast a server and each download is now, and who stands still.

A server tells an average of up to its idle timeout, in which a client that has stopped is still as fast as it was. What
was sent between two looks, and is not in the kernel any more, says more.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass

from freight.top.look import Download, Look

STALLED_SECONDS = 3.0
"""Who has taken nothing for so long stands still."""

_SMOOTH_SECONDS = 3.0  # a rate follows what it is now so fast
_SAME_SECONDS = 0.5  # two looks at one download may be so far apart about when it began

_Kind = tuple[str, str, int | None]


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
    """Each download with the one it was: of the same client and target, begun at the same time, and not further then.

    A status has no name for a download. Of several that are alike in all of that it does not matter which is which.
    """
    known: dict[_Kind, deque[Progress]] = defaultdict(deque)
    for each in sorted(before.downloads, key=lambda each: -each.download.seconds):
        known[_kind(each.download)].append(each)
    followed: dict[int, Progress] = {}
    for number, download in sorted(enumerate(look.downloads), key=lambda pair: -pair[1].seconds):
        alike = known[_kind(download)]
        # The oldest first on both sides: who is older than this one has ended.
        while alike and alike[0].download.seconds + seconds > download.seconds + _SAME_SECONDS:
            alike.popleft()
        is_known = alike and alike[0].download.seconds + seconds > download.seconds - _SAME_SECONDS
        if is_known and alike[0].download.sent_bytes <= download.sent_bytes:
            followed[number] = _follow(alike.popleft(), download, seconds)
        else:
            followed[number] = _first(download)
    return tuple(followed[number] for number in range(len(look.downloads)))


def _follow(before: Progress, download: Download, seconds: float) -> Progress:
    old = before.download
    sent, queued = download.sent_bytes - old.sent_bytes, download.queue_bytes - old.queue_bytes
    rate = _smooth(before.rate, max(0, sent - queued) / seconds, seconds)
    # A slow client is handed nothing for long: then what it takes is seen in the kernel's queue only.
    return Progress(download, rate, 0.0 if sent or queued else before.still_seconds + seconds)


def _kind(download: Download) -> _Kind:
    return download.client, download.target, download.of_bytes


def _smooth(before: float, now: float, seconds: float) -> float:
    return now + (before - now) * math.exp(-seconds / _SMOOTH_SECONDS)
