"""The processes of one server: what they share is made first, then they are forked."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from freight import __version__
from freight.flow.counters import Counters
from freight.memory.heap import unshare_pages
from freight.model import AdmissionStats, ConnectionStats, Identity, MemoryStats, Snapshot, TransferStats
from freight.observe.log import Log
from freight.protocols import Clock, LogNotice
from freight.runtime.listeners import ListeningSockets
from freight.runtime.reload import LiveSettings
from freight.runtime.service import Service
from freight.workers.admin_process import AdminProcess
from freight.workers.shared.state import Column, SharedState
from freight.workers.supervisor import Hooks, Supervisor
from freight.workers.worker import Worker


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """``count`` workers, each of which does ``work``, and the process of the admin listener if there is one.

    All workers accept from ``sockets``. ``predecessor`` is the stream to the process that hands over to this one, if
    any. ``live`` is reloaded on SIGHUP, for workers that are started later. ``ready`` is called when all serve.
    ``log_notice`` logs for the supervisor, ``log_failure`` for a child that has no log.
    """

    count: int
    work: Callable[[Worker], int]
    identity: Identity
    sockets: ListeningSockets
    predecessor: socket.socket | None
    live: LiveSettings
    clock: Clock
    open_log: Callable[[], Log]
    ready: Callable[[], None]
    log_notice: LogNotice
    log_failure: Callable[[str], None]
    admin_token: bytes | None = None

    def run(self) -> int:
        """Run until all processes have ended; return the exit status. Raise ConfigurationError if it cannot start."""
        state = SharedState(self.count)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(self.count)]
        workers = [partial(self._serve, Worker(state, number, own)) for number, (_, own) in enumerate(pairs)]
        admin = AdminProcess(state, [asking for asking, _ in pairs], self._blank(), self.clock, self.admin_token)
        listening = self.sockets.admin
        service = Service(
            self.sockets.named(),
            self.predecessor,
            partial(self._status_line, state),
            self.log_notice,
            lambda: supervisor.hand_over(),
        )
        hooks = Hooks(
            self.log_notice,
            self.log_failure,
            self.ready,
            self.live.hangup_stops,
            self.live.reload,
            self._close_sockets,
            self._drain_and_delay_seconds,
        )
        answer = None if listening is None else partial(self._serve_admin, admin, listening)
        supervisor = Supervisor(state, workers, answer, service, hooks)
        gc.collect()
        gc.freeze()  # all processes share these objects: a collection in a worker would copy their pages
        return supervisor.run()

    def _serve(self, worker: Worker) -> int:
        if self.sockets.admin is not None:
            self.sockets.admin.close()  # the admin process's
        unshare_pages()
        return self.work(worker)

    def _serve_admin(self, admin: AdminProcess, listening: socket.socket) -> int:
        """Do all that the process of the admin listener does."""
        for _, each in self.sockets.named():
            if each is not listening:
                each.close()
        log = self.open_log()
        try:
            with asyncio.Runner() as runner:
                return runner.run(admin.serve(listening, self.live.settings, log))
        finally:
            log.close()

    def _close_sockets(self) -> None:
        """Close the supervisor's listening sockets: while all drain, new connections must be refused."""
        for _, each in self.sockets.named():
            each.close()

    def _drain_and_delay_seconds(self) -> tuple[float, float]:
        return self.live.settings.shutdown_timeout_seconds, self.live.settings.shutdown_delay_seconds

    def _status_line(self, state: SharedState) -> str:
        running, waiting = state.total(Column.RUNNING), state.total(Column.WAITING)
        return f"running {running} of {self.live.budget.division.slots}, waiting {waiting}; {self.count} workers"

    def _blank(self) -> Snapshot:
        """Return the snapshot of a server that has done nothing yet."""
        budget = self.live.budget
        return Snapshot(
            version=__version__,
            started_at=self.clock.now(),
            draining=False,
            memory=MemoryStats(budget.memory_bytes, 0, 0, 0),
            connections=ConnectionStats(0),
            admission=AdmissionStats(budget.division.slots, 0, 0, 0, 0.0),
            transfers=TransferStats(()),
            counts=Counters().statistics(),
            identity=self.identity,
        )
