"""PURE. How many downloads run while requests wait, by the memory budget of the server itself."""

from __future__ import annotations

from freight.memory.budget import Budget
from freight.tools.plan.capacity import FullQueue


def slots_by_waiting(memory_bytes: int, queue: int, largest_bytes: int) -> tuple[int, ...]:
    """Return a tuple: item ``n`` is how many downloads may run while ``n`` requests wait, from 0 to ``queue``.

    ``largest_bytes``: the kernel's limit for one send queue. Requests whose wait does not fit in the budget wait in the
    kernel's backlog. Raises :class:`~freight.errors.ConfigurationError` for too little memory.
    """
    budget = Budget(memory_bytes, largest_bytes)
    waiting = 0
    while waiting < queue and budget.can_open():
        budget.connection_opened()
        budget.request_queued()
        waiting += 1
    slots: list[int] = []
    running = 0
    while True:
        while running < budget.division.slots and budget.can_run():
            budget.connection_opened()
            budget.reserve(FullQueue())
            running += 1
        slots.append(max(1, running))
        if not waiting:
            break
        waiting -= 1
        budget.request_queued(-1)
        budget.connection_opened(-1)
        budget.set_process_growth(0)  # returns the cost of waiting
    slots.reverse()
    return (*slots, *(slots[-1] for _ in range(queue + 1 - len(slots))))
