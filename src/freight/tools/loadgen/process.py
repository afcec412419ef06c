"""The process of the clients, all in one epoll loop.

usage: python -m freight.tools.loadgen.process HOST PORT [ROOT]

With ROOT, every byte of a response is compared with the file of that name in there. Otherwise bodies are discarded. A
command is a JSON object on one line of standard input; the reply is a line on standard output. The process exits at the
end of the input.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from freight.tools.loadgen.body import Body, Compared, Discarded
from freight.tools.loadgen.child_process import raise_descriptor_limit
from freight.tools.loadgen.client import Again, Client, ClientState, Group, RunningGroup

_CONNECTING_MAX = 256  # less than the backlog of any listener
_BATCH = 64  # clients handled between two checks for commands, so that a reply comes within milliseconds


class Loop:
    """All clients of one server. ``wrong``: the first response that was not right."""

    def __init__(self, host: str, port: int, body: Body) -> None:
        self.address, self.body = (host, port), body
        self.poll = select.epoll()
        self.groups: dict[str, RunningGroup] = {}
        self.clients: dict[int, Client] = {}
        self.joining: deque[tuple[RunningGroup, int]] = deque()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.taken_bytes = 0
        self.wrong = ""

    def run(self) -> None:
        self.poll.register(sys.stdin, select.EPOLLIN)
        commands, unread = sys.stdin.fileno(), b""
        while True:
            if self.joining:
                self._connect_next()
            for fd, events in self.poll.poll(self._timeout(), _BATCH):
                if fd == commands:
                    data = os.read(fd, 1 << 16)
                    if not data:
                        return
                    *lines, unread = (unread + data).split(b"\n")
                    for line in lines:
                        print(json.dumps(self._execute(**json.loads(line))), flush=True)
                elif client := self.clients.get(fd):
                    client.handle(events)
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), call))

    def join(self, group: RunningGroup, number: int) -> None:
        """Connect a client when few enough others are connecting."""
        if not group.closed:
            self.joining.append((group, number))

    def _connect_next(self) -> None:
        connecting = sum(group.counts[ClientState.CONNECTING] for group in self.groups.values())
        for _ in range(min(len(self.joining), _CONNECTING_MAX - connecting)):
            group, number = self.joining.popleft()
            if not group.closed:
                Client(self, group, number).connect()

    def _timeout(self) -> float | None:
        return max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None

    def _execute(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Execute a command; return the state after it."""
        commands: dict[str, Callable[..., None]] = {
            "join": self._join,
            "go": self._go,
            "end": self._end,
            "clear": self._clear,
        }
        if do in commands:
            commands[do](**arguments)
        groups = self.groups.items()
        waits = [wait for _, group in groups for wait in group.waits_seconds] if do == "waits" else []
        return {
            "groups": {name: +group.counts for name, group in groups},
            "whole_from": {name: group.whole_from for name, group in groups},
            "joining": len(self.joining),
            "taken_bytes": self.taken_bytes,
            "wrong": self.wrong,
            "seconds": time.monotonic(),
            "waits_seconds": waits,
        }

    def _join(self, again: str, **fields: Any) -> None:
        spec = Group(again=Again(again), **fields)
        group = self.groups.setdefault(spec.name, RunningGroup(spec))
        self.joining.extend((group, number) for number in range(spec.count))

    def _go(self, name: str) -> None:
        group = self.groups[name]
        group.stall = group.pace = None
        for client in list(group.clients):
            client.resume()

    def _end(self, name: str, reset: bool, at: str | None, most: int | None) -> None:
        group = self.groups[name]
        group.closed = at is None
        for client in [client for client in group.clients if at is None or client.state == at][:most]:
            if reset:
                client.close_by_reset()
            client.finish(ClientState.ENDED)

    def _clear(self) -> None:
        for name in list(self.groups):
            self._end(name, reset=False, at=None, most=None)
        self.groups.clear()
        self.joining.clear()


def main(host: str, port: str, root: str | None = None) -> None:
    raise_descriptor_limit()
    Loop(host, int(port), Discarded() if root is None else Compared(Path(root))).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
