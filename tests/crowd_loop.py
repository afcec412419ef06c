"""The process of a crowd (:mod:`crowds`): all its clients in one epoll loop.

usage: crowd_loop.py HOST PORT ROOT

Commands come as JSON on the standard input, a line each, and its end is the end. On the standard output the counts,
as JSON, a line when they have changed.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import mmap
import os
import resource
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, cast

from crowd_client import Client, Room
from crowds import Group

AT_ONCE = 512  # connections on their way at a time: below any listener's backlog
TELL_SECONDS = 0.02


class Loop:
    """All clients of one server."""

    def __init__(self, host: str, port: int, root: Path) -> None:
        self.address, self.root = (host, port), root
        self.poll = select.epoll()
        self.rooms: dict[str, Room] = {}
        self.clients: dict[int, Client] = {}
        self.joining: deque[tuple[Room, int]] = deque()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.files: dict[str, bytes] = {}
        self.commands = bytearray()
        self.changed, self.told, self.why = False, 0.0, ""

    def run(self) -> None:
        """Until the standard input ends."""
        fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)
        self.poll.register(0, select.EPOLLIN)
        while True:
            self.let_in()
            for fd, events in self.poll.poll(self.patience()):
                if fd == 0:
                    if not self.obey():
                        return
                elif client := self.clients.get(fd):
                    client.ready(events)
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()
            if self.changed and time.monotonic() >= self.told + TELL_SECONDS:
                self.tell()

    def let_in(self) -> None:
        """Begin connections that are due."""
        coming = sum(room.counts["connecting"] for room in self.rooms.values())
        for _ in range(min(len(self.joining), AT_ONCE - coming)):
            room, number = self.joining.popleft()
            if not room.over:
                Client(self, room, number).connect()

    def patience(self) -> float:
        """How long there is nothing to do but to wait for events, in seconds; -1: until there is one."""
        due = [self.timers[0][0]] if self.timers else []
        if self.changed:
            due.append(self.told + TELL_SECONDS)
        return max(0.0, min(due) - time.monotonic()) if due else -1

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), call))

    def join(self, room: Room, number: int) -> None:
        """A client comes, or comes again, when it is its turn to connect."""
        if not room.over:
            self.joining.append((room, number))

    def content(self, target: str) -> bytes:
        """The file that a target names, mapped."""
        if target not in self.files:
            with (self.root / target.lstrip("/")).open("rb") as file:
                self.files[target] = cast("bytes", mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return self.files[target]

    def obey(self) -> bool:
        """Take commands; whether there may be more."""
        data = os.read(0, 1 << 16)
        self.commands += data
        while (end := self.commands.find(b"\n")) >= 0:
            command = json.loads(self.commands[:end])
            del self.commands[: end + 1]
            getattr(self, f"do_{command.pop('do')}")(**command)
        return bool(data)

    def do_join(self, **fields: Any) -> None:
        """More clients of a group."""
        group = Group(**fields)
        for target in group.targets:
            self.content(target)
        room = self.rooms.setdefault(group.name, Room(group))
        self.joining.extend((room, number) for number in range(group.count))

    def do_go(self, name: str) -> None:
        """All of a group take what comes."""
        self.rooms[name].stall = None
        self.rooms[name].pace = 0
        for client in list(self.rooms[name].clients):
            client.resume()

    def do_end(self, name: str, reset: bool, at: str, most: int | None) -> None:
        """A group goes, or those of it that are at something."""
        room = self.rooms[name]
        room.over = not at
        for client in [client for client in room.clients if at in ("", client.state)][:most]:
            if reset:
                client.reset()
            client.finish("ended")

    def tell(self) -> None:
        """Say what has changed."""
        self.changed, self.told = False, time.monotonic()
        groups = {name: +room.counts for name, room in self.rooms.items()}
        whole_from = {name: room.whole_from for name, room in self.rooms.items()}
        print(json.dumps({"groups": groups, "whole_from": whole_from, "why": self.why}), flush=True)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port, root = sys.argv[1:]
    Loop(host, int(port), Path(root)).run()


if __name__ == "__main__":
    main()
