"""Clients that mean harm: many connections, each as slow as it can be."""

from __future__ import annotations

import select
import socket
import sys
import time
from contextlib import suppress

from .client import Spec, opened, request, tell

ENDLESS = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Fill: "
TICK = 0.02


class Attacker:
    """One connection; made anew when the server has ended it. None of its calls waits: others have their turns."""

    __slots__ = ("ended", "number", "rest", "sock", "spec")

    def __init__(self, spec: Spec, number: int) -> None:
        self.spec, self.number, self.ended = spec, number, 0
        self.connect()

    def connect(self) -> None:
        head = ENDLESS if self.spec.mode == "drip" else request(self.spec, self.spec.names[0])
        self.rest = head  # of the head, what has not been sent
        self.sock: socket.socket | None = opened(self.spec, self.number)
        self.sock.setblocking(False)
        with suppress(OSError):  # it goes on by itself; how it ends is seen at the next turn
            self.sock.connect((self.spec.address, self.spec.port))

    def act(self) -> None:
        """Send a byte, or take one."""
        if self.sock is None:
            self.connect()
            return
        try:
            alive = self.drip(self.sock) if self.spec.mode == "drip" else self.sip(self.sock)
        except BlockingIOError:  # not connected yet, or nothing there
            return
        except OSError:
            alive = False
        if not alive:
            self.ended += 1
            self.sock.close()
            self.sock = None

    def drip(self, sock: socket.socket) -> bool:
        sock.send(self.rest[:1] or b"x")
        self.rest = self.rest[1:]
        return True

    def sip(self, sock: socket.socket) -> bool:
        if self.rest:
            self.rest = self.rest[sock.send(self.rest) :]
            return True
        return bool(sock.recv(1))

    @property
    def standing(self) -> bool:
        """Whether it is connected, as far as it knows."""
        with suppress(OSError):
            return self.sock is not None and bool(self.sock.getpeername())
        return False


def attack(spec: Spec) -> None:
    """Each connection acts once a second, evenly over the second, until a line comes; tell how many stand then.

    The attack has begun when each has had a turn: those that are not connected then, the server keeps outside.
    """
    attackers = [Attacker(spec, number) for number in range(spec.clients)]
    share = max(1, round(spec.clients * TICK))
    at, due, spent = 0, time.monotonic(), time.process_time()
    end = due + spec.warm + spec.seconds
    while due < end and not select.select([sys.stdin], [], [], 0)[0]:
        time.sleep(max(0.0, due - time.monotonic()))
        for number in range(at, at + share):
            attackers[number % spec.clients].act()
        if at < spec.clients <= at + share:
            tell(event="begin")
        at += share
        due += share / spec.clients
    # One whose connection the server has ended, and whose next turn has not come, is not counted.
    standing = sum(attacker.standing for attacker in attackers)
    ended = sum(attacker.ended for attacker in attackers)
    tell(event="end", standing=standing, ended=ended, cpu_seconds=time.process_time() - spent)
