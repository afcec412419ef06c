"""The limits that the operator sets for the queue and for downloads. All may change while the server runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """At most ``size`` requests wait, each for at most ``timeout_seconds``.

    One client runs at most ``max_per_client`` downloads at once. None: no limit.
    """

    size: int = 1000
    timeout_seconds: float = 30.0
    max_per_client: int | None = None


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Limits of running downloads.

    A download ends when its client acknowledges nothing for ``idle_seconds``, or less than ``min_rate`` bytes a second
    on average over that time. While nobody needs its slot, the client may pause for ``pause_seconds`` (None: not at
    all). A connection may wait for its next request for ``keep_alive_seconds``. ``rate`` limits all downloads together,
    ``client_rate`` those of one client, in bytes a second. None: no limit.
    """

    idle_seconds: float = 60.0
    pause_seconds: float | None = None
    keep_alive_seconds: float = 75.0
    min_rate: float = 0.0
    rate: float | None = None
    client_rate: float | None = None
