"""Clients whose kernel discards the bodies (MSG_TRUNC, tcp(7)).

They do not use :mod:`freight.tools.loadgen`: their CPU time is one of the figures, and over TLS they count the bytes on
the wire.
"""

from __future__ import annotations

import select
import time
from collections import Counter

from .client import Client, Spec, connect, send_event

PACE_SECONDS = 0.001
PACED_BYTES = 256 * 1024  # most that one read takes if ``rate`` limits the clients


class ReadyClients:
    """The clients by descriptor, and the epoll(7) that tells which of them have bytes to read."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.poll = spec, select.epoll()
        self.clients: dict[int, Client] = {}
        self.ciphers: set[str] = set()

    def join(self, number: int) -> None:
        client = connect(self.spec, number)
        self.clients[client.sock.fileno()] = client
        self.ciphers |= {client.cipher} - {""}
        self.poll.register(client.sock, select.EPOLLIN)

    def close(self, client: Client) -> None:
        del self.clients[client.sock.fileno()]
        client.sock.close()

    def wait(self) -> list[Client]:
        """Return the clients with bytes to read, after at most 0.1 s."""
        return [self.clients[fd] for fd, _ in self.poll.poll(0.1)]


def flood(spec: Spec) -> None:
    """Count the bytes that arrive between the end of the warm-up and the end of the window, by source address too."""
    ready = ReadyClients(spec)
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
            send_event(event="begin")
        if spec.rate and taken > (now - start) * spec.rate:
            time.sleep(PACE_SECONDS)
            continue
        for client in ready.wait():
            count = client.read(PACED_BYTES) if spec.rate else client.read()
            if count is None:
                continue
            taken += max(count, 0)
            total[client.source] += max(count, 0)
            if count <= 0:
                failures += count < 0 or client.taken < max(client.whole, 1)
                finished += 1
                ready.close(client)
                if not spec.once:
                    ready.join(client.number)
    counts = {"bytes": total.total(), "seconds": now - begin, "failures": failures, "finished": finished}
    spent = time.process_time() - spent
    details = {"by_source": dict(total), "cipher": ", ".join(sorted(ready.ciphers))}
    send_event(event="end", begin=begin, end=now, cpu_seconds=spent, **details, **counts)


def fetch(spec: Spec) -> None:
    """Start all at once, with one file each. Report the waits for the first byte, and how many files are complete."""
    ready, asked = ReadyClients(spec), {}
    begin = time.monotonic()
    for number in range(spec.clients):
        asked[number] = time.monotonic()
        ready.join(number)
    send_event(event="begin")
    waits: list[float] = []
    total = whole = refused = 0
    now, end = begin, begin + spec.seconds
    while now < end and ready.clients:
        for client in ready.wait():
            first = not client.taken
            count = client.read()
            if count is None:
                continue
            if first and count > 0:
                waits.append(time.monotonic() - asked[client.number])
            total += max(count, 0)
            if count <= 0:
                refused += count < 0
                whole += 0 < client.whole == client.taken
                ready.close(client)
        now = time.monotonic()
    send_event(event="end", seconds=now - begin, bytes=total, whole=whole, refused=refused, waits=waits)


def linger(spec: Spec) -> None:
    """Run slow or stalled clients. Report when every body has begun, or has reached ``step`` bytes if they stall."""
    clients = [connect(spec, number) for number in range(spec.clients)]
    end = time.monotonic() + spec.warm + spec.seconds
    has_begun, failures = False, 0
    while (now := time.monotonic()) < end:
        for client in clients:
            if spec.mode == "slow" or client.taken < spec.step:
                failures += client.read(spec.step if spec.mode == "slow" else spec.step - client.taken) == -1
        goal = 1 if spec.mode == "slow" else spec.step
        begun = sum(client.taken >= goal for client in clients)
        if not has_begun and begun + failures >= spec.clients:
            has_begun = True
            send_event(event="begin", begun=begun, failures=failures)
        time.sleep(max(0.0, now + (1.0 if has_begun else 0.05) - time.monotonic()))
    send_event(event="end")
