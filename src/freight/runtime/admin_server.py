"""The admin listener with its own budget and limits: it answers although clients have used up theirs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from freight.config.settings import Settings
from freight.config.types import Address
from freight.flow.counters import Counters
from freight.flow.limits import TransferLimits
from freight.flow.transfers import Transfers
from freight.memory.budget import Budget
from freight.memory.costs import CONNECTION_COST, WAITING_COST, WINDOW_MIN
from freight.memory.division import LEAST_MEMORY
from freight.memory.host_limits import largest_send_queue
from freight.model import Entry
from freight.observe.admin import Admin, ServerView, refusal
from freight.observe.stream_writer import MAX_VIEWERS, StreamWriter
from freight.runtime.clock import SystemClock
from freight.server.context import ServerContext
from freight.server.listener import Listener
from freight.sources.disk_pool import DiskPool
from freight.wire.accounting import ClientAccounts
from freight.wire.http1.parser import Limits

_DRAIN_SECONDS = 1.0
_REQUEST_SECONDS = 0.2  # a client that has just connected sends its request by then
_IDLE_SECONDS = 60.0
_MEMORY = LEAST_MEMORY + MAX_VIEWERS * (CONNECTION_COST + WAITING_COST + WINDOW_MIN)  # enough if every viewer stalls


class AdminServer:
    """Answers requests on the ``listening`` socket, from the running event loop.

    ``view`` is what it may ask of the server that it reports on. ``token`` is the secret of its clients, if any.
    """

    def __init__(
        self,
        listening: socket.socket,
        settings: Settings,
        pool: DiskPool,
        view: ServerView,
        warn: Callable[[str], None],
        token: bytes | None = None,
    ) -> None:
        loop, clock = asyncio.get_running_loop(), SystemClock()
        budget = Budget(_MEMORY, largest_send_queue())
        idle = min(_IDLE_SECONDS, settings.idle_timeout_seconds)
        limits = TransferLimits(idle_seconds=idle, keep_alive_seconds=settings.keep_alive_timeout_seconds)
        self._transfers = Transfers(loop, pool, budget, Counters(), limits)
        writer = StreamWriter(loop, budget, self._transfers.poller)
        own = (settings.admin.host,) if isinstance(settings.admin, Address) else ()
        refuse = refusal((*own, *settings.admin_allow_host), token)
        self._admin = Admin(view, self._transfers.send, writer.write, clock, refuse, pool.run)
        context = ServerContext(
            loop=loop,
            responder=self._admin,
            transfers=self._transfers,
            budget=budget,
            clock=clock,
            limits=Limits(),
            record=_ignore_entry,
            accounts=ClientAccounts(exempt_all=True),  # the operator's tools
        )
        # While memory is short, a silent connection is closed at once: a health check sends its request at once.
        self._listener = Listener(context, (listening,), warn, _ignore_release, self._memory_short, silent_seconds=0.0)
        self._listener.start()

    def _memory_short(self, short: bool) -> None:
        """Abort answers that are not read, while there is no memory for connections that wait to be accepted."""
        if short:
            self._admin.abort_oldest()

    async def sweep(self) -> None:
        """Check once everything that waits."""
        self._listener.expire()
        await self._transfers.sweep(0)

    def abort(self) -> None:
        """End all answers now."""
        self._listener.abort()

    async def drain(self, handed_over: bool) -> None:
        """Accept no more connections, and end. After a hand-over, first answer the clients that have just connected."""
        self._listener.stop_accepting()
        if handed_over:
            await asyncio.sleep(_REQUEST_SECONDS)
        self._admin.close()
        await self._listener.drain(_DRAIN_SECONDS)
        self._transfers.close()


def _ignore_entry(entry: Entry) -> None:
    """The log has no admin requests."""


def _ignore_release() -> None:
    """No request waits for the memory of an admin connection."""
