"""Who may run: every transfer with a body passes here and holds a slot until it has ended, however it ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from freight.flow.budget import Budget


class Slot:
    """One transfer's leave to run, an async context manager: entering may wait, leaving gives it back."""

    __slots__ = ("budget",)

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    async def __aenter__(self) -> Self:
        self.budget.take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.budget.give_back()


class Gate:
    """Hands out slots. All who ask are admitted: the budget answers a larger crowd with smaller windows."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def slot(self) -> Slot:
        """A slot for one transfer, to be entered."""
        return Slot(self._budget)
