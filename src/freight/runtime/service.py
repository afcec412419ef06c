"""The server as other processes manage it: messages to the service manager, and the hand-over to a successor.

The notifier is imported only if a service manager listens. The hand-over is imported at the start: when it is needed,
another version of it may be installed.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from freight.errors import ConfigurationError
from freight.model import Level
from freight.protocols import LogNotice
from freight.runtime.handover import Predecessor, Successor
from freight.runtime.listeners import NamedSockets

if TYPE_CHECKING:
    from freight.runtime.sd_notify import Notifier

_NOTIFY_SOCKET = "NOTIFY_SOCKET"
_POLL_SECONDS = 0.01  # during a hand-over


class Service:
    """Keeps the service manager informed, and hands over.

    A successor inherits ``sockets``. ``predecessor`` is the stream to the process that hands over to this one,
    if any. ``status_line`` says in a line what the server does. ``stop`` is called once a successor accepts
    connections. There is no loop or thread here, and nothing waits: the caller must call :meth:`run_due`.
    """

    def __init__(
        self,
        sockets: NamedSockets,
        predecessor: socket.socket | None,
        status_line: Callable[[], str],
        log_notice: LogNotice,
        stop: Callable[[], None],
    ) -> None:
        self._sockets = sockets
        self._predecessor = None if predecessor is None else Predecessor(predecessor)
        self._log_notice = log_notice
        self._stop = stop
        self._started = False
        self._stopping = False
        self._successor: Successor | None = None
        self._notifier = _load_notifier(status_line)
        self._tick_at = math.inf  # the first tick is due when the server is ready
        self.handed_over = False
        """Whether a successor accepts connections in place of this process."""

    def started(self) -> None:
        """Report that this process accepts connections: to its predecessor, or else to the service manager."""
        self._started = True
        if self._predecessor is None:
            self.ready()
        else:
            self._predecessor.notify_ready()

    def run_due(self) -> float:
        """Do what is due. Return the seconds until the next call is due, which may be infinite."""
        if self._predecessor is not None and self._started and self._predecessor.has_left():
            self._predecessor.close()
            self._predecessor = None
            self.ready()
        if self._successor is not None:
            self._check_successor(self._successor)
        handing_over = self._successor is not None or (self._started and self._predecessor is not None)
        return min(_POLL_SECONDS if handing_over else math.inf, self._tick())

    def reloading(self) -> None:
        """Report that a reload or a hand-over begins. Call :meth:`ready` when it has ended, or failed."""
        if self._notifier is not None and not self._stopping:
            self._notifier.reloading()

    def ready(self) -> None:
        """Report that the server serves."""
        if self._notifier is not None and not self._stopping:
            self._notifier.ready()
            self._tick_at = min(self._tick_at, time.monotonic())

    def stopping(self) -> None:
        """Report that the server stops. Kill a successor that is not ready yet."""
        self._stopping = True
        if self._successor is not None:
            self._successor.kill()
            self._successor = None
        if self._notifier is not None:
            self._notifier.stopping()

    def hand_over(self) -> None:
        """Start a successor. If that fails, log it and continue to serve."""
        if not self._started or self._stopping or self.handed_over or self._successor is not None:
            self._log_notice(
                Level.WARNING, "ignoring SIGUSR2: this server is starting, stopping, or handing over already"
            )
            return
        self.reloading()
        try:
            self._successor = Successor(self._sockets)
        except ConfigurationError as error:
            self._upgrade_failed(error)

    def close(self) -> None:
        """Close the streams to the service manager and to other processes."""
        for each in (self._notifier, self._predecessor, self._successor):
            if each is not None:
                each.close()
        self._notifier = self._predecessor = self._successor = None

    def _tick(self) -> float:
        """Send the keep-alive if it is due; return the seconds until the next."""
        if self._notifier is None:
            return math.inf
        now = time.monotonic()
        if now >= self._tick_at:
            self._notifier.tick()
            self._tick_at = now + self._notifier.tick_seconds
        return self._tick_at - now

    def _check_successor(self, successor: Successor) -> None:
        try:
            if not successor.is_ready():
                return
        except ConfigurationError as error:
            self._successor = None
            self._upgrade_failed(error)
            return
        self.handed_over = True
        if self._notifier is not None:
            self._notifier.handed_over(successor.process)
        self.close()
        self._stop()
        self._log_notice(Level.INFO, f"handed over to process {successor.process}")

    def _upgrade_failed(self, why: ConfigurationError) -> None:
        self._log_notice(Level.WARNING, f"upgrade failed, keeping the current process: {why}")
        self.ready()


def _load_notifier(status_line: Callable[[], str]) -> Notifier | None:
    """Return a notifier if a service manager listens."""
    if _NOTIFY_SOCKET not in os.environ:
        return None
    from freight.runtime.sd_notify import Notifier

    return Notifier(status_line, os.environ)
