"""The composition root: settings in, what a server is made of, and then it runs: in this process, or in several."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from freight.core.client import Networks
from freight.flow.budget import TLS_COST, Budget
from freight.flow.limits import largest_send_queue, usable_cpus
from freight.live import Live, memory_of
from freight.observe.log import Log, json_line, text_line
from freight.running import Made, Server, SystemClock
from freight.server import inherited
from freight.settings import Settings
from freight.sockets import open_sockets
from freight.sources.local import LocalSource

if TYPE_CHECKING:
    from freight.server.tls import Tls
    from freight.workers.member import Member

_POOL_THREADS = 4  # enough to keep a disk busy; a thread is made when it is needed first, and costs a stack
_LOOK_THREADS = 2  # looking a path up must not wait behind megabytes


def run(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Serve until a signal says stop; the exit status. Raises Unservable when it cannot begin.

    ``reread`` gathers the settings anew: see :class:`Made`.
    """
    _raise_descriptor_limit()
    tls, fingerprint = _tls(settings)
    budget = Budget(memory_of(settings), largest_send_queue(), _besides(tls))
    trusted = Networks.parse(settings.trusted_proxy)
    pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="disk")
    looks = ThreadPoolExecutor(_LOOK_THREADS, thread_name_prefix="look")
    source = LocalSource(
        settings.path,
        follow_links=settings.follow_links,
        hidden=settings.hidden,
        no_length=settings.no_length,
        pool=looks,
        entries_at_once=budget.listing_entries,
        piece_bytes=budget.piece_bytes,
    )
    passed = inherited.take(os.environ)
    predecessor = passed.pop(inherited.PREDECESSOR, None)
    try:
        sockets = open_sockets(settings, passed, _say)
        made = Made(settings, reread, source, trusted, sockets, predecessor, pool, tls, fingerprint)
        workers = usable_cpus() if settings.workers is None else settings.workers
        return _serve(made, budget, None) if workers == 1 else _serve_together(made, budget, workers)
    finally:
        source.close()
        for threads in (pool, looks):
            threads.shutdown(wait=False, cancel_futures=True)


def _serve(made: Made, budget: Budget, member: Member | None) -> int:
    """Serve in this process, as a ``member`` of several workers or alone; the exit status."""
    log = _open_log(made.settings)
    try:
        with asyncio.Runner() as runner:
            return runner.run(Server(made, budget, log, member).serve())
    finally:
        log.close()


def _serve_together(made: Made, budget: Budget, workers: int) -> int:
    """Serve in so many processes; the exit status. ``budget`` is one that is like theirs."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the supervisor's alone, who waits for it
    from freight.workers.crew import run_crew

    live = Live(made.settings, made.reread, made.tls, budget, made.source)  # as whoever starts later is to have it

    def work(member: Member) -> int:
        if made.sockets.admin is not None:
            made.sockets.admin.close()  # the desk's
        memory, largest = memory_of(live.settings), largest_send_queue()
        own = member.budget(memory, largest, _besides(made.tls))
        return _serve(replace(made, settings=live.settings), own, member)

    open_log = partial(_open_log, made.settings)
    return run_crew(
        workers,
        work,
        made.sockets,
        made.predecessor,
        live,
        SystemClock(),
        open_log,
        made.announce,
        _say,
    )


def _open_log(settings: Settings) -> Log:
    return Log(sys.stderr.fileno(), json_line if settings.log_format == "json" else text_line)


def _say(message: str) -> None:
    """Tell the operator, where there is no log yet, or none for it."""
    print(message, file=sys.stderr, flush=True)


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
