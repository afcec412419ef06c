"""HAProxy's agent-check: each connection gets one line about the free memory, and is closed.

Source: configuration manual of HAProxy 2.6, "agent-check". Only words are used that the next line revokes. ``drain``
would hold until an agent sends ``ready``, which would also undo an operator's own ``maint``. A weight of 0% has the
effect of ``drain``, and ends with the next higher weight.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

_ACCEPTS_AT_ONCE = 16  # bounds a turn of the loop
_BACK_OFF_SECONDS = 0.2
_IGNORED_BYTES = 1024  # of HAProxy's agent-send: a close with unread bytes would be a reset


@dataclass(frozen=True, slots=True)
class AgentReport:
    """The state of a server.

    ``free_fraction``: the free part of the memory for downloads, from 0 to 1. ``max_downloads``: how many can run at
    once. ``exhausted``: no connection can be accepted, because descriptors have run out. ``root_answers``: whether the
    served path's file system answers.
    """

    free_fraction: float
    max_downloads: int
    draining: bool = False
    exhausted: bool = False
    root_answers: bool = True


def report_line(report: AgentReport) -> str:
    """Return the line, without its end: ``up 75% maxconn:512``.

    A full server reports 1% and not 0%: if all servers are full, clients can still queue at one of them.
    """
    if report.exhausted:
        return "down #out of descriptors"
    if not report.root_answers:
        return "down #file system does not answer"
    if report.draining:
        return f"up 0% maxconn:{report.max_downloads} #draining"
    return f"up {max(1, int(100 * report.free_fraction))}% maxconn:{report.max_downloads}"


class HaproxyAgent:
    """Answers on the non-blocking ``listening`` socket with the current report, from the running event loop.

    It keeps a spare descriptor, to accept and answer when descriptors have run out. It keeps no connection.
    """

    def __init__(self, listening: socket.socket, report: Callable[[], AgentReport]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._report = report
        self._timer: asyncio.TimerHandle | None = None
        self._spare: int | None = None
        self._resume()

    def close(self) -> None:
        """Stop answering, and close the listening socket."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._release_spare()

    def _resume(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.dup(self._listening.fileno())
            except OSError:
                pass
        self._loop.add_reader(self._listening, self._accept)

    def _release_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connected, _ = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                if self._spare is not None:
                    self._release_spare()
                    continue
                self._loop.remove_reader(self._listening)
                self._timer = self._loop.call_later(_BACK_OFF_SECONDS, self._resume)
                return
            with connected:
                self._answer(connected)

    def _answer(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        try:
            connected.send(f"{report_line(self._report())}\n".encode())
            connected.shutdown(socket.SHUT_WR)
            connected.recv(_IGNORED_BYTES)
        except OSError:
            pass  # it has closed, or has sent nothing
