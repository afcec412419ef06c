"""One connection's account with the budget: what the kernel is known to hold for it."""

from __future__ import annotations


class Account:
    """Bytes of the kernel's memory, never fewer than there really are. The budget's; ``calls`` are the pump's too."""

    __slots__ = ("base", "calls", "calls_seen", "need", "over", "pinned", "proven", "standing", "still_since")

    def __init__(self) -> None:
        self.pinned = 0  # what the kernel holds for it
        self.base = 0  # what it may always have: a window while it runs, nothing otherwise
        self.over = 0  # what is pinned beyond that
        self.calls = 0  # so many more it may make within what is pinned, and need not ask
        self.calls_seen = 0  # how many those were when its loan was looked at last
        self.proven = False  # it has drained as much as tells it from who stands still from the start
        self.need = 0  # as far as is known more would not make it faster; 0: not measured yet
        self.still_since = 0.0  # when it was first seen not to have moved; 0.0: it has
        self.standing = False  # its loan was as it was when that was looked at last
