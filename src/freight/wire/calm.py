"""How much may be asked of us for nothing: one account for all that costs the client less than it costs us.

Resets, pings, settings, priorities, empty frames and small window updates are all fair in their place, and each is an
attack in number (CVE-2019-9511 to 9518, CVE-2023-44487). What pays for them is what a server is for: bytes that the
client takes, requests that it lets us finish, and time.
"""

from __future__ import annotations

from freight.errors import Violation
from freight.wire.frames import Code

CREDIT = 1000.0
"""What there is to begin with, and at most: as many frames at once. A hundred streams may all be reset."""

RESET = 10.0
"""The cost of a stream that was begun for nothing, in frames: some tasks, a look at a file, a head of an answer."""

_PER_SECOND = 50.0
_PER_BYTE = 1 / 1024
_PER_REQUEST = 10.0  # clients say a priority, or open a window, with each


class Calm:
    """The account of one connection. ``now`` is in seconds of any clock that never goes back."""

    __slots__ = ("_at", "_credit")

    def __init__(self) -> None:
        self._credit = CREDIT
        self._at = -1.0  # not yet

    def spend(self, cost: float, now: float) -> None:
        """Raises Violation (ENHANCE_YOUR_CALM) when it is more than there is."""
        if self._at >= 0:
            self._earn((now - self._at) * _PER_SECOND)
        self._at = now
        self._credit -= cost
        if self._credit < 0:
            raise Violation(Code.ENHANCE_YOUR_CALM, "too many frames that do nothing")

    def sent(self, count: int) -> None:
        """The client's socket has taken so many bytes of content."""
        self._earn(count * _PER_BYTE)

    def finished(self) -> None:
        """A request has been answered to its end."""
        self._earn(_PER_REQUEST)

    def _earn(self, credit: float) -> None:
        self._credit = min(CREDIT, self._credit + credit)
