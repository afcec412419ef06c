"""Clients that mean harm: many connections, each as slow as it can be."""

from __future__ import annotations

import select
import sys
import time
from contextlib import suppress

from .client import Client, Spec, joined, tell

ENDLESS = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Fill: "
TICK = 0.02


class Attacker:
    """One connection; made anew when the server has ended it."""

    __slots__ = ("client", "ended", "number", "sent", "spec")

    def __init__(self, spec: Spec, number: int) -> None:
        self.spec, self.number, self.sent, self.ended = spec, number, 0, 0
        self.client: Client | None = None
        self.connect()

    def connect(self) -> None:
        self.sent = 0
        with suppress(OSError):
            if self.spec.mode == "sip":
                self.client = joined(self.spec, self.number)
                return
            self.client = Client(self.spec, self.number)
            self.client.sock.setblocking(False)

    def act(self) -> None:
        """Send a byte, or take one."""
        if self.client is None:
            self.connect()
        elif not (self.drip(self.client) if self.spec.mode == "drip" else self.sip(self.client)):
            self.ended += 1
            self.client.sock.close()
            self.client = None

    def drip(self, client: Client) -> bool:
        try:
            client.sock.send(ENDLESS[self.sent : self.sent + 1] or b"x")
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.sent += 1
        return True

    def sip(self, client: Client) -> bool:
        try:
            return bool(client.sock.recv(1))
        except BlockingIOError:
            return True
        except OSError:
            return False


def attack(spec: Spec) -> None:
    """Each connection acts once a second, evenly over the second, until a line comes; tell how many stand then."""
    attackers = [Attacker(spec, number) for number in range(spec.clients)]
    tell(event="begin")
    share = max(1, round(spec.clients * TICK))
    at, due, spent = 0, time.monotonic(), time.process_time()
    end = due + spec.warm + spec.seconds
    while due < end and not select.select([sys.stdin], [], [], 0)[0]:
        time.sleep(max(0.0, due - time.monotonic()))
        for number in range(at, at + share):
            attackers[number % spec.clients].act()
        at += share
        due += share / spec.clients
    # One whose connection the server has ended, and whose next turn has not come, is not counted.
    standing = sum(attacker.client is not None for attacker in attackers)
    ended = sum(attacker.ended for attacker in attackers)
    tell(event="end", standing=standing, ended=ended, cpu_seconds=time.process_time() - spent)
