"""Many connections that each follow a script: what to say first, and then again and again. One epoll loop."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

RECEIVE_BYTES = 1 << 16
BEGUN_AT_ONCE = 16  # connections; more would only wait in the backlog, as would those of everybody else
PAUSE_SECONDS = 0.02  # for a connection that was refused, and between looks at those that send at a pace of their own


class Reconnect(Enum):
    """When an attacker leaves a connection and begins again."""

    NEVER = "never"
    WHEN_ENDED = "when it was ended"
    AFTER_EACH = "after each part of the attack"


@dataclass(frozen=True, slots=True)
class Say:
    """What a script says next. ``reads``: what the server has to say meanwhile is taken; ``pause_seconds``: and then
    nothing is said for so long; ``leaves``: and then the attacker closes the connection, and opens another.
    """

    data: bytes
    reads: bool = True
    pause_seconds: float = 0.0
    leaves: bool = False


Script = Callable[[bytes], Iterator[Say]]
"""One connection's attack, from its first byte on, for a path. An attack that ends waits for its connection's end."""


@dataclass(slots=True)
class Told:
    """What an attack came to. ``ended``: connections that the server ended, or would not begin."""

    sent_bytes: int = 0
    received_bytes: int = 0
    parts: int = 0
    begun: int = 0
    ended: int = 0
    cpu_seconds: float = 0.0


class _Connection:
    """One attacker. None of its calls waits."""

    __slots__ = ("after", "leaves", "left", "looks", "parts", "reads", "script", "sock", "told")

    def __init__(self, script: Iterator[Say], sock: socket.socket, told: Told) -> None:
        self.script: Iterator[Say] | None = script
        self.sock = sock
        self.told = told
        self.left = memoryview(b"")
        self.reads = True
        self.after = 0.0  # nothing is said before
        self.parts = 0  # that were said whole
        self.leaves = False  # with the present part
        self.looks = 0  # what epoll looks for

    def wants(self, now: float) -> int:
        """What it waits for: to read, to write."""
        writes = select.EPOLLOUT if self.script is not None and self.after <= now else 0
        return writes | (select.EPOLLIN if self.reads else 0)

    def speak(self, now: float) -> None:
        """Say as much as the kernel takes. Raises OSError."""
        if not self.left:
            said = next(self.script, None) if self.script is not None else None
            if said is None:
                self.script = None
                return
            self.left, self.reads, pause = memoryview(said.data), said.reads, said.pause_seconds
            self.leaves = said.leaves
            self.after = now + pause if pause else 0.0
        sent = self.sock.send(self.left)
        self.told.sent_bytes += sent
        self.left = self.left[sent:]
        if not self.left:
            self.parts += 1
            self.told.parts += 1

    def hear(self) -> bool:
        """Take what has come; False at the end. Raises OSError."""
        data = self.sock.recv(RECEIVE_BYTES)
        self.told.received_bytes += len(data)
        return bool(data)


def drive(
    script: Script, host: str, port: int, seconds: float, connections: int, path: str, reconnect: Reconnect
) -> Told:
    """Attack for so many seconds by so many connections at a time."""
    told, standing = Told(), dict[int, _Connection]()
    end = time.monotonic() + seconds
    begins = 0.0
    with select.epoll() as poll:
        while (now := time.monotonic()) < end:
            missing = connections - len(standing) if reconnect is not Reconnect.NEVER or not told.begun else 0
            for _ in range(min(missing, BEGUN_AT_ONCE) if now >= begins else 0):
                begun = _begin(script(path.encode()), host, port, told)
                if begun is None:
                    begins = now + PAUSE_SECONDS
                    break
                standing[begun.sock.fileno()] = begun
                poll.register(begun.sock.fileno(), 0)
            for fd, each in standing.items():
                if (wanted := each.wants(now)) != each.looks:
                    each.looks = wanted
                    poll.modify(fd, wanted)
            for fd, events in poll.poll(PAUSE_SECONDS):
                each = standing[fd]
                if not _goes_on(each, events, now, reconnect):
                    poll.unregister(fd)
                    each.sock.close()
                    del standing[fd]
    for each in standing.values():
        each.sock.close()
    told.cpu_seconds = time.process_time()
    return told


def _begin(script: Iterator[Say], host: str, port: int, told: Told) -> _Connection | None:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    try:
        with suppress(BlockingIOError):
            sock.connect((host, port))
    except OSError:
        sock.close()
        told.ended += 1
        return None
    told.begun += 1
    return _Connection(script, sock, told)


def _goes_on(each: _Connection, events: int, now: float, reconnect: Reconnect) -> bool:
    """Let one act. False: it is over."""
    try:
        if events & select.EPOLLIN and not each.hear():
            each.told.ended += 1
            return False
        if events & select.EPOLLOUT:
            each.speak(now)
    except BlockingIOError:
        return True
    except OSError:
        each.told.ended += 1
        return False
    if events & (select.EPOLLERR | select.EPOLLHUP):
        each.told.ended += 1
        return False
    if each.leaves and not each.left:
        return False
    # The first part says hello; the second is the attack.
    return reconnect is not Reconnect.AFTER_EACH or each.parts < 2
