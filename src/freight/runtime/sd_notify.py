"""Messages to the service manager: sd_notify(3). Imported only if one listens (``NOTIFY_SOCKET``)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

SOCKET = "NOTIFY_SOCKET"

_TICK_SECONDS = 1.0
_EXTENSION_SECONDS = 10  # several ticks: a loop that is late is not yet one that stalls
_MICROSECONDS = 1_000_000


class Notifier:
    """Sends the state of this server. ``status_line`` says in a line what it does; a change is sent at the next tick.

    :meth:`tick` also sends the watchdog's keep-alive. The event loop must call it every ``tick_seconds``, so a loop
    that stalls is noticed. Nothing here waits or fails: a message that the manager does not take goes with the next.
    """

    def __init__(self, status_line: Callable[[], str], environment: Mapping[str, str]) -> None:
        address = environment[SOCKET]
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._status_line = status_line
        self._watchdog_seconds = _watchdog(environment)
        self.tick_seconds = min(_TICK_SECONDS, (self._watchdog_seconds or _TICK_SECONDS) / 2)
        self._unsent: list[str] = []
        self._last_status = ""
        self._stopping = False

    def ready(self) -> None:
        """Say that the server serves, or serves again after :meth:`reloading`."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the server is about to read its settings, or to hand over. Call :meth:`ready` afterwards."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that the server finishes running downloads. Each tick then extends the manager's stop timeout."""
        self._stopping = True
        self._send("STOPPING=1", self._extension())

    def handed_over(self, process: int) -> None:
        """Say that ``process`` is the service now, and close: it sends its own messages."""
        self._send(f"MAINPID={process}", "READY=1")
        self.close()

    def close(self) -> None:
        """Send nothing more. A second call does nothing."""
        self._socket.close()

    def tick(self) -> None:
        """Send the keep-alive, and the status line if it has changed."""
        news = ["WATCHDOG=1"] if self._watchdog_seconds else []
        if self._stopping:
            news.append(self._extension())
        if (status := self._status_line()) != self._last_status:
            self._last_status = status
            news.append(f"STATUS={status}")
        if news:
            self._send(*news)

    def _extension(self) -> str:
        return f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * _MICROSECONDS}"

    def _send(self, *news: str) -> None:
        self._unsent += news
        try:
            self._socket.sendto("\n".join(self._unsent).encode(), self._address)
        except BlockingIOError:
            return
        except OSError:
            pass  # the manager no longer listens
        self._unsent.clear()


def _watchdog(environment: Mapping[str, str]) -> float | None:
    """Return the seconds without a keep-alive after which the manager acts; None: it never does.

    See sd_watchdog_enabled(3).
    """
    text = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(text) / _MICROSECONDS if ours and text.isdecimal() and int(text) else None
