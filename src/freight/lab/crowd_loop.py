"""The process of the clients, all in one epoll loop. usage: python -m freight.lab.crowd_loop HOST PORT TARGET

A command is a JSON object on one line of standard input; each is answered by a line on standard output. When the input
ends, the process exits.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import Counter, deque
from typing import Any

from freight.lab.client import ENDS, At, Client, Manner
from freight.lab.tether import raise_descriptor_limit

_AT_ONCE = 256  # connections that are being established at a time: below any listener's backlog
_ROUND = 64  # clients handled before the next look at commands, so that an answer comes within milliseconds
_PACE_SECONDS = 0.002  # a slow client reads this often: the bytes in between must fit its receive window


class Loop:
    """All clients of one server."""

    def __init__(self, host: str, port: int, target: str) -> None:
        self.host, self.port, self.target = host, port, target
        self.poll = select.epoll()
        self.poll.register(sys.stdin, select.EPOLLIN)
        self.coming: deque[Manner] = deque()
        self.clients: dict[int, Client] = {}
        self.paced: set[Client] = set()
        self.connecting = 0
        self.ended: Counter[At] = Counter()
        self.taken_bytes = 0
        self.waits_seconds: list[float] = []

    def run(self) -> None:
        unread = b""
        while True:
            while self.coming and self.connecting < _AT_ONCE:
                self._connect(self.coming.popleft())
            for fd, _ in self.poll.poll(_PACE_SECONDS if self.paced else None, _ROUND):
                if fd == sys.stdin.fileno():
                    data = os.read(fd, 1 << 16)
                    if not data:
                        return
                    *lines, unread = (unread + data).split(b"\n")
                    for line in lines:
                        print(json.dumps(self._obey(**json.loads(line))), flush=True)
                elif client := self.clients.get(fd):
                    self._advance(client)
            for client in list(self.paced):
                self._take(client)

    def _obey(self, do: str, count: int = 0, **manner: Any) -> dict[str, Any]:
        """Execute a command; return the state afterwards."""
        if do == "join":
            self.coming.extend([Manner(**manner)] * count)
        elif do == "go":
            self._go()
        elif do == "leave":
            self._leave()
        waits = {"waits_seconds": self.waits_seconds} if do == "waits" else {}
        at = Counter(client.at for client in self.clients.values()) + self.ended
        at[At.CONNECTING] += len(self.coming)
        return {"at": at, "taken_bytes": self.taken_bytes, "seconds": time.monotonic(), **waits}

    def _go(self) -> None:
        self.coming = deque([Manner()] * len(self.coming))
        for fd, client in self.clients.items():
            if client.at is At.STALLED or client in self.paced:
                self.poll.register(fd, select.EPOLLIN)
            client.go()
        self.paced.clear()

    def _leave(self) -> None:
        """Close all clients, and forget how earlier ones ended."""
        for client in self.clients.values():
            client.leave()  # the epoll forgets what is closed
        self.clients.clear()
        self.paced.clear()
        self.coming.clear()
        self.ended.clear()
        self.waits_seconds.clear()
        self.connecting = 0

    def _connect(self, manner: Manner) -> None:
        client = Client(self.host, self.port, manner)
        self.clients[client.sock.fileno()] = client
        self.poll.register(client.sock, select.EPOLLOUT)
        self.connecting += 1

    def _advance(self, client: Client) -> None:
        if client.at is not At.CONNECTING:
            return self._take(client)
        self.connecting -= 1
        fd = client.sock.fileno()
        client.ask(self.target)
        if client.at in ENDS:
            return self._end(client, fd)
        return self.poll.modify(fd, select.EPOLLIN)

    def _take(self, client: Client) -> None:
        fd, before = client.sock.fileno(), client.at
        self.taken_bytes += client.take()
        if before is At.ASKING and client.wait_seconds:
            self.waits_seconds.append(client.wait_seconds)
            if client.manner.pace and client.at is At.RUNNING:
                self.poll.unregister(fd)
                self.paced.add(client)
        if client.at is At.STALLED:
            self.poll.unregister(fd)
        elif client.at in ENDS:
            self._end(client, fd)

    def _end(self, client: Client, fd: int) -> None:
        del self.clients[fd]
        self.paced.discard(client)
        self.ended[client.at] += 1
        if client.manner.again and client.at is At.WHOLE:
            self.coming.append(client.manner)


if __name__ == "__main__":
    raise_descriptor_limit()
    Loop(sys.argv[1], int(sys.argv[2]), sys.argv[3]).run()
