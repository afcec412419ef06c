"""The admin listener, put together: who looks at a server has a budget and terms of his own, as the clients' may be
spent.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from freight.disk import DiskPool
from freight.flow.budget import LEAST_MEMORY, WINDOW_MIN, Budget
from freight.flow.costs import CONNECTION_COST, WAITING_COST
from freight.flow.gate import Terms
from freight.flow.limits import largest_send_queue
from freight.flow.meter import Meter
from freight.flow.transfer import Transfers
from freight.guard import Accounts
from freight.kinds import Address
from freight.model import Entry, Snapshot
from freight.observe.admin import Admin
from freight.observe.outlet import VIEWERS, Outlet
from freight.ports import Clock
from freight.server.house import House
from freight.server.listener import Listener
from freight.settings import Settings
from freight.wire.http1 import Limits

_DRAIN_SECONDS = 1.0
_ASKED_SECONDS = 0.2  # whoever connects asks at once
_IDLE_SECONDS = 60.0
_MEMORY = LEAST_MEMORY + VIEWERS * (CONNECTION_COST + WAITING_COST + WINDOW_MIN)  # if all of them stall


class Watching:
    """Answers on ``watched`` from now on.

    ``look`` takes a snapshot; ``ready`` says whether downloads are taken; ``pardon`` is told what the process has grown
    by for the sake of this; ``warn`` what the operator should know.
    """

    def __init__(
        self,
        watched: socket.socket,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        pool: DiskPool,
        clock: Clock,
        look: Callable[[], Awaitable[Snapshot]],
        ready: Callable[[], bool],
        pardon: Callable[[int], None],
        warn: Callable[[str], None],
    ) -> None:
        budget = Budget(_MEMORY, largest_send_queue())
        idle = min(_IDLE_SECONDS, settings.idle_timeout_seconds)
        self._transfers = Transfers(loop, pool, budget, Meter(), Terms(idle_seconds=idle))
        outlet = Outlet(loop, budget, self._transfers.rounds)
        host = settings.admin.host if isinstance(settings.admin, Address) else ""
        self._answers = Admin(look, ready, self._transfers.send, outlet.write, clock, host, pardon, pool.run)
        house = House(
            loop=loop,
            files=self._answers,
            transfers=self._transfers,
            budget=budget,
            clock=clock,
            limits=Limits(),
            record=_forget,
            accounts=Accounts(exempt_all=True),  # they look after the server
        )
        # Who asks here asks at once: a health check does not wait for those that say nothing.
        self._listener = Listener(house, watched, warn, _nothing, self._crowd, silent_seconds=0.0)
        self._listener.start()

    def _crowd(self, crowded: bool) -> None:
        """More connections stand outside than there is memory for: those that do not take their answers make room."""
        if crowded:
            self._answers.make_room()

    async def sweep(self) -> None:
        """One look at everything that waits."""
        self._listener.expire()
        await self._transfers.sweep(0)

    def abort(self) -> None:
        """End all answers now."""
        self._listener.abort()

    async def drain(self, succeeded: bool) -> None:
        """Answer nobody any more. Where another process answers in our place, who has come to us has its answer."""
        self._listener.stop_accepting()
        if succeeded:
            await asyncio.sleep(_ASKED_SECONDS)
        self._answers.close()
        await self._listener.drain(_DRAIN_SECONDS)
        self._transfers.close()


def _forget(entry: Entry) -> None:
    """Whoever looks at the server is not in its log."""


def _nothing() -> None:
    """Nobody waits for what an admin connection cost."""
