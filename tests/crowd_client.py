"""One client of a crowd: its connection, its request, and every byte of its answer held against the file."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from crowds import Group

TAKE_BYTES = 256 * 1024  # at most so much of one client's before the next one's turn
HEAD_MAX = 16 * 1024
QUICK_PACE = 64 * 1024  # who reads less in a second reads it more rarely, so that thousands can


class Room:
    """One group: what its clients do, how many are at what, what has become of its requests."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.stall, self.pace = group.stall, group.pace
        self.counts: Counter[str] = Counter()
        self.whole_from: Counter[str] = Counter()
        self.clients: set[Client] = set()
        self.over = False


class Loop(Protocol):
    """What a client needs of the loop that it is in."""

    address: tuple[str, int]
    poll: select.epoll
    clients: dict[int, Client]
    changed: bool
    why: str

    def after(self, seconds: float, call: Callable[[], None]) -> None: ...
    def content(self, target: str) -> bytes: ...
    def join(self, room: Room, number: int) -> None: ...


class Client:
    """One connection: where its request and its answer have got to."""

    __slots__ = (
        *("at", "first", "loop", "number", "output", "pause"),
        *("room", "socket", "source", "state", "stop", "target"),
    )

    def __init__(self, loop: Loop, room: Room, number: int) -> None:
        group = room.group
        self.loop, self.room, self.number = loop, room, number
        self.target = group.targets[number % len(group.targets)]
        self.source = group.sources[number % len(group.sources)] if group.sources else ""
        self.state = ""
        self.output = b""
        self.first = self.at = self.stop = 0
        self.pause = -1  # where it stands still; -1: nowhere
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if group.receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, group.receive)
        if self.source:
            self.socket.bind((self.source, 0))
        room.clients.add(self)
        loop.clients[self.socket.fileno()] = self

    def connect(self) -> None:
        self.move("connecting")
        if self.socket.connect_ex(self.loop.address) not in (0, errno.EINPROGRESS):
            self.finish("cut")
            return
        self.loop.poll.register(self.socket, select.EPOLLOUT)

    def move(self, state: str) -> None:
        """It is at something else now."""
        if self.state:
            self.room.counts[self.state] -= 1
        self.state = state
        if state:
            self.room.counts[state] += 1
        self.loop.changed = True

    def ready(self, events: int) -> None:
        """Go on with what there are events for."""
        if self.state == "connecting":
            self.attempt(self.ask)
        elif self.state == "asking":
            self.attempt(self.answer)
        elif self.state == "running" and events & select.EPOLLIN:
            self.attempt(self.take)
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            self.finish("cut")

    def attempt(self, what: Callable[[], None]) -> None:
        try:
            what()
        except BlockingIOError:
            pass
        except OSError:
            self.finish("cut")

    def ask(self) -> None:
        """Connected: send the head, and wait for an answer."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.finish("cut")
            return
        group, size = self.room.group, len(self.loop.content(self.target))
        fields = ""
        self.first, self.stop = 0, size
        if group.span:
            self.first = self.number * group.span % (size - group.span + 1)
            self.stop = self.first + group.span
            fields = f"Range: bytes={self.first}-{self.stop - 1}\r\n"
        self.at = self.first
        if self.room.stall is not None:
            self.pause = self.first + self.room.stall
        head = f"GET {self.target} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n".encode()
        self.output = head[: group.head]
        self.move("asking")
        self.loop.poll.modify(self.socket, select.EPOLLIN)
        self.drip()

    def drip(self) -> None:
        """Send the head, all at once or a byte now and then."""
        if self.state == "asking" and self.output:
            self.attempt(self.send)
            if self.output:
                self.loop.after(self.room.group.drip, self.drip)

    def send(self) -> None:
        sent = self.socket.send(self.output[:1] if self.room.group.drip else self.output)
        self.output = self.output[sent:]

    def answer(self) -> None:
        """Take the head of an answer, and of its body no more than is wanted."""
        peeked = self.socket.recv(HEAD_MAX, socket.MSG_PEEK)
        if not peeked:
            self.finish("cut")
            return
        end = peeked.find(b"\r\n\r\n")
        if end < 0:
            if len(peeked) == HEAD_MAX:
                self.wrong("a head without an end")
            return
        lines = self.socket.recv(end + 4).decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1]
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        if status not in ("200", "206"):
            self.turned_away(status, fields)
            return
        length = int(fields.get("content-length", -1))
        if status != ("206" if self.room.group.span else "200") or length != self.stop - self.first:
            self.wrong(f"{status} with {length} bytes of {self.stop - self.first}")
            return
        self.move("running")
        if self.room.pace:
            self.loop.poll.modify(self.socket, 0)
            self.read_at_pace()
        else:
            self.take()

    def turned_away(self, status: str, fields: dict[str, str]) -> None:
        """Another answer than was hoped for."""
        later = fields.get("retry-after", "")
        if status == "503" and not later.isdecimal():
            self.wrong(f"503 with Retry-After: {later!r}")
            return
        self.finish(status)
        room, number = self.room, self.number
        if room.group.patient and status == "503":
            room.counts["away"] += 1

            def come_back() -> None:
                room.counts["away"] -= 1
                self.loop.join(room, number)

            self.loop.after(float(later), come_back)
        elif room.group.again:
            self.loop.join(room, number)

    def read_at_pace(self) -> None:
        """Take what the pace allows, now and then."""
        if self.state != "running":
            return
        pace = self.room.pace
        if not pace:  # by now
            self.loop.poll.modify(self.socket, select.EPOLLIN)
            return
        seconds = 0.05 if pace >= QUICK_PACE else 0.5
        self.attempt(lambda: self.take(max(1, int(pace * seconds))))
        if self.state == "running":
            self.loop.after(seconds, self.read_at_pace)

    def take(self, most: int = TAKE_BYTES) -> None:
        """Take some of the body and hold it against the file."""
        if self.pause >= 0:
            most = min(most, self.pause - self.at)
        # One more than is due, so that a byte too many is seen.
        data = self.socket.recv(min(most, self.stop - self.at + 1))
        stop = self.at + len(data)
        if data != self.loop.content(self.target)[self.at : min(stop, self.stop)]:
            self.wrong(f"{self.target}: wrong bytes in [{self.at}, {stop})")
            return
        if not data:
            self.finish("cut")
            return
        self.at = stop
        if self.at == self.stop:
            self.room.whole_from[self.source] += 1
            self.finish("whole")
            return
        if self.at == self.pause:
            self.move("stalled")
            self.loop.poll.modify(self.socket, 0)
            if self.room.group.hold is not None:
                self.loop.after(self.room.group.hold, self.resume)

    def resume(self) -> None:
        """It does not stand still any more, nor will it."""
        self.pause = -1
        if self.state == "stalled":
            self.move("running")
            self.loop.poll.modify(self.socket, select.EPOLLIN)

    def reset(self) -> None:
        """What closes it from now on closes it by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wrong(self, why: str) -> None:
        """This must not be."""
        self.loop.why = self.loop.why or f"{self.room.group.name}: {why}"
        self.finish("wrong")

    def finish(self, outcome: str) -> None:
        """The connection is over, and this has become of it."""
        room = self.room
        self.move("")
        room.counts[outcome] += 1
        room.clients.discard(self)
        self.loop.clients.pop(self.socket.fileno(), None)
        self.socket.close()
        if room.group.again and not outcome.isdecimal():
            self.loop.join(room, self.number)
