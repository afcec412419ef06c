"""Who may run: every transfer with a body passes here and holds a slot until it has ended, however it ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from freight.flow.budget import WINDOW_MIN, Budget

FIRST_LOAN = 96 * 1024
"""What a new transfer is lent at most, in bytes: small answers then leave in one call."""

TRUSTED_BYTES = 1024 * 1024
"""How far a transfer must have come before it is lent more, in bytes: further than who stalls from the start."""


class Slot:
    """One transfer's leave to run, an async context manager: entering may wait, leaving gives it back with its loan."""

    __slots__ = ("_budget", "_epoch", "_loan", "_trusted", "_window")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._loan = 0
        self._epoch = -1  # the budget's when the loan was last looked at
        self._trusted = False
        self._window: int | None = WINDOW_MIN

    async def __aenter__(self) -> Self:
        self._budget.take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._budget.give_back(self._loan)
        self._loan = 0

    def window(self, moved: int) -> int | None:
        """What the transfer, which has moved so many bytes, may have in the kernel now, in bytes; None: no bound."""
        trusted = moved >= TRUSTED_BYTES
        if self._epoch != self._budget.epoch or self._trusted != trusted:
            self._loan = self._budget.renew(self._loan, None if trusted else FIRST_LOAN)
            self._epoch, self._trusted = self._budget.epoch, trusted
            self._window = self._budget.window(self._loan)
        return self._window


class Gate:
    """Hands out slots. All who ask are admitted: the budget answers a larger crowd with smaller windows."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def slot(self) -> Slot:
        """A slot for one transfer, to be entered."""
        return Slot(self._budget)
