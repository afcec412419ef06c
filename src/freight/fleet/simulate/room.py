"""PURE. How many downloads run beside how many that wait, asked of the budget that a server itself runs with."""

from __future__ import annotations

from typing import cast

from freight.account import Account
from freight.flow.budget import Budget
from freight.ports import Sink


class _Queue:
    """What a budget needs of a :class:`~freight.ports.Sink`: a client with nothing in the kernel but its window."""

    __slots__ = ("account",)

    def __init__(self) -> None:
        self.account = Account()

    def held(self) -> int:
        """Nothing beyond what is promised."""
        return self.account.pinned


def room_of(memory_bytes: int, queue: int, largest_bytes: int) -> tuple[int, ...]:
    """``room[waiting]``: how many may run while so many wait, for 0 to ``queue`` of them.

    ``largest_bytes``: what a kernel lets one send queue grow to. Those for whom a budget has no memory to wait in stand
    in the kernel's backlog; they wait too. Raises :class:`~freight.errors.Unservable` for too little memory.
    """
    budget = Budget(memory_bytes, largest_bytes)
    waiting = 0
    while waiting < queue and budget.can_open():
        budget.opened()
        budget.queued()
        waiting += 1
    rooms: list[int] = []
    running = 0
    while True:
        while running < budget.slots and budget.can_run():
            budget.opened()
            budget.promise(cast("Sink", _Queue()))
            running += 1
        rooms.append(max(1, running))
        if not waiting:
            break
        waiting -= 1
        budget.queued(-1)
        budget.opened(-1)
        budget.grown(0)  # what waiting has cost is given back
    rooms.reverse()
    return (*rooms, *(rooms[-1] for _ in range(queue + 1 - len(rooms))))
