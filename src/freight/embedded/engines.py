"""The engines of a process: one for each event loop and each value of :class:`~freight.embedded.limits.Limits`."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from freight.embedded.engine import Engine
from freight.embedded.limits import Limits
from freight.threads import start_daemon

_engines: dict[asyncio.AbstractEventLoop, dict[Limits, Engine]] = {}
_lock = threading.Lock()


class _Clock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def engine_of(limits: Limits) -> Engine:
    """Return the engine of the running event loop. When it makes one, it closes those of loops that are closed."""
    loop = asyncio.get_running_loop()
    engine = _engines.get(loop, {}).get(limits)
    if engine is None:
        _close_unused()
        engine = _engines.setdefault(loop, {})[limits] = Engine(limits, _Clock())
    return engine


def close_engine(limits: Limits) -> None:
    """Close the engine of the running event loop, if there is one."""
    engine = _engines.get(asyncio.get_running_loop(), {}).pop(limits, None)
    if engine is not None:
        engine.close()


def _close_unused() -> None:
    """Close what the loops of earlier tests, or of asyncio.run, have left."""
    for loop in [each for each in tuple(_engines) if each.is_closed()]:
        for engine in _engines.pop(loop, {}).values():
            engine.close()


class LoopThread:
    """An event loop in a thread of its own, for servers that have none. A forked process starts another."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. Callable in any thread."""
        with _lock:
            if self._loop is None or self._pid != os.getpid():
                loop = asyncio.new_event_loop()
                start_daemon(loop.run_forever, "freight")
                self._loop, self._pid = loop, os.getpid()
            return self._loop


LOOP_THREAD = LoopThread()
"""The loop of all WSGI applications of this process."""
