"""The composition root: make the parts of a server from its settings, and run it in one process or in several."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from freight.config.load import ResolvedSettings
from freight.config.settings import Settings
from freight.memory.budget import Budget
from freight.memory.host_limits import largest_send_queue, usable_cpus
from freight.model import Level
from freight.observe.log import Log, log_format, write_notice
from freight.runtime import inherited_signals, inherited_sockets
from freight.runtime.build import ServerParts
from freight.runtime.clock import SystemClock
from freight.runtime.open_log import LOG_BYTES_MIN, log_may_hang, open_log
from freight.runtime.open_parts import Inherited, open_parts
from freight.runtime.reload import LiveSettings, connection_cost, memory_of
from freight.runtime.server import serve
from freight.runtime.standard_streams import STDERR
from freight.runtime.terminal import Terminal

if TYPE_CHECKING:
    from freight.workers.worker import Worker


def run(settings: Settings, warnings: Sequence[str], reread: Callable[[], ResolvedSettings]) -> int:
    """Serve until a signal stops the server, and return the exit status. Raise ConfigurationError if it cannot start.

    ``warnings`` are logged first. ``reread`` resolves the settings again, for a reload.
    """
    inherited_signals.restore()
    for warning in warnings:
        _log_notice(settings, Level.WARNING, warning)
    _raise_descriptor_limit()
    own: list[socket.socket] = []
    passed = inherited_sockets.take(os.environ, own.append)
    (predecessor,) = passed.pop(inherited_sockets.PREDECESSOR, (None,))
    inherited = Inherited(passed, own, predecessor)
    with open_parts(settings, reread, partial(_log_notice, settings), Terminal.find(), inherited) as (parts, budget):
        workers = usable_cpus() if settings.workers is None else settings.workers
        if workers == 1 and not parts.source.may_hang and not log_may_hang(settings):
            return _serve(parts, budget, None)
        # A process with a thread that hangs in the kernel cannot end (wait(2)). Its supervisor can.
        return _serve_with_workers(parts, budget, workers)


def _serve(parts: ServerParts, budget: Budget, worker: Worker | None) -> int:
    """Serve in this process, alone or as a worker, and return the exit status."""
    log = open_log(STDERR, parts.settings, budget)
    try:
        with asyncio.Runner() as runner:
            return runner.run(serve(parts, budget, log, worker))
    finally:
        log.close()


def _serve_with_workers(parts: ServerParts, budget: Budget, workers: int) -> int:
    """Serve in several processes and return the exit status. ``budget`` covers the same memory as theirs together."""
    from freight.workers.pool import WorkerPool

    # A worker that is started later, after a reload, has these settings.
    live = LiveSettings(parts.settings, parts.reread, parts.tls, budget, parts.source, parts.terminal, parts.guard)

    def work(worker: Worker) -> int:
        memory, largest = memory_of(live.settings), largest_send_queue()
        own = worker.budget(memory, largest, connection_cost(live.settings))
        return _serve(replace(parts, settings=live.settings), own, worker)

    open_messages = partial(Log, STDERR, log_format(parts.settings.log_format), LOG_BYTES_MIN)
    log = open_messages()
    pool = WorkerPool(
        count=workers,
        work=work,
        identity=parts.identity(workers),
        sockets=parts.sockets,
        predecessor=parts.predecessor,
        live=live,
        clock=SystemClock(),
        open_log=open_messages,
        ready=partial(parts.announce, budget, log.notice, workers),
        log_notice=log.notice,
        log_failure=partial(_log_notice, parts.settings, Level.ERROR),
        admin_token=parts.admin_token,
    )
    try:
        return pool.run()
    finally:
        log.close()


def _log_notice(settings: Settings, level: Level, message: str) -> None:
    """Log a message to the operator without a :class:`Log`: before the start, and in a child without one."""
    write_notice(STDERR, log_format(settings.log_format), level, message)


def _raise_descriptor_limit() -> None:
    """Raise the soft limit, often 1024, to the hard one (getrlimit(2)): each download needs a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # an unlimited hard limit may be more than the kernel allows; the soft limit then stays
