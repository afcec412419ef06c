"""The composition root: makes all that a server is made of from its settings, and runs it in one process or several."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from freight.config import Gathered
from freight.core.client import Networks
from freight.disk import DiskPool
from freight.flow.budget import Budget
from freight.flow.costs import TLS_COST
from freight.flow.limits import largest_send_queue, usable_cpus
from freight.live import Live, memory_of
from freight.model import Level
from freight.observe.log import FORMATS, QUEUE_BYTES, Log, write_notice
from freight.running import Made, Server, SystemClock
from freight.server import inherited
from freight.settings import Settings
from freight.sockets import open_sockets
from freight.sources.local import LocalSource
from freight.standard import STDERR

if TYPE_CHECKING:
    from freight.server.tls import Tls
    from freight.workers.member import Member

_LOG_SHARE = 32  # a part of the memory may be log lines that wait for a reader: some lines for each slot
_LOG_BYTES_LEAST = 32 * 1024


def run(settings: Settings, warnings: Sequence[str], reread: Callable[[], Gathered]) -> int:
    """Serve until a signal says stop; the exit status. Raises Unservable when it cannot begin.

    ``warnings`` are logged first. ``reread`` gathers the settings again: see :class:`Made`.
    """
    # Its default would end the process. Where it is acted on: in the one process, once that serves, or a supervisor.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    for warning in warnings:
        _say(settings, Level.WARNING, warning)
    _raise_descriptor_limit()
    tls, fingerprint = _tls(settings)
    budget = Budget(memory_of(settings), largest_send_queue(), _besides(tls))
    trusted = Networks.parse(settings.trusted_proxy)
    pool = DiskPool()
    source = LocalSource(
        settings.path,
        follow_links=settings.follow_links,
        hidden=settings.hidden,
        no_length=settings.no_length,
        pool=pool,
        entries_at_once=budget.listing_entries,
        piece_bytes=budget.piece_bytes,
    )
    passed = inherited.take(os.environ)
    predecessor = passed.pop(inherited.PREDECESSOR, None)
    try:
        sockets = open_sockets(settings, passed, partial(_say, settings, Level.WARNING))
        made = Made(settings, reread, source, trusted, sockets, predecessor, pool, tls, fingerprint)
        workers = usable_cpus() if settings.workers is None else settings.workers
        return _serve(made, budget, None) if workers == 1 else _serve_together(made, budget, workers)
    finally:
        source.close()
        pool.close()


def _serve(made: Made, budget: Budget, member: Member | None) -> int:
    """Serve in this process, as a ``member`` of several workers or alone; the exit status."""
    log = _open_log(made.settings, budget)
    try:
        with asyncio.Runner() as runner:
            return runner.run(Server(made, budget, log, member).serve())
    finally:
        log.close()


def _serve_together(made: Made, budget: Budget, workers: int) -> int:
    """Serve in so many processes; the exit status. ``budget`` divides the same memory as theirs."""
    from freight.workers.crew import run_crew

    live = Live(made.settings, made.reread, made.tls, budget, made.source)  # what a later worker starts with

    def work(member: Member) -> int:
        if made.sockets.admin is not None:
            made.sockets.admin.close()  # the desk's
        memory, largest = memory_of(live.settings), largest_send_queue()
        own = member.budget(memory, largest, _besides(made.tls))
        return _serve(replace(made, settings=live.settings), own, member)

    open_log, say = partial(_open_log, made.settings, budget), partial(_say, made.settings)
    return run_crew(
        workers,
        work,
        made.identity(workers),
        made.sockets,
        made.predecessor,
        live,
        SystemClock(),
        open_log,
        partial(made.announce, budget, say, workers),
        say,
    )


def _open_log(settings: Settings, budget: Budget) -> Log:
    queue_bytes = max(_LOG_BYTES_LEAST, budget.memory_bytes // _LOG_SHARE // budget.sharing)
    return Log(STDERR, FORMATS[settings.log_format], min(QUEUE_BYTES, queue_bytes))


def _say(settings: Settings, level: Level, message: str) -> None:
    """Log a message to the operator where there is no :class:`Log`: before the start, and in a supervisor."""
    write_notice(STDERR, FORMATS[settings.log_format], level, message)


def _besides(tls: Tls | None) -> int:
    """What a connection costs besides, in bytes, by what it speaks."""
    return 0 if tls is None else TLS_COST


def _tls(settings: Settings) -> tuple[Tls | None, str]:
    """What TLS is spoken with, if any, and the fingerprint of a certificate that was made for it. Loads ssl if so."""
    if settings.tls_self_signed:
        from freight.server.certificate import self_signed
        from freight.server.tls import Tls

        contexts, fingerprint = self_signed(settings.host)
        return Tls(contexts), fingerprint
    if settings.tls_cert is not None and settings.tls_key is not None:
        from freight.server.certificate import from_files
        from freight.server.tls import Tls

        return Tls(from_files(settings.tls_cert, settings.tls_key)), ""
    return None, ""


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as we may: a download needs one, and the soft limit is often 1024 (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # an unlimited hard limit may be more than the kernel gives: what we have must do
