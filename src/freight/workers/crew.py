"""The processes of one server, put together: what they share is made, then they are forked."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from functools import partial

from freight import __version__
from freight.flow.budget import Budget
from freight.flow.meter import Meter
from freight.flow.rows import COUNTED, COUNTS, Rows
from freight.heap import own_pages
from freight.live import Live
from freight.model import ConnectionsUse, GateUse, Identity, MemoryUse, Snapshot
from freight.observe.log import Log
from freight.ports import Clock, Say
from freight.server.service import Service
from freight.sockets import Sockets
from freight.workers.desk import Desk
from freight.workers.member import Member
from freight.workers.supervisor import Supervisor
from freight.workers.totals import as_time, as_transfers


def run_crew(
    workers: int,
    work: Callable[[Member], int],
    identity: Identity,
    sockets: Sockets,
    predecessor: socket.socket | None,
    live: Live,
    clock: Clock,
    open_log: Callable[[], Log],
    begun: Callable[[], None],
    say: Say,
) -> int:
    """Run so many workers, each of which does ``work``, and a desk at the admin listener's socket; the exit status.

    ``identity`` says which server that is. All workers accept from ``sockets``. ``predecessor`` is the stream to the
    process that hands over to this one, if any; ``live`` is reloaded on SIGHUP, for workers that are started later.
    ``begun`` is called when all serve; ``say`` logs a message to the operator.
    """
    rows = Rows(workers)
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers)]
    members = [Member(rows, number, asked) for number, (_, asked) in enumerate(pairs)]
    blank, named = _blank(identity, live.budget, clock), sockets.named()

    def let_go() -> None:
        """While all drain, a new connection must be refused, so no other process may keep a listening socket open."""
        for listening in named.values():
            listening.close()

    def answer(watched: socket.socket) -> int:
        for listening in named.values():
            if listening is not watched:
                listening.close()
        log = open_log()
        desk = Desk(rows, [asking for asking, _ in pairs], blank, clock)
        with asyncio.Runner() as runner:
            return runner.run(desk.serve(watched, live.settings, log))

    def serve(member: Member) -> int:
        own_pages()
        return work(member)

    def look() -> str:
        running, waiting = (sum(row[COUNTED + COUNTS.index(name)] for row in rows) for name in ("running", "waiting"))
        return f"running {running} of {live.budget.slots}, waiting {waiting}; {workers} workers"

    def drain() -> tuple[float, float]:
        return live.settings.drain_seconds, live.settings.drain_delay_seconds

    gc.collect()
    gc.freeze()  # what is there now is every process's: a collector that looks at it would make it each one's own
    works = [partial(serve, member) for member in members]
    desk = None if sockets.admin is None else partial(answer, sockets.admin)
    service = Service(named, predecessor, look, say, lambda: supervisor.give_way())
    supervisor = Supervisor(rows, works, desk, say, service, begun, live.reload, let_go, drain)
    return supervisor.run()


def _blank(identity: Identity, budget: Budget, clock: Clock) -> Snapshot:
    """A server that has done nothing yet."""
    counts = Meter().statistics()
    return Snapshot(
        version=__version__,
        started_at=clock.now(),
        draining=False,
        memory=MemoryUse(budget.memory_bytes, 0, 0, 0),
        connections=ConnectionsUse(0),
        gate=GateUse(budget.slots, 0, 0, 0, 0.0, 0),
        transfers=as_transfers(counts),
        time=as_time(counts),
        identity=identity,
    )
