"""What the process itself has really grown by: the budget is told, and what a crowd has left goes back."""

from __future__ import annotations

import asyncio
from functools import partial

from freight.disk import DiskPool
from freight.flow.budget import Budget
from freight.heap import give_back, private_bytes

_FEW_CONNECTIONS = 500  # with more, a walk through all objects would hold the interpreter for too long
_SLACK_BYTES, _SLACK_SHARE = 256 * 1024, 128  # less, or a smaller share of the memory, is not worth a walk
_MUCH_SHARE = 8  # for such a share of the memory it is, while some are leaving too


class Footprint:
    """Looks at the process's own memory. What it has when this is made is not the clients'."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: DiskPool, budget: Budget) -> None:
        self._loop = loop
        self._pool = pool
        self._budget = budget
        self._began_bytes = self._least_bytes = private_bytes()
        self.pardoned_bytes = 0  # what it has grown by since that is of no client
        self._slack_bytes = 0  # what there was too much of at the last look,
        self._kept_bytes = 0  # and what of that would not go back
        self._asked = False  # once already, for what has not gone back
        self._kept_by = 0  # while so many connections were open

    def pardon(self, grown_bytes: int) -> None:
        """So much of the growth is of no client: a module that was needed for something else, say."""
        self.pardoned_bytes += max(0, grown_bytes)

    async def look(self) -> None:
        """Tell the budget; have the heap give back what is too much, once nobody leaves any more. About once a second.

        Clients that are leaving still hold some of it, so it is waited for, unless it is much. What would not go back
        may do so when most of those who were there have left, as one small object keeps a whole page.
        """
        before, self._slack_bytes = self._slack_bytes, self.measure()
        if self._budget.connections < self._kept_by / 2:
            self._kept_bytes = 0
        self._kept_bytes = min(self._kept_bytes, self._slack_bytes)
        worth = min(_SLACK_BYTES, self._budget.memory_bytes // _SLACK_SHARE)
        settled = self._slack_bytes <= before
        much = self._slack_bytes > self._budget.memory_bytes // _MUCH_SHARE
        if self._slack_bytes <= self._kept_bytes + worth:
            self._asked = False
        elif settled or much:
            self._kept_by = self._budget.connections
            few = self._kept_by <= _FEW_CONNECTIONS
            await asyncio.wrap_future(self._pool.submit(partial(give_back, few)), loop=self._loop)
            self._slack_bytes = self.measure()
            if settled:
                # What has not gone back at the second time stays. At the first, something of the crowd may still be on
                # its way out, such as its lines in the log.
                if self._asked:
                    self._kept_bytes = self._slack_bytes
                self._asked = not self._asked

    def measure(self) -> int:
        """Tell the budget; what there is too much of, in bytes. It takes some microseconds.

        Too much is what is beyond the least that there has been: the first time that the heap gives back, what was only
        needed to start goes too, and a crowd would otherwise be forgiven as much.
        """
        now = private_bytes()
        self._least_bytes = min(self._least_bytes, now)
        self._budget.grown(now - self._began_bytes - self.pardoned_bytes)
        return self._budget.excess(now - self._least_bytes - self.pardoned_bytes)
