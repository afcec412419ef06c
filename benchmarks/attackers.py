"""Clients of the scenario ``siege``: many connections, each as slow as possible."""

from __future__ import annotations

import select
import socket
import sys
import time
from contextlib import suppress

from .client import Spec, make_socket, request, send_event

ENDLESS = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Fill: "
TICK = 0.02


class Attacker:
    """One connection, which is made again when the server has closed it. No call blocks."""

    __slots__ = ("ended", "number", "rest", "sock", "spec")

    def __init__(self, spec: Spec, number: int) -> None:
        self.spec, self.number, self.ended = spec, number, 0
        self.connect()

    def connect(self) -> None:
        head = ENDLESS if self.spec.mode == "drip" else request(self.spec, self.spec.names[0])
        self.rest = head  # the part of the head that is not sent yet
        self.sock: socket.socket | None = make_socket(self.spec, self.number)
        self.sock.setblocking(False)
        with suppress(OSError):  # it continues by itself, and the next turn sees how it ended
            self.sock.connect((self.spec.address, self.spec.port))

    def act(self) -> None:
        """Send or read one byte."""
        if self.sock is None:
            self.connect()
            return
        try:
            alive = self.drip(self.sock) if self.spec.mode == "drip" else self.sip(self.sock)
        except BlockingIOError:  # it is not connected yet, or has nothing to read
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
    def is_connected(self) -> bool:
        """Return whether it is connected, as far as this end knows."""
        with suppress(OSError):
            return self.sock is not None and bool(self.sock.getpeername())
        return False


def attack(spec: Spec) -> None:
    """Let each connection act once per second, spread evenly, until a line of input. Report how many are connected.

    The attack has begun when each has had a turn. The server has not accepted those that are not connected by then.
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
            send_event(event="begin")
        at += share
        due += share / spec.clients
    # A connection that the server has closed does not count, although its client has not noticed yet.
    standing = sum(attacker.is_connected for attacker in attackers)
    ended = sum(attacker.ended for attacker in attackers)
    send_event(event="end", standing=standing, ended=ended, cpu_seconds=time.process_time() - spent)
