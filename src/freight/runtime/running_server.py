"""One server on an event loop: what it is made of, and how it starts, stops and drains.

It knows nothing of its process: :mod:`freight.runtime.lifecycle` has the signals, and the hand-over to a successor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from freight.memory.budget import Budget
from freight.model import Identity
from freight.observe.admin import ServerView
from freight.observe.log import AnyLog
from freight.runtime.admin_server import AdminServer
from freight.runtime.build import MakeGrowth, ServerParts, build, snapshot_collector
from freight.runtime.reload import LiveSettings
from freight.runtime.side_listeners import SideListeners
from freight.runtime.snapshots import SnapshotCollector
from freight.runtime.sweeper import sweep_forever
from freight.runtime.worker_role import WorkerRole

_REDIRECT_DRAIN_SECONDS = 1.0
_GRACE_SECONDS = 5.0  # a connection accepted just before a hand-over is answered if its request begins by then


class RunningServer:
    """The objects of one server on the running event loop.

    ``make_growth`` makes what measures the growth of the process.
    """

    def __init__(
        self, parts: ServerParts, budget: Budget, log: AnyLog, worker: WorkerRole | None, make_growth: MakeGrowth
    ) -> None:
        self.parts = parts
        self.core = build(parts, budget, log, worker, make_growth)
        self.live = LiveSettings(
            parts.settings, parts.reread, parts.tls, budget, parts.source, parts.terminal, parts.guard
        )
        self._log = log
        self._worker = worker
        self._side = SideListeners()
        self._stop: asyncio.Future[None] = self.core.loop.create_future()
        self._abort_requested = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def is_draining(self) -> bool:
        """Whether the server has been asked to stop, or has handed over."""
        return self._stop.done()

    def start(self) -> None:
        """Accept connections from now on."""
        self.core.start()
        sweeping = sweep_forever(self.core, self._side, self._worker, self._log.warn)
        self._sweeper = self.core.loop.create_task(sweeping)

    def open_agent(self) -> None:
        """Report to load balancers how much memory is free, if the settings ask for it."""
        if self.parts.sockets.agent is None:
            return
        from freight.observe.haproxy_agent import AgentReport

        def report() -> AgentReport:
            budget, exhausted = self.core.budget, self.core.listener.out_of_descriptors
            if self._worker is not None:
                exhausted = self._worker.all_exhausted(exhausted)
            downloads = budget.division.slots + budget.division.express_slots
            answers = self.core.file_systems.root_answers
            return AgentReport(budget.free_fraction(), downloads, self.is_draining, exhausted, answers)

        self._side.open_agent(self.parts.sockets.agent, report)

    def open_admin(self, collector: SnapshotCollector, has_handed_over: Callable[[], bool]) -> None:
        """Answer requests about the server, if the settings ask for it."""
        core, parts = self.core, self.parts
        if parts.sockets.admin is None:
            return
        view = ServerView(
            snapshot=collector.snapshot,
            is_ready=lambda: has_handed_over() or not self.is_draining,  # a successor accepts downloads too
            exclude_growth=core.growth.exclude,
            root_answers=lambda: has_handed_over() or core.file_systems.root_answers,
        )
        admin = AdminServer(parts.sockets.admin, parts.settings, parts.pool, view, self._log.warn, parts.admin_token)
        self._side.open_admin(admin)

    def collector(self, identity: Identity) -> SnapshotCollector:
        """Return what takes snapshots. Call it before the first client connects, for the baseline."""
        return snapshot_collector(self.core, identity, self._log, lambda: self.is_draining)

    def request_stop(self) -> None:
        """End :meth:`wait_for_stop`. A second call does nothing."""
        if not self._stop.done():
            self._stop.set_result(None)

    def abort(self) -> None:
        """Stop without waiting for anything."""
        self.request_stop()
        self._abort_requested.set()
        self.core.listener.abort()
        self._side.abort()

    async def wait_for_stop(self) -> None:
        """Wait until the server is to stop."""
        await self._stop

    async def drain(self, *, handed_over: bool) -> None:
        """Finish what runs. After a hand-over, close the side listeners first, as the successor has its own."""
        core = self.core
        if handed_over:
            await self._side.close(handed_over)
        else:
            await self._shutdown_delay()
            core.gate.drain()
        seconds = 0 if self._abort_requested.is_set() else self.live.settings.shutdown_timeout_seconds
        grace_seconds = _GRACE_SECONDS if handed_over else 0
        drains = [core.listener.drain(seconds, grace_seconds)]
        if core.redirect is not None:
            drains.append(core.redirect.drain(min(seconds, grace_seconds + _REDIRECT_DRAIN_SECONDS), grace_seconds))
        await asyncio.gather(*drains)
        await self._side.close(handed_over)

    def end_sweeps(self) -> None:
        """Check nothing any more. Call it when the server has drained."""
        if self._sweeper is not None:
            self._sweeper.cancel()

    def close(self) -> None:
        """Release what the transfers share. Call it last."""
        self.core.transfers.close()

    async def _shutdown_delay(self) -> None:
        """Accept requests for --shutdown-delay while /readyz already fails, so that load balancers stop first."""
        try:
            async with asyncio.timeout(self.live.settings.shutdown_delay_seconds):
                await self._abort_requested.wait()
        except TimeoutError:
            pass
