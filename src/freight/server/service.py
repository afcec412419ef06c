"""This server as others manage it: what the service manager is told, and who comes after it.

What tells a manager is loaded where there is one. What hands over is loaded from the start: by the time that it is
wanted, another version of it may be installed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from freight.errors import Unservable
from freight.server.handover import announce, hand_over

if TYPE_CHECKING:
    from freight.server.notify import Notifier

_NOTIFY_SOCKET = "NOTIFY_SOCKET"


class Service:
    """``sockets`` are those that a successor gets, by name; ``predecessor`` is the stream to who hands over to us.

    ``look`` says in a line what goes on, ``warn`` logs one for the operator. To be made and used on the loop.
    """

    def __init__(
        self,
        sockets: Mapping[str, socket.socket],
        predecessor: socket.socket | None,
        look: Callable[[], str],
        warn: Callable[[str], None],
    ) -> None:
        self._sockets = sockets
        self._predecessor = predecessor
        self._warn = warn
        self._stopping = False
        self._succession: asyncio.Task[None] | None = None
        self._notifier = notifier_of(look)
        self._timer: asyncio.TimerHandle | None = None
        self.succeeded = False
        """Whether another process accepts in our place."""

    def begun(self) -> None:
        """We accept: say so to who hands over to us, and to the service manager once it expects that of us."""
        if self._predecessor is None:
            self.ready()
        else:
            announce(self._predecessor, self.ready)

    def reloading(self) -> None:
        """Something is about to change; :meth:`ready` says that it has, or has not."""
        if self._notifier is not None and not self._stopping:
            self._notifier.reloading()

    def ready(self) -> None:
        """We serve."""
        if self._notifier is not None and not self._stopping:
            self._notifier.ready()
            if self._timer is None:
                self._tick()

    def stopping(self) -> None:
        """We were told to stop. A successor that is not ready by now is to be none."""
        self._stopping = True
        if self._succession is not None:
            self._succession.cancel()
        if self._notifier is not None:
            self._notifier.stopping()

    def succeed(self, stop: Callable[[], None]) -> None:
        """Hand over; ``stop`` is called when another process accepts in our place. Where that fails we go on."""
        under_way = self._succession is not None and not self._succession.done()
        if under_way or self._stopping or self.succeeded:
            self._warn("SIGUSR2 is passed over: this server is handing over already, or stopping")
        else:
            self._succession = asyncio.get_running_loop().create_task(self._hand_over(stop))

    def close(self) -> None:
        """Say no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None

    def _tick(self) -> None:
        if self._notifier is not None:
            self._notifier.tick()
            self._timer = asyncio.get_running_loop().call_later(self._notifier.tick_seconds, self._tick)

    async def _hand_over(self, stop: Callable[[], None]) -> None:
        self.reloading()
        try:
            process, stream = await hand_over(self._sockets)
        except Unservable as error:
            self._warn(f"this server goes on: {error}")
            self.ready()
            return
        self.succeeded = True
        self._warn(f"handed over to process {process}")
        if self._notifier is not None:
            self._notifier.succeeded(process)
        self.close()
        stream.close()
        stop()


def notifier_of(look: Callable[[], str]) -> Notifier | None:
    """What tells the service manager, if there is one that listens. ``look`` says in a line what goes on."""
    if _NOTIFY_SOCKET not in os.environ:
        return None
    from freight.server.notify import Notifier

    return Notifier(look, os.environ)
