"""Clients that stop during the download until a line of input lets them continue, and compare every byte.

They do not use :mod:`freight.tools.loadgen`, because some of the compared servers send chunked bodies without a length.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from .client import Client, Spec, connect, send_event
from .response import ComparedResponse, WrongResponse

READ_BYTES = 1 << 18
QUIET_SECONDS = 1.5
"""After this long without a byte, clients without a response count as queued: a server may run fewer than ask."""


class StallingClient:
    """One client and its response. ``error`` is the reason why it has none."""

    __slots__ = ("answer", "client", "error")

    def __init__(self, spec: Spec, number: int, content: bytes) -> None:
        self.client: Client = connect(spec, number)
        self.answer = ComparedResponse(content)
        self.error = ""

    def read(self, limit: int) -> bool:
        """Read up to ``limit`` bytes. Return whether more may arrive."""
        try:
            data = self.client.sock.recv(min(READ_BYTES, limit))
            self.answer.feed(data)
        except BlockingIOError:
            return True
        except (OSError, WrongResponse) as error:
            data, self.error = b"", str(error)
        if not data and not self.answer.is_complete:
            self.error = self.error or f"the connection ended after {self.answer.taken} bytes"
        return bool(data) and not self.answer.is_complete


def hold(spec: Spec) -> None:
    """Read ``step`` bytes each, wait for a line of input, and read the rest. Report how many got every byte right."""
    content = Path(spec.content).read_bytes()
    end = time.monotonic() + spec.warm + spec.seconds
    holders = [StallingClient(spec, number, content) for number in range(spec.clients)]
    advance(holders, spec.step, min(end, time.monotonic() + spec.seconds), QUIET_SECONDS)
    begun = sum(not holder.error and holder.answer.taken > 0 for holder in holders)
    send_event(event="begin", begun=begun, failures=sum(bool(holder.error) for holder in holders))
    sys.stdin.readline()
    start = time.monotonic()
    advance(holders, len(content) + 1, end, spec.seconds)
    right = sum(holder.answer.is_complete for holder in holders)
    errors = sorted({holder.error for holder in holders if holder.error})
    send_event(event="end", right=right, seconds=time.monotonic() - start, errors=errors[:3])


def advance(holders: list[StallingClient], goal: int, end: float, quiet: float) -> None:
    """Read until each has ``goal`` bytes or has ended, until ``end``, or until ``quiet`` seconds brought no byte."""
    poll = select.epoll()
    going = {
        holder.client.sock.fileno(): holder for holder in holders if not (holder.error or holder.answer.is_complete)
    }
    for fd in going:
        poll.register(fd, select.EPOLLIN)
    last = time.monotonic()
    while going and (now := time.monotonic()) < end and now - last < quiet:
        for fd, _ in poll.poll(0.1):
            holder, last = going[fd], now
            if not holder.read(goal - holder.answer.taken) or holder.answer.taken >= goal:
                poll.unregister(fd)
                del going[fd]
                if holder.error or holder.answer.is_complete:
                    holder.client.sock.close()
    poll.close()
