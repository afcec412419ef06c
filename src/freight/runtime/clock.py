"""The machine's clock."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock (:class:`freight.protocols.Clock`)."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
