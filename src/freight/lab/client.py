"""One client of the crowd: it asks for a file on a connection of its own, and takes it fast, slowly, or not at all."""

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
    """What a client is at, and, from ``WHOLE`` on, what has become of its request."""

    CONNECTING = "connecting"
    ASKING = "asking"  # no answer yet: it may wait in the server's line
    RUNNING = "running"
    STALLED = "stalled"  # it has what it wanted for now, and reads no more
    WHOLE = "whole"
    REFUSED = "refused"  # an answer that is neither 200 nor 206
    CUT = "cut"  # the connection ended before the body


ENDS = frozenset({At.WHOLE, At.REFUSED, At.CUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a client behaves. Sizes in bytes.

    ``stall``: it reads so much of the body and then stands still, until told to go on; -1: it does not. ``pace``:
    bytes a second that it reads; 0: all that comes. ``again``: it asks anew, on a new connection, when it has all.
    ``receive``: its SO_RCVBUF, ``segment``: its TCP_MAXSEG, 1448 to be like Ethernet on the loopback; 0: the host's.
    """

    stall: int = -1
    pace: int = 0
    again: bool = False
    receive: int = 0
    segment: int = 0


class Client:
    """A connection and its answer. ``taken`` counts bytes of the body; ``length`` is what was promised, -1 if nothing.

    Its connection is under way when it is made, and ``wait_seconds`` is the time from then to the first byte.
    """

    __slots__ = ("at", "length", "manner", "sock", "started_seconds", "taken", "wait_seconds")

    def __init__(self, port: int, manner: Manner) -> None:
        self.at, self.manner = At.CONNECTING, manner
        self.taken, self.length, self.wait_seconds = 0, -1, 0.0
        self.started_seconds = time.monotonic()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if manner.receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, manner.receive)
        if manner.segment:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, manner.segment)
        self.sock.connect_ex(("127.0.0.1", port))  # what becomes of it is seen when it is asked

    def ask(self, target: str) -> None:
        """Send the request, once the connection stands or has failed."""
        try:
            self.sock.send(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            self.at = At.ASKING
        except OSError:
            self._end(At.CUT)

    def take(self) -> int:
        """Take what is there and may be taken now; how many bytes of the body."""
        try:
            if self.at is At.ASKING:
                count = self._begin(self.sock.recv(_HEAD_BYTES))
            elif (limit := self._limit()) > 0:
                # The kernel discards what it would have copied (MSG_TRUNC, tcp(7)): not the clients are measured.
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
        """Take all that comes from now on."""
        self.manner = Manner()
        if self.at is At.STALLED:
            self.at = At.RUNNING

    def leave(self) -> None:
        """Close the connection, whatever it is at."""
        self.sock.close()

    def _begin(self, data: bytes) -> int:
        """The beginning of an answer, its head in one piece as every server here sends it; the bytes of body in it."""
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
