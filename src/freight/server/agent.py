"""HAProxy's agent-check: each connection is told in a line how much room there is here, and closed.

Configuration manual of HAProxy 2.6, "agent-check". Of its words only those are used that the next line takes back by
itself: ``drain`` would hold until somebody says ``ready``, and that would undo an operator's own ``maint`` too. A
weight of 0% does the same as ``drain``, and is over with one that is more.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

_AT_ONCE = 16  # a turn of the loop must stay short, whoever connects
_BACK_OFF_SECONDS = 0.2
_IGNORED_BYTES = 1024  # of what it was sent (agent-send): a close with bytes unread would be a reset


@dataclass(frozen=True, slots=True)
class Room:
    """``free``: what part of the memory for downloads is free, from 0 to 1. ``most``: how many can run at once."""

    free: float
    most: int
    draining: bool = False
    exhausted: bool = False  # no connection can be accepted for want of descriptors


def tell(room: Room) -> str:
    """The line, without its end: ``up 75% maxconn:512``.

    Who is full has 1% and not 0: where all are full it is better to wait than to have nowhere to go.
    """
    if room.exhausted:
        return "down #out of descriptors"
    if room.draining:
        return f"up 0% maxconn:{room.most} #draining"
    return f"up {max(1, int(100 * room.free))}% maxconn:{room.most}"


class Agent:
    """Answers on ``listening`` (non-blocking) with what ``look`` says, from one event loop. It holds no connection."""

    def __init__(self, listening: socket.socket, look: Callable[[], Room]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._spare = -1
        self._resume()

    def close(self) -> None:
        """Answer no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._give_spare()

    def _resume(self) -> None:
        if self._spare < 0:
            try:
                self._spare = os.dup(self._listening.fileno())  # so that it can be said that there are no more
            except OSError:
                pass
        self._loop.add_reader(self._listening, self._accept)

    def _give_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connected, _ = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                if self._spare >= 0:
                    self._give_spare()
                    continue
                self._loop.remove_reader(self._listening)
                self._timer = self._loop.call_later(_BACK_OFF_SECONDS, self._resume)
                return
            with connected:
                self._answer(connected)

    def _answer(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        try:
            connected.send(f"{tell(self._look())}\n".encode())
            connected.shutdown(socket.SHUT_WR)
            connected.recv(_IGNORED_BYTES)
        except OSError:
            pass  # it has gone, or has said nothing
