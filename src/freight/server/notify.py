"""What the service manager is told: sd_notify(3). Loaded only where there is one that listens (``NOTIFY_SOCKET``)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

SOCKET = "NOTIFY_SOCKET"

_TICK_SECONDS = 1.0
_EXTENSION_SECONDS = 10  # several ticks, as a loop that is late must not be taken for one that stands still
_MICROSECONDS = 1_000_000


class Notifier:
    """Tells what becomes of this server. ``look`` says in a line what it does; it is told again when that has changed.

    What keeps the watchdog calm goes with :meth:`tick`, which is the loop's to call every ``tick_seconds``, so that one
    that stands still is noticed. Nothing here waits or fails: who does not take a message is told with the next one.
    """

    def __init__(self, look: Callable[[], str], environment: Mapping[str, str]) -> None:
        address = environment[SOCKET]
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._look = look
        self._watchdog_seconds = _watchdog(environment)
        self.tick_seconds = min(_TICK_SECONDS, (self._watchdog_seconds or _TICK_SECONDS) / 2)
        self._owed: list[str] = []
        self._shown = ""
        self._stopping = False

    def ready(self) -> None:
        """It serves, or serves on after it was told something new."""
        self._say("READY=1")

    def reloading(self) -> None:
        """It is about to read its settings, or to hand over; :meth:`ready` says that this is done."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """It finishes what runs. From now on the time that it may take for that is extended as it goes."""
        self._stopping = True
        self._say("STOPPING=1", self._extension())

    def succeeded(self, process: int) -> None:
        """Another process is the service now. It speaks for itself, and this one no more."""
        self._say(f"MAINPID={process}", "READY=1")
        self.close()

    def close(self) -> None:
        """Say no more; a second time does nothing."""
        self._socket.close()

    def tick(self) -> None:
        """Say that we are alive, and what goes on."""
        news = ["WATCHDOG=1"] if self._watchdog_seconds else []
        if self._stopping:
            news.append(self._extension())
        if (shown := self._look()) != self._shown:
            self._shown = shown
            news.append(f"STATUS={shown}")
        if news:
            self._say(*news)

    def _extension(self) -> str:
        return f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * _MICROSECONDS}"

    def _say(self, *news: str) -> None:
        self._owed += news
        try:
            self._socket.sendto("\n".join(self._owed).encode(), self._address)
        except BlockingIOError:
            return
        except OSError:
            pass  # nobody is there any more
        self._owed.clear()


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """After how many seconds of silence the manager acts; None where it does not: sd_watchdog_enabled(3)."""
    text = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(text) / _MICROSECONDS if ours and text.isdecimal() and int(text) else None
