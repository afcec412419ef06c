"""One connection's account with the budget: what the kernel is known to hold for it."""

from __future__ import annotations


class Account:
    """Bytes of the kernel's memory, never fewer than there really are. The budget's; the pump lowers ``room``."""

    __slots__ = ("base", "over", "room")

    def __init__(self) -> None:
        self.base = 0  # what it may always have: a window for each transfer that runs
        self.over = 0  # what is held beyond that
        self.room = 0  # what a near client has room for, as last told, beyond all that was handed over since
