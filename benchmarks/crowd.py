"""The clients, as a process of their own: one epoll loop, bodies discarded in the kernel (MSG_TRUNC, tcp(7)).

Takes a :class:`Spec` as JSON in its only argument; tells what happens as JSON, a line an event, on its output. Every
mode ends by itself after ``warm + seconds``.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from .launch import HOT, raise_descriptor_limit

TRASH = bytearray(4 << 20)
GET = "GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n"
CLOSE = "Connection: close\r\n"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a crowd does. Times are seconds, sizes bytes.

    ``mode``: flood (all take what they can), slow (``step`` bytes a second each), stall (``step`` bytes, then
    nothing), ranges (random ranges of ``step`` bytes on kept-alive connections), steady (the same on one connection,
    ``pace`` a second, timed). ``names`` are asked for in turn; ``once`` ends a flood when each client has its file.
    ``mss`` makes the loopback behave like Ethernet, ``receive`` is each client's SO_RCVBUF; 0 leaves them.
    """

    mode: str
    port: int
    clients: int = 1
    warm: float = 1.0
    seconds: float = 4.0
    step: int = 65536
    size: int = 0
    pace: float = 500.0
    mss: int = 0
    receive: int = 0
    names: tuple[str, ...] = (HOT,)
    once: bool = False

    def json(self) -> str:
        return json.dumps(asdict(self))


class Client:
    """One connection: what it has had of the answer it waits for."""

    __slots__ = ("name", "sock", "taken")

    def __init__(self, spec: Spec, name: str, more: str = CLOSE) -> None:
        self.name, self.taken = name, 0
        self.sock = socket.socket()
        if spec.mss:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, spec.mss)
        if spec.receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, spec.receive)
        self.sock.settimeout(30)
        self.sock.connect(("127.0.0.1", spec.port))
        if spec.mode in ("flood", "slow", "stall"):
            self.sock.send(GET.format(name=name, more=more).encode())
            self.sock.setblocking(False)

    def take(self, limit: int = len(TRASH)) -> int | None:
        """Take what is there, up to ``limit`` bytes: how many; 0 at the end, -1 if wrong, None for not yet."""
        try:
            if self.taken:
                count = self.sock.recv_into(TRASH, limit, socket.MSG_TRUNC)
            else:
                head = self.sock.recv(min(limit, 4096))
                count = len(head) if not head or head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")) else -1
        except BlockingIOError:
            return None
        except OSError:
            count = 0
        self.taken += max(count, 0)
        return count


def tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def flood(spec: Spec) -> None:
    """Count the bytes that come between the end of the warm-up and the end of the window."""
    poll, clients = select.epoll(), {}

    def join(name: str) -> None:
        client = Client(spec, name)
        clients[client.sock.fileno()] = client
        poll.register(client.sock, select.EPOLLIN)

    for number in range(spec.clients):
        join(spec.names[number % len(spec.names)])
    total = failures = finished = 0
    spent = time.process_time()
    begin = time.monotonic() + spec.warm
    end, begun = begin + spec.seconds, False
    while (now := time.monotonic()) < end and clients:
        if not begun and now >= begin:
            begun, total, begin, spent = True, 0, now, time.process_time()
            tell(event="begin")
        for fd, _ in poll.poll(0.1):
            count = clients[fd].take()
            if count is None:
                continue
            total += max(count, 0)
            if count <= 0:
                failures += count < 0 or not clients[fd].taken
                finished += 1
                name = clients[fd].name
                clients.pop(fd).sock.close()
                if not spec.once:
                    join(name)
    counts = {"bytes": total, "seconds": now - begin, "failures": failures, "finished": finished}
    tell(event="end", begin=begin, end=now, cpu_seconds=time.process_time() - spent, **counts)


def linger(spec: Spec) -> None:
    """Slow and stalled clients: tell when every one's body has begun (and, stalled, has come as far as it should)."""
    clients = [Client(spec, spec.names[number % len(spec.names)]) for number in range(spec.clients)]
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


class Closed(Exception):
    """The server closed a kept-alive connection between two answers, as it may (nginx does after 1,000)."""


def ask(client: Client, spec: Spec, dice: random.Random) -> None:
    start = dice.randrange(spec.size - spec.step)
    more = f"Range: bytes={start}-{start + spec.step - 1}\r\n"
    client.sock.sendall(GET.format(name=client.name, more=more).encode())
    client.taken = 0


def answered(client: Client, spec: Spec) -> bool:
    """Take what is there of one answer; whether it is whole. ``taken`` counts the body once the head has come."""
    if not client.taken:
        head, _, rest = client.sock.recv(4096).partition(b"\r\n\r\n")
        if not head:
            raise Closed
        if not head.startswith(b"HTTP/1.1 206"):
            raise SystemExit(f"wrong answer to a range: {head[:60]!r}")
        client.taken = len(rest)
        if rest:
            return client.taken >= spec.step
    count = client.sock.recv_into(TRASH, spec.step - client.taken, socket.MSG_TRUNC)
    if not count:
        raise SystemExit("the connection ended within a range")
    client.taken += count
    return client.taken >= spec.step


def ranges(spec: Spec) -> None:
    """Count the ranges that are answered in the window, each client asking again as soon as it has one."""
    dice, poll, clients = random.Random(1), select.epoll(), {}

    def join() -> None:
        client = Client(spec, spec.names[0])
        clients[client.sock.fileno()] = client
        poll.register(client.sock, select.EPOLLIN)
        ask(client, spec, dice)

    for _ in range(spec.clients):
        join()
    done, begun = 0, False
    begin = time.monotonic() + spec.warm
    end = begin + spec.seconds
    while (now := time.monotonic()) < end:
        if not begun and now >= begin:
            begun, done, begin = True, 0, now
            tell(event="begin")
        for fd, _ in poll.poll(0.1):
            try:
                if answered(clients[fd], spec):
                    done += 1
                    ask(clients[fd], spec, dice)
            except (Closed, OSError):
                clients.pop(fd).sock.close()
                join()
    tell(event="end", requests=done, seconds=time.monotonic() - begin)


def timed(client: Client, spec: Spec, dice: random.Random) -> Client:
    """One range, whole; on a new connection where the old one had been closed."""
    try:
        ask(client, spec, dice)
        while not answered(client, spec):
            pass
    except (Closed, OSError):
        client.sock.close()
        return timed(Client(spec, client.name), spec, dice)
    return client


def steady(spec: Spec) -> None:
    """Time ranges asked for at a pace. One that was due while its predecessor still ran counts from when it was due."""
    # What the answer takes to come is the server's; what this process waits for a core is not.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    dice, times = random.Random(2), []
    client = Client(spec, spec.names[0])
    due = time.monotonic()
    start, end = due + spec.warm, due + spec.warm + spec.seconds
    free = due
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        # A late wake-up of this process is not the server's; a late answer is.
        since = due if free > due else time.monotonic()
        client = timed(client, spec, dice)
        free = time.monotonic()
        if due >= start:
            times.append((since, free - since))
        due += 1 / spec.pace
    tell(event="end", latencies=times)


MODES = {"flood": flood, "slow": linger, "stall": linger, "ranges": ranges, "steady": steady}


def main() -> None:
    raise_descriptor_limit()
    fields = json.loads(sys.argv[1])
    spec = Spec(**{**fields, "names": tuple(fields["names"])})
    MODES[spec.mode](spec)


if __name__ == "__main__":
    main()
