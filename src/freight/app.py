"""The composition root: settings in, a running server out."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from freight.core.client import Networks
from freight.fileserver import FileServer
from freight.flow.budget import WINDOW_MIN, Budget, largest_send_queue
from freight.flow.gate import Gate
from freight.flow.transfer import Transfers
from freight.observe.log import Log, json_line, text_line
from freight.server.connection import House
from freight.server.listener import Listener, listen
from freight.settings import Settings
from freight.sources.local import LocalSource
from freight.wire.http1 import Limits

_MEMORY_AUTO = 64 << 20  # bytes
_POOL_THREADS = 4  # enough to keep a disk busy; a thread is made when it is needed first, and costs a stack
_LOOK_THREADS = 2  # looking a path up must not wait behind megabytes
_HEAD_SECONDS = 10.0  # an honest head is one packet; this is for the worst of mobile links
_LINGER_SECONDS = 2.0


class SystemClock:
    """The machine's clock (:class:`freight.ports.Clock`)."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def run(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Serve until a signal says stop; the exit status. Raises Unservable when it cannot begin.

    ``reread`` gathers the settings anew, from where they came, and raises Unservable when they are not sensible.
    """
    _raise_descriptor_limit()
    pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="disk")
    looks = ThreadPoolExecutor(_LOOK_THREADS, thread_name_prefix="look")
    source = LocalSource(
        settings.path,
        follow_links=settings.follow_links,
        hidden=settings.hidden,
        no_length=settings.no_length,
        pool=looks,
    )
    listening = listen(settings.host, settings.port, WINDOW_MIN)
    log = Log(sys.stderr.fileno(), json_line if settings.log_format == "json" else text_line)
    try:
        with asyncio.Runner() as runner:
            return runner.run(_serve(settings, source, listening, pool, log))
    finally:
        log.close()
        source.close()
        for threads in (pool, looks):
            threads.shutdown(wait=False, cancel_futures=True)


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as we may: a download needs one, and the soft limit is often 1024 (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            pass  # an unlimited hard limit may be more than the kernel gives: what we have must do


def _calm_collector() -> None:
    """What is there now stays: it need not be looked through again. Requests make no cycles, so look more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _serve(
    settings: Settings, source: LocalSource, listening: socket.socket, pool: ThreadPoolExecutor, log: Log
) -> int:
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    budget = Budget(_MEMORY_AUTO if settings.memory_bytes is None else settings.memory_bytes, largest_send_queue())
    transfers = Transfers(loop, pool, settings.idle_timeout_seconds)
    house = House(
        loop=loop,
        files=FileServer(source, Gate(budget), transfers, clock),
        transfers=transfers,
        clock=clock,
        limits=Limits(),
        record=log.record,
        head_seconds=min(_HEAD_SECONDS, settings.idle_timeout_seconds),
        idle_seconds=settings.idle_timeout_seconds,
        linger_seconds=min(_LINGER_SECONDS, settings.idle_timeout_seconds),
        proxy_protocol=settings.proxy_protocol,
        trusted=Networks.parse(settings.trusted_proxy),
    )
    listener = Listener(house, listening, log.warn)
    stop: asyncio.Future[None] = loop.create_future()
    status = 0

    def on_signal(number: int) -> None:
        nonlocal status
        if not stop.done():
            stop.set_result(None)
        else:
            status = 128 + number
            listener.abort()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    listener.start()
    _calm_collector()
    print(f"freight: serving {settings.path} at {_url(listening)}", flush=True)
    await stop
    await listener.drain(settings.drain_seconds)
    transfers.close()
    return status


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if listening.family == socket.AF_INET6 else f"http://{host}:{port}/"
