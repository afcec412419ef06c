"""Clients that take whole bodies and do not look at them: they are discarded in the kernel (MSG_TRUNC, tcp(7))."""

from __future__ import annotations

import select
import time
from collections import Counter

from .client import Client, Spec, joined, tell

PACE_SECONDS = 0.001
PACED_BYTES = 256 * 1024  # at a time, by those that do not take all they can


class Ready:
    """The clients that wait for bytes, by descriptor, and the epoll that says which have some."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.poll = spec, select.epoll()
        self.clients: dict[int, Client] = {}
        self.ciphers: set[str] = set()

    def join(self, number: int) -> None:
        client = joined(self.spec, number)
        self.clients[client.sock.fileno()] = client
        self.ciphers |= {client.cipher} - {""}
        self.poll.register(client.sock, select.EPOLLIN)

    def leave(self, client: Client) -> None:
        del self.clients[client.sock.fileno()]
        client.sock.close()

    def wait(self) -> list[Client]:
        """Those with something to take, within a tenth of a second."""
        return [self.clients[fd] for fd, _ in self.poll.poll(0.1)]


def flood(spec: Spec) -> None:
    """Count the bytes that come between the end of the warm-up and the end of the window, also by source address."""
    ready = Ready(spec)
    for number in range(spec.clients):
        ready.join(number)
    total: Counter[str] = Counter()
    failures = finished = 0
    spent = time.process_time()
    begin = time.monotonic() + spec.warm
    start, taken = time.monotonic(), 0
    end, begun = begin + spec.seconds, False
    while (now := time.monotonic()) < end and ready.clients:
        if not begun and now >= begin:
            begun, begin, spent = True, now, time.process_time()
            total.clear()
            tell(event="begin")
        if spec.rate and taken > (now - start) * spec.rate:
            time.sleep(PACE_SECONDS)
            continue
        for client in ready.wait():
            count = client.take(PACED_BYTES) if spec.rate else client.take()
            if count is None:
                continue
            taken += max(count, 0)
            total[client.source] += max(count, 0)
            if count <= 0:
                failures += count < 0 or client.taken < max(client.whole, 1)
                finished += 1
                ready.leave(client)
                if not spec.once:
                    ready.join(client.number)
    counts = {"bytes": total.total(), "seconds": now - begin, "failures": failures, "finished": finished}
    spent = time.process_time() - spent
    told = {"by_source": dict(total), "cipher": ", ".join(sorted(ready.ciphers))}
    tell(event="end", begin=begin, end=now, cpu_seconds=spent, **told, **counts)


def fetch(spec: Spec) -> None:
    """All at once, each one file: how long each waited for its first byte, and how many came out whole."""
    ready, asked = Ready(spec), {}
    begin = time.monotonic()
    for number in range(spec.clients):
        asked[number] = time.monotonic()
        ready.join(number)
    tell(event="begin")
    waits: list[float] = []
    total = whole = refused = 0
    now, end = begin, begin + spec.seconds
    while now < end and ready.clients:
        for client in ready.wait():
            first = not client.taken
            count = client.take()
            if count is None:
                continue
            if first and count > 0:
                waits.append(time.monotonic() - asked[client.number])
            total += max(count, 0)
            if count <= 0:
                refused += count < 0
                whole += 0 < client.whole == client.taken
                ready.leave(client)
        now = time.monotonic()
    tell(event="end", seconds=now - begin, bytes=total, whole=whole, refused=refused, waits=waits)


def linger(spec: Spec) -> None:
    """Slow and stalled clients: tell when every one's body has begun (and, stalled, has come as far as it should)."""
    clients = [joined(spec, number) for number in range(spec.clients)]
    end = time.monotonic() + spec.warm + spec.seconds
    told = failures = 0
    while (now := time.monotonic()) < end:
        for client in clients:
            if spec.mode == "slow" or client.taken < spec.step:
                failures += client.take(spec.step if spec.mode == "slow" else spec.step - client.taken) == -1
        goal = 1 if spec.mode == "slow" else spec.step
        begun = sum(client.taken >= goal for client in clients)
        if not told and begun + failures >= spec.clients:
            told = 1
            tell(event="begin", begun=begun, failures=failures)
        time.sleep(max(0.0, now + (1.0 if told else 0.05) - time.monotonic()))
    tell(event="end")
