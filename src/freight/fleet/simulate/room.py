"""PURE. How many downloads run while a number of requests wait, from the budget that a server itself uses."""

from __future__ import annotations

from typing import cast

from freight.account import Account
from freight.flow.budget import Budget
from freight.ports import Sink


class _Queue:
    """The part of a :class:`~freight.ports.Sink` that a budget needs: a client whose window alone is in the kernel."""

    __slots__ = ("account",)

    def __init__(self) -> None:
        self.account = Account()

    def held(self) -> int:
        """Only what is promised."""
        return self.account.base


def room_of(memory_bytes: int, queue: int, largest_bytes: int) -> tuple[int, ...]:
    """``room[waiting]``: how many may run while that many wait, for 0 to ``queue`` of them.

    ``largest_bytes``: to which the kernel lets one send queue grow. Requests for whose wait the budget has no memory
    wait in the kernel's backlog. Raises :class:`~freight.errors.Unservable` for too little memory.
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
        budget.grown(0)  # gives back the cost of waiting
    rooms.reverse()
    return (*rooms, *(rooms[-1] for _ in range(queue + 1 - len(rooms))))
