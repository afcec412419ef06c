"""One client: it requests a file on its own connection, and reads it fast, slowly, or not at all."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from enum import StrEnum

_TRASH = bytearray(1 << 20)
_HEAD_BYTES = 4096
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWERED = re.compile(rb"HTTP/1\.[01] 20[06] ")


class At(StrEnum):
    """The state of a client; from ``WHOLE`` on, how its request ended."""

    CONNECTING = "connecting"
    ASKING = "asking"  # no answer yet: it may wait in the server's queue
    RUNNING = "running"
    STALLED = "stalled"  # it has read what it should, and reads no more
    WHOLE = "whole"
    REFUSED = "refused"  # an answer that is neither 200 nor 206
    CUT = "cut"  # the connection ended before the body


ENDS = frozenset({At.WHOLE, At.REFUSED, At.CUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a client behaves. Sizes in bytes.

    ``stall``: it stops reading after this much of the body, until it is told to go on; -1: never. ``pace``: bytes per
    second that it reads; 0: all that comes. ``again``: when it has all, it requests the file again on a new connection.
    ``receive``: its SO_RCVBUF; ``segment``: its TCP_MAXSEG, 1448 to be like Ethernet on the loopback; 0: the default.
    """

    stall: int = -1
    pace: int = 0
    again: bool = False
    receive: int = 0
    segment: int = 0


class Client:
    """A connection and its response. ``taken`` counts bytes of the body; ``length`` is Content-Length, -1 if unknown.

    It begins to connect when it is made; ``wait_seconds`` is the time from then to the first byte.
    """

    __slots__ = ("at", "host", "length", "manner", "sock", "started_seconds", "taken", "wait_seconds")

    def __init__(self, host: str, port: int, manner: Manner) -> None:
        self.at, self.host, self.manner = At.CONNECTING, host, manner
        self.taken, self.length, self.wait_seconds = 0, -1, 0.0
        self.started_seconds = time.monotonic()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if manner.receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, manner.receive)
        if manner.segment:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, manner.segment)
        self.sock.connect_ex((host, port))  # whether it succeeds is seen when the request is sent

    def ask(self, target: str) -> None:
        """Send the request, when the connection is established or has failed."""
        try:
            self.sock.send(f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
            self.at = At.ASKING
        except OSError:
            self._end(At.CUT)

    def take(self) -> int:
        """Read what is there and may be read now. Return the bytes of the body."""
        try:
            if self.at is At.ASKING:
                count = self._begin(self.sock.recv(_HEAD_BYTES))
            elif (limit := self._limit()) > 0:
                # The kernel discards the bytes instead of copying them (MSG_TRUNC, tcp(7)): clients cost little.
                count = self.sock.recv_into(_TRASH, limit, socket.MSG_TRUNC)
                if not count:
                    self._end(At.WHOLE if self.length < 0 else At.CUT)
            else:
                return 0
        except BlockingIOError:
            return 0
        except OSError:
            self._end(At.CUT)
            return 0
        self.taken += count
        if self.at is At.RUNNING:
            if 0 <= self.length <= self.taken:
                self._end(At.WHOLE)
            elif 0 <= self.manner.stall <= self.taken:
                self.at = At.STALLED
        return count

    def go(self) -> None:
        """Read all that comes from now on."""
        self.manner = Manner()
        if self.at is At.STALLED:
            self.at = At.RUNNING

    def leave(self) -> None:
        """Close the connection, whatever its state."""
        self.sock.close()

    def _begin(self, data: bytes) -> int:
        """Read a response's head, which every server here sends in one piece. Return the bytes of body after it."""
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank or not _ANSWERED.match(head):
            self._end(At.REFUSED if head.startswith(b"HTTP/1.") else At.CUT)
            return 0
        self.at, self.wait_seconds = At.RUNNING, time.monotonic() - self.started_seconds
        if length := _LENGTH.search(head):
            self.length = int(length[1])
        return len(body)

    def _limit(self) -> int:
        if self.manner.stall >= 0:
            return min(len(_TRASH), self.manner.stall - self.taken)
        if self.manner.pace:
            due = (time.monotonic() - self.started_seconds) * self.manner.pace
            return min(len(_TRASH), int(due) - self.taken)
        return len(_TRASH)

    def _end(self, at: At) -> None:
        self.at = at
        self.sock.close()
