"""The process that answers questions about all workers together. It asks each of them, and waits for none too long."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from freight.disk import DiskPool
from freight.flow.rows import COUNTED, COUNTS, DRAINING, METER, PID, READY, RESTARTS, SUCCEEDED, Rows
from freight.model import ConnectionsUse, Snapshot, WorkersUse
from freight.observe.log import Log
from freight.observe.process import ProcessMemory
from freight.overview import SHOWN
from freight.ports import Clock
from freight.settings import Settings
from freight.watching import Watching
from freight.workers.member import ASKED_BYTES
from freight.workers.totals import add_up, total

_ANSWER_SECONDS = 1.0
_SWEEP_SECONDS = 1.0
_HTTP2 = [COUNTED + COUNTS.index(name) for name in ("multiplexed", "streams")]


@dataclass(slots=True)
class Desk:
    """``asking``: a socket to each worker; ``blank``: what is said before any worker has said anything."""

    rows: Rows
    asking: list[socket.socket]
    blank: Snapshot
    clock: Clock
    _numbers: count[int] = field(default_factory=count)
    _known: dict[int, Snapshot] = field(default_factory=dict)  # by the worker's pid
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _own: list[ProcessMemory] = field(default_factory=list)

    async def serve(self, watched: socket.socket, settings: Settings, log: Log) -> int:
        """Answer until SIGUSR1; the exit status. SIGTERM, which a manager may send to all, is the supervisor's."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in self.asking:
            number.setblocking(False)
        self._own = [ProcessMemory(self.clock, Path(f"/proc/{pid}")) for pid in (os.getpid(), os.getppid())]
        loop.add_signal_handler(signal.SIGUSR1, stop.set)
        loop.add_signal_handler(signal.SIGTERM, _pass_over)
        pool = DiskPool()
        watching = Watching(watched, settings, loop, pool, self.clock, self.look, self._is_ready, _pardon, log.warn)
        while not stop.is_set():
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await stop.wait()
            except TimeoutError:
                await watching.sweep()
        await watching.drain(bool(self.rows.common[SUCCEEDED]))
        pool.close()
        return 0

    async def look(self) -> Snapshot:
        """What all workers do at about this moment. One that says nothing is as it was when it last did."""
        async with self._lock:
            there = {row[PID]: number for number, row in enumerate(self.rows) if row[PID]}
            found = await asyncio.gather(*(self._ask(number) for number in there.values()))
            said = {pid: each or self._known.get(pid) for pid, each in zip(there, found, strict=True)}
            self._known = {pid: each for pid, each in said.items() if each is not None}
        running = sum(row[READY] for row in self.rows)
        return add_up(
            self._known,
            self.blank,
            total(row[METER:] for row in self.rows),
            WorkersUse(self.rows.workers, running, self.rows.common[RESTARTS]),
            ConnectionsUse(0, *(sum(row[column] for row in self.rows) for column in _HTTP2)),
            draining=bool(self.rows.common[DRAINING]),
            besides_bytes=sum(each.private_bytes() for each in self._own),
            most=SHOWN,
        )

    async def _ask(self, number: int) -> Snapshot | None:
        loop, asking = asyncio.get_running_loop(), self.asking[number]
        question = next(self._numbers).to_bytes(ASKED_BYTES, "little")
        try:
            file = os.memfd_create("look", os.MFD_CLOEXEC)
        except OSError:  # out of descriptors, say: what was known is told again
            return None
        try:
            socket.send_fds(asking, [question], [file])
            async with asyncio.timeout(_ANSWER_SECONDS):
                while await loop.sock_recv(asking, ASKED_BYTES) != question:
                    pass  # an answer that came too late
            told = pickle.loads(os.pread(file, os.fstat(file).st_size, 0))
            return told if isinstance(told, Snapshot) else None
        except (TimeoutError, OSError):
            return None
        finally:
            os.close(file)

    def _is_ready(self) -> bool:
        if self.rows.common[SUCCEEDED]:
            return True  # downloads are taken, by another server
        return not self.rows.common[DRAINING] and any(row[READY] for row in self.rows)


def _pass_over() -> None:
    """That is another's to hear."""


def _pardon(grown_bytes: int) -> None:
    """The clients' budget has nothing to do with this process."""
