"""One client of a load: its connection, its request, and how it reads the response."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

from freight.tools.loadgen.body import Body, WrongResponse

_HEAD_BYTES = 16 << 10
_QUICK_PACE, _SLOW_PACE = 4 << 20, 64 << 10
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)


class ClientState(StrEnum):
    """The state of a client; from ``WHOLE`` on, how its request ended. Another end is the status of a rejection."""

    CONNECTING = "connecting"
    ASKING = "asking"  # there is no response yet: the request may wait in the server's queue
    RUNNING = "running"
    STALLED = "stalled"  # it has stopped reading, as its group says
    AWAY = "away"  # it has been rejected, and comes back after Retry-After
    WHOLE = "whole"
    WRONG = "wrong"  # in status, length or a byte
    CUT = "cut"  # the connection ended before the body did
    ENDED = "ended"  # the generator was told to close it


class Again(StrEnum):
    """When a client requests its target again, on a new connection."""

    NEVER = "never"
    AFTER_WHOLE = "after whole"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Clients that behave alike. Sizes are in bytes; None: no limit, or the kernel's default.

    ``targets`` and ``sources`` (the addresses that clients connect from) go round the group.
    ``span``: each client requests this many bytes, from a start of its own. It needs files to compare with.
    ``stall``: a client stops reading after this much of the body, for ``hold`` seconds or until :meth:`.go`.
    ``pace``: bytes per second that a client reads, on average since its response began.
    ``drip``: seconds between the bytes of its request head. ``head``: how many bytes of the head it ever sends.
    ``receive``: its SO_RCVBUF. ``segment``: its TCP_MAXSEG, 1448 to be like Ethernet on the loopback.
    ``patient``: a client that gets 503 comes back after Retry-After.
    """

    name: str = "all"
    count: int = 1
    targets: tuple[str, ...] = ("/",)
    sources: tuple[str, ...] = ()
    span: int | None = None
    stall: int | None = None
    hold: float | None = None
    pace: int | None = None
    drip: float | None = None
    head: int | None = None
    receive: int | None = None
    segment: int | None = None
    again: Again = Again.NEVER
    patient: bool = False


class RunningGroup:
    """A group in the process of the clients.

    ``counts``: its clients by state, and its ended requests by end. ``whole_from``: complete responses by source
    address. ``waits_seconds``: for each response, the time from connecting to its head.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.stall, self.pace = group.stall, group.pace
        self.counts: Counter[str] = Counter()
        self.whole_from: Counter[str] = Counter()
        self.waits_seconds: list[float] = []
        self.clients: set[Client] = set()
        self.closed = False


class Loop(Protocol):
    """What a client needs of its event loop."""

    address: tuple[str, int]
    body: Body
    poll: select.epoll
    clients: dict[int, Client]
    taken_bytes: int
    wrong: str

    def after(self, seconds: float, call: Callable[[], None]) -> None: ...
    def join(self, group: RunningGroup, number: int) -> None: ...


class Client:
    """The connection of the ``number``-th client of a group. It reads ``[first, stop)`` of the file, and is ``at``.

    ``stop`` is None if the response does not tell. ``pause``: where it stops reading, if anywhere.
    """

    __slots__ = (
        *("at", "connected_at", "connection", "first", "group", "loop", "number", "output"),
        *("pause", "responded_at", "source", "state", "stop", "target"),
    )

    def __init__(self, loop: Loop, group: RunningGroup, number: int) -> None:
        spec = group.group
        self.loop, self.group, self.number = loop, group, number
        self.target = spec.targets[number % len(spec.targets)]
        self.source = spec.sources[number % len(spec.sources)] if spec.sources else ""
        self.state: str | None = None
        self.output = b""
        self.first = self.at = 0
        self.stop: int | None = None
        self.pause: int | None = None
        self.connected_at = self.responded_at = 0.0
        self.connection = socket.socket()
        self.connection.setblocking(False)
        if spec.receive:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, spec.receive)
        if spec.segment:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, spec.segment)
        if self.source:
            self.connection.bind((self.source, 0))
        group.clients.add(self)
        loop.clients[self.connection.fileno()] = self

    def connect(self) -> None:
        self._move(ClientState.CONNECTING)
        self.connected_at = time.monotonic()
        if self.connection.connect_ex(self.loop.address) not in (0, errno.EINPROGRESS):
            self.finish(ClientState.CUT)
            return
        self.loop.poll.register(self.connection, select.EPOLLOUT)

    def handle(self, events: int) -> None:
        """Continue after events of epoll(7)."""
        if self.state is ClientState.RUNNING and events & select.EPOLLIN:
            self._attempt(self._read)
        elif self.state is ClientState.CONNECTING:
            self._attempt(self._start_request)
        elif self.state is ClientState.ASKING:
            self._attempt(self._read_head)
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            self.finish(ClientState.CUT)

    def resume(self) -> None:
        """Read without a pause from now on."""
        self.pause = None
        if self.state is ClientState.STALLED:
            self._move(ClientState.RUNNING)
            self.loop.poll.modify(self.connection, select.EPOLLIN)

    def close_by_reset(self) -> None:
        """Let the connection end by RST when it is closed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)

    def finish(self, end: str) -> None:
        """Close the connection. Request the target again, if the group does."""
        group = self.group
        self._move(None)
        group.counts[end] += 1
        group.clients.discard(self)
        self.loop.clients.pop(self.connection.fileno(), None)
        self.connection.close()
        match group.group.again:
            case Again.ALWAYS:
                again = not end.isdecimal()  # _reject decides after a status
            case Again.AFTER_WHOLE:
                again = end == ClientState.WHOLE
            case _:
                again = False
        if again:
            self.loop.join(group, self.number)

    def _move(self, state: ClientState | None) -> None:
        if self.state is not None:
            self.group.counts[self.state] -= 1
        self.state = state
        if state is not None:
            self.group.counts[state] += 1

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BlockingIOError:
            pass
        except OSError:
            self.finish(ClientState.CUT)
        except WrongResponse as why:
            self.loop.wrong = self.loop.wrong or f"{self.group.group.name}: {why}"
            self.finish(ClientState.WRONG)

    def _start_request(self) -> None:
        if self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.finish(ClientState.CUT)
            return
        spec = self.group.group
        self.stop = self.loop.body.size(self.target)
        fields = ""
        if spec.span is not None:
            assert self.stop is not None, "a span needs files to compare with"
            self.first = self.number * spec.span % (self.stop - spec.span + 1)
            self.stop = self.first + spec.span
            fields = f"Range: bytes={self.first}-{self.stop - 1}\r\n"
        self.at = self.first
        if self.group.stall is not None:
            self.pause = self.first + self.group.stall
        host = self.loop.address[0]
        head = f"GET {self.target} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n".encode()
        self.output = head[: spec.head]
        self._move(ClientState.ASKING)
        self.loop.poll.modify(self.connection, select.EPOLLIN)
        self._send_head()

    def _send_head(self) -> None:
        """Send the head, at once or byte by byte."""
        if self.state is ClientState.ASKING and self.output:
            self._attempt(self._send)
            if self.output:
                self.loop.after(self.group.group.drip or 0.0, self._send_head)

    def _send(self) -> None:
        sent = self.connection.send(self.output if self.group.group.drip is None else self.output[:1])
        self.output = self.output[sent:]

    def _read_head(self) -> None:
        """Read the head of the response, and no byte of its body."""
        arrived = self.connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
        end = arrived.find(b"\r\n\r\n")
        if end < 0:
            if not arrived:
                self.finish(ClientState.CUT)
            elif len(arrived) == _HEAD_BYTES:
                raise WrongResponse("a head without an end")
            return
        lines = self.connection.recv(end + 4).decode("latin-1").split("\r\n")
        status = lines[0].partition(" ")[2][:3]
        if not (status.isdecimal() and lines[0].startswith("HTTP/1.")):
            raise WrongResponse(f"no response of HTTP/1: {lines[0]!r}")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if status not in ("200", "206"):
            self._reject(status, fields.get("retry-after", ""))
            return
        length = int(fields["content-length"]) if "content-length" in fields else None
        if self.stop is None:
            self.stop = length
        elif status != ("200" if self.group.group.span is None else "206") or length != self.stop - self.first:
            raise WrongResponse(f"{status} with {length} bytes of {self.stop - self.first}")
        self.responded_at = time.monotonic()
        self.group.waits_seconds.append(self.responded_at - self.connected_at)
        self._move(ClientState.RUNNING)
        if self.group.pace is None:
            self._read()
        else:
            self.loop.poll.modify(self.connection, 0)
            self._read_at_pace()

    def _reject(self, status: str, retry_after: str) -> None:
        if status == "503" and not retry_after.isdecimal() and self.stop is not None:
            raise WrongResponse(f"503 with Retry-After: {retry_after!r}")
        self.finish(status)
        group, number = self.group, self.number
        if group.group.patient and status == "503":
            group.counts[ClientState.AWAY] += 1

            def come_back() -> None:
                group.counts[ClientState.AWAY] -= 1
                self.loop.join(group, number)

            self.loop.after(float(retry_after), come_back)
        elif group.group.again is Again.ALWAYS:
            self.loop.join(group, number)

    def _read(self, most: int | None = None) -> None:
        """Read what has arrived, ``most`` bytes at most."""
        body, at, stop = self.loop.body, self.at, self.stop
        if most is None or most > body.read_bytes:
            most = body.read_bytes
        if self.pause is not None:
            most = min(most, self.pause - at)
        count = body.read(self.connection, self.target, at, stop, most)
        if not count:
            self.finish(ClientState.WHOLE if stop is None else ClientState.CUT)
            return
        self.at = at + count
        self.loop.taken_bytes += count
        if self.at == stop:
            self.group.whole_from[self.source] += 1
            self.finish(ClientState.WHOLE)
        elif self.at == self.pause:
            self._move(ClientState.STALLED)
            self.loop.poll.modify(self.connection, 0)
            if self.group.group.hold is not None:
                self.loop.after(self.group.group.hold, self.resume)

    def _read_at_pace(self) -> None:
        if self.state is not ClientState.RUNNING:
            return
        pace = self.group.pace
        if pace is None:
            self.loop.poll.modify(self.connection, select.EPOLLIN)
            return
        due = int((time.monotonic() - self.responded_at) * pace) - (self.at - self.first)
        if due > 0:
            self._attempt(partial(self._read, due))
        if self.state is ClientState.RUNNING:
            self.loop.after(_pace_seconds(pace), self._read_at_pace)


def _pace_seconds(pace: int) -> float:
    """Return how often a client reads. Quick ones read often, so that the bytes in between fit their receive window.

    Slow ones read rarely, so that thousands can.
    """
    if pace >= _QUICK_PACE:
        return 0.002
    return 0.05 if pace >= _SLOW_PACE else 0.5
