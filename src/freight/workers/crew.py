"""The processes of one server, put together: what they share is made, then they are forked."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from functools import partial

from freight import __version__
from freight.flow.budget import Budget
from freight.flow.meter import Meter
from freight.flow.rows import Rows
from freight.heap import own_pages
from freight.model import ConnectionsUse, GateUse, MemoryUse, Snapshot
from freight.observe.log import Log
from freight.ports import Clock
from freight.settings import Settings
from freight.workers.desk import Desk
from freight.workers.member import Member
from freight.workers.supervisor import Manager, Supervisor
from freight.workers.totals import as_time, as_transfers


def run_crew(
    workers: int,
    work: Callable[[Member], int],
    accepting: Sequence[socket.socket],
    watched: socket.socket | None,
    settings: Settings,
    budget: Budget,
    clock: Clock,
    open_log: Callable[[], Log],
    begun: Callable[[], None],
    say: Callable[[str], None],
    manager: Manager | None,
) -> int:
    """Run so many workers, each of which does ``work``, and a desk at the admin listener's socket; the exit status.

    ``accepting``: the sockets that all workers accept from. Who connects while they drain is to be refused, so nobody
    else may keep them open then. ``budget`` is one that is like theirs. ``begun`` is called when all serve; ``say``
    writes a line for the operator; ``manager``, if any, is told what becomes of it all.
    """
    rows = Rows(workers)
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers)]
    members = [Member(rows, number, asked) for number, (_, asked) in enumerate(pairs)]

    blank = _blank(budget, clock)

    def let_go() -> None:
        for listening in accepting:
            listening.close()

    def answer(watched: socket.socket) -> int:
        let_go()
        log = open_log()
        desk = Desk(rows, [asking for asking, _ in pairs], blank, clock)
        with asyncio.Runner() as runner:
            return runner.run(desk.serve(watched, settings, log))

    def serve(member: Member) -> int:
        own_pages()
        return work(member)

    gc.collect()
    gc.freeze()  # what is there now is every process's: a collector that looks at it would make it each one's own
    desk = None if watched is None else partial(answer, watched)
    return Supervisor(rows, [partial(serve, member) for member in members], desk, say, begun, let_go, manager).run()


def _blank(budget: Budget, clock: Clock) -> Snapshot:
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
    )
