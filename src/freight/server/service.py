"""This server as others manage it: what the service manager is told, and the process that takes over from this one.

What tells a manager is loaded where there is one. What hands over is loaded from the start: by the time that it is
wanted, another version of it may be installed.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from freight.errors import Unservable
from freight.model import Level
from freight.ports import Say
from freight.server.handover import Predecessor, Successor

if TYPE_CHECKING:
    from freight.server.notify import Notifier

_NOTIFY_SOCKET = "NOTIFY_SOCKET"
_LOOK_SECONDS = 0.01  # while one hands over to another


class Service:
    """``sockets`` are those that a successor gets, by name; ``predecessor`` is the stream to the process that hands
    over to this one, if any.

    ``look`` says in a line what goes on, ``say`` logs a message to the operator; ``stop`` is called when another
    process accepts in our place. It has neither loop nor thread, and never waits: :meth:`turn` does what is due.
    """

    def __init__(
        self,
        sockets: Mapping[str, socket.socket],
        predecessor: socket.socket | None,
        look: Callable[[], str],
        say: Say,
        stop: Callable[[], None],
    ) -> None:
        self._sockets = sockets
        self._predecessor = None if predecessor is None else Predecessor(predecessor)
        self._say = say
        self._stop = stop
        self._begun = False
        self._stopping = False
        self._successor: Successor | None = None
        self._notifier = _notifier_of(look)
        self._tick_at = math.inf  # nothing is said before we are ready
        self.succeeded = False
        """Whether another process accepts in our place."""

    def begun(self) -> None:
        """We accept: say so to who hands over to us, and to the service manager once it expects that of us."""
        self._begun = True
        if self._predecessor is None:
            self.ready()
        else:
            self._predecessor.tell()

    def turn(self) -> float:
        """Do what is due; after how many seconds that is to be asked again, which may be never."""
        if self._predecessor is not None and self._begun and self._predecessor.has_gone():
            self._predecessor.close()
            self._predecessor = None
            self.ready()
        if self._successor is not None:
            self._look_after(self._successor)
        in_between = self._successor is not None or (self._begun and self._predecessor is not None)
        return min(_LOOK_SECONDS if in_between else math.inf, self._tick())

    def reloading(self) -> None:
        """Something is about to change; :meth:`ready` says that it has, or has not."""
        if self._notifier is not None and not self._stopping:
            self._notifier.reloading()

    def ready(self) -> None:
        """We serve."""
        if self._notifier is not None and not self._stopping:
            self._notifier.ready()
            self._tick_at = min(self._tick_at, time.monotonic())

    def stopping(self) -> None:
        """We were told to stop. A successor that is not ready by now is to be none."""
        self._stopping = True
        if self._successor is not None:
            self._successor.end()
            self._successor = None
        if self._notifier is not None:
            self._notifier.stopping()

    def succeed(self) -> None:
        """Begin to hand over. Where that fails we go on."""
        if not self._begun or self._stopping or self.succeeded or self._successor is not None:
            self._say(Level.WARNING, "ignoring SIGUSR2: this server is starting, stopping, or handing over already")
            return
        self.reloading()
        try:
            self._successor = Successor(self._sockets)
        except Unservable as error:
            self._go_on(error)

    def close(self) -> None:
        """Say no more, and hear nothing."""
        for each in (self._notifier, self._predecessor, self._successor):
            if each is not None:
                each.close()
        self._notifier = self._predecessor = self._successor = None

    def _tick(self) -> float:
        """Tell the service manager that we are alive; in how many seconds that is due again."""
        if self._notifier is None:
            return math.inf
        now = time.monotonic()
        if now >= self._tick_at:
            self._notifier.tick()
            self._tick_at = now + self._notifier.tick_seconds
        return self._tick_at - now

    def _look_after(self, successor: Successor) -> None:
        try:
            if not successor.accepts():
                return
        except Unservable as error:
            self._successor = None
            self._go_on(error)
            return
        self.succeeded = True
        if self._notifier is not None:
            self._notifier.succeeded(successor.process)
        self.close()
        self._stop()
        self._say(Level.INFO, f"handed over to process {successor.process}")

    def _go_on(self, why: Unservable) -> None:
        self._say(Level.WARNING, f"upgrade failed, this process goes on serving: {why}")
        self.ready()


def _notifier_of(look: Callable[[], str]) -> Notifier | None:
    """What tells the service manager, if there is one that listens. ``look`` says in a line what goes on."""
    if _NOTIFY_SOCKET not in os.environ:
        return None
    from freight.server.notify import Notifier

    return Notifier(look, os.environ)
