"""The process of the admin listener, which reports on all workers together. It waits at most 1 s for each worker."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from freight.config.settings import Settings
from freight.model import ConnectionStats, Snapshot, WorkerStats
from freight.observe.admin import ServerView
from freight.observe.log import Log
from freight.observe.process import ProcessMemory
from freight.protocols import Clock
from freight.runtime.admin_server import AdminServer
from freight.runtime.snapshots import SHOWN
from freight.sources.disk_pool import DiskPool
from freight.workers.aggregate import aggregate
from freight.workers.shared.state import Column, GlobalColumn, SharedState
from freight.workers.worker import REQUEST_BYTES

_REPLY_SECONDS = 1.0
_SWEEP_SECONDS = 1.0


@dataclass(slots=True)
class AdminProcess:
    """``worker_sockets`` are by the workers' numbers. ``blank`` is the snapshot while no worker has replied yet.

    ``token`` is the secret of the admin listener's clients, if any.
    """

    state: SharedState
    worker_sockets: list[socket.socket]
    blank: Snapshot
    clock: Clock
    token: bytes | None = None
    _numbers: count[int] = field(default_factory=count)
    _known: dict[int, Snapshot] = field(default_factory=dict)  # the last of each worker, by its pid
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _own_memory: list[ProcessMemory] = field(default_factory=list)  # of this process and the supervisor

    async def serve(self, listening: socket.socket, settings: Settings, log: Log) -> int:
        """Answer until SIGUSR1; return the exit status.

        SIGTERM and SIGHUP are ignored: a manager, or a terminal that is closed, may send them to all processes.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for worker in self.worker_sockets:
            worker.setblocking(False)
        self._own_memory = [ProcessMemory(self.clock, Path(f"/proc/{pid}")) for pid in (os.getpid(), os.getppid())]
        loop.add_signal_handler(signal.SIGUSR1, stop.set)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        pool = DiskPool()
        server = AdminServer(listening, settings, pool, self._view, log.warn, self.token)
        while not stop.is_set():
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await stop.wait()
            except TimeoutError:
                await server.sweep()
        await server.drain(self._handed_over)
        pool.close()
        return 0

    async def snapshot(self) -> Snapshot:
        """Return a snapshot of all workers. For a worker that does not reply, its last one is used."""
        async with self._lock:
            numbers = {row[Column.PID]: number for number, row in enumerate(self.state) if row[Column.PID]}
            replies = await asyncio.gather(*(self._ask(number) for number in numbers.values()))
            latest = {pid: reply or self._known.get(pid) for pid, reply in zip(numbers, replies, strict=True)}
            self._known = {pid: each for pid, each in latest.items() if each is not None}
        state = self.state
        server = replace(
            self.blank,
            draining=self._is_draining,
            connections=ConnectionStats(0, state.total(Column.HTTP2_CONNECTIONS), state.total(Column.STREAMS)),
            counts=state.counts(),
            workers=WorkerStats(state.worker_count, state.total(Column.READY), state.global_row[GlobalColumn.RESTARTS]),
        )
        return aggregate(self._known, server, sum(each.private_bytes() for each in self._own_memory), SHOWN)

    async def _ask(self, number: int) -> Snapshot | None:
        loop, worker = asyncio.get_running_loop(), self.worker_sockets[number]
        request = next(self._numbers).to_bytes(REQUEST_BYTES, "little")
        try:
            file = os.memfd_create("snapshot", os.MFD_CLOEXEC)
        except OSError:  # for example, no descriptors left
            return None
        try:
            socket.send_fds(worker, [request], [file])
            async with asyncio.timeout(_REPLY_SECONDS):
                while await loop.sock_recv(worker, REQUEST_BYTES) != request:
                    pass  # a reply to a request that timed out
            reply = pickle.loads(os.pread(file, os.fstat(file).st_size, 0))
            return reply if isinstance(reply, Snapshot) else None
        except (TimeoutError, OSError):
            return None
        finally:
            os.close(file)

    @property
    def _handed_over(self) -> bool:
        return bool(self.state.global_row[GlobalColumn.HANDED_OVER])

    @property
    def _is_draining(self) -> bool:
        return bool(self.state.global_row[GlobalColumn.DRAINING])

    @property
    def _view(self) -> ServerView:
        return ServerView(self.snapshot, self._is_ready, root_answers=self._root_answers)

    def _root_answers(self) -> bool:
        ready = [row for row in self.state if row[Column.READY]]
        return self._handed_over or not ready or not all(row[Column.ROOT_HANGS] for row in ready)

    def _is_ready(self) -> bool:
        if self._handed_over:
            return True  # another server accepts downloads
        return not self._is_draining and self.state.total(Column.READY) > 0
