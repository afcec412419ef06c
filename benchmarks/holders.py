"""Clients that stop in mid-download until they are told to go on, and compare every byte with the file."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from .answer import Answer, Wrong
from .client import Client, Spec, joined, tell

PIECE = 1 << 18
STILL = 1.5
"""Seconds without a byte after which those that have none are taken for waiting: a server may run fewer than ask."""


class Holder:
    """One client and its answer; ``error`` says why it has none."""

    __slots__ = ("answer", "client", "error")

    def __init__(self, spec: Spec, number: int, content: bytes) -> None:
        self.client: Client = joined(spec, number)
        self.answer = Answer(content)
        self.error = ""

    def take(self, limit: int) -> bool:
        """Take up to ``limit`` bytes; whether anything may still come."""
        try:
            data = self.client.sock.recv(min(PIECE, limit))
            self.answer.feed(data)
        except BlockingIOError:
            return True
        except (OSError, Wrong) as error:
            data, self.error = b"", str(error)
        if not data and not self.answer.whole:
            self.error = self.error or f"the connection ended after {self.answer.taken} bytes"
        return bool(data) and not self.answer.whole


def hold(spec: Spec) -> None:
    """Take ``step`` bytes each, tell, wait for a line, take the rest; tell how many had every byte right."""
    content = Path(spec.content).read_bytes()
    end = time.monotonic() + spec.warm + spec.seconds
    holders = [Holder(spec, number, content) for number in range(spec.clients)]
    advance(holders, spec.step, min(end, time.monotonic() + spec.seconds), STILL)
    begun = sum(not holder.error and holder.answer.taken > 0 for holder in holders)
    tell(event="begin", begun=begun, failures=sum(bool(holder.error) for holder in holders))
    sys.stdin.readline()
    start = time.monotonic()
    advance(holders, len(content) + 1, end, spec.seconds)
    right = sum(holder.answer.whole for holder in holders)
    errors = sorted({holder.error for holder in holders if holder.error})
    tell(event="end", right=right, seconds=time.monotonic() - start, errors=errors[:3])


def advance(holders: list[Holder], goal: int, end: float, still: float) -> None:
    """Take until each has ``goal`` bytes of its body or has ended, time is over, or ``still`` seconds brought none."""
    poll = select.epoll()
    going = {holder.client.sock.fileno(): holder for holder in holders if not (holder.error or holder.answer.whole)}
    for fd in going:
        poll.register(fd, select.EPOLLIN)
    last = time.monotonic()
    while going and (now := time.monotonic()) < end and now - last < still:
        for fd, _ in poll.poll(0.1):
            holder, last = going[fd], now
            if not holder.take(goal - holder.answer.taken) or holder.answer.taken >= goal:
                poll.unregister(fd)
                del going[fd]
                if holder.error or holder.answer.whole:
                    holder.client.sock.close()
    poll.close()
