"""Clients that ask for little, often: ranges as fast as they are answered, or something at a steady pace, timed."""

from __future__ import annotations

import os
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from .client import CLOSE, LENGTH, TRASH, Client, Spec, opened, request, tell, trusting

VISIT_SECONDS = 5.0


class Closed(Exception):
    """The server closed a kept-alive connection between two answers, as it may (nginx does after 1,000)."""


def ask(client: Client, spec: Spec, dice: random.Random) -> None:
    start = dice.randrange(spec.size - spec.step)
    client.ask(spec, f"Range: bytes={start}-{start + spec.step - 1}\r\n")


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
        client = Client(spec)
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
        return timed(Client(spec), spec, dice)
    return client


def paced(spec: Spec, once: Callable[[], object], failures: Counter[str] | None = None) -> None:
    """Do ``once`` at a pace, and time it; what was due while its predecessor still ran counts from when it was due.

    Nothing is begun after the end. What was due and could not be begun is counted too: it has waited as long, at least.
    """
    # What the answer takes to come is the server's; what this process waits for a core is not.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    times = []
    due = time.monotonic()
    start, end = due + spec.warm, due + spec.warm + spec.seconds
    free = due
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        # A late wake-up of this process is not the server's; a late answer is.
        since = due if free > due else time.monotonic()
        if since < end > free:
            once()
        free = time.monotonic()
        if due >= start:
            times.append((since, free - since))
        due += 1 / spec.pace
    tell(event="end", latencies=times, failures=dict(failures or {}))


def steady(spec: Spec) -> None:
    """Time ranges on one connection."""
    dice, client = random.Random(2), Client(spec)

    def once() -> None:
        nonlocal client
        client = timed(client, spec, dice)

    paced(spec, once)


def knock(spec: Spec) -> None:
    """Time whole small files, each from before its own connection is made until the server has closed that.

    One that gets nothing for 30 s gives up, and counts with what it has waited.
    """

    def once() -> None:
        with suppress(TimeoutError), Client(spec) as client:
            client.ask(spec)
            while count := client.take():
                if count < 0:
                    raise SystemExit("a small file was refused")
            if not 0 < client.whole == client.taken:
                raise SystemExit(f"a small file ended after {client.taken} bytes")

    paced(spec, once)


def connect(spec: Spec) -> socket.socket:
    """A connection for :func:`visit`, over TLS where that is spoken. Raises OSError."""
    sock = opened(spec, 0)
    sock.settimeout(VISIT_SECONDS)
    try:
        sock.connect((spec.address, spec.port))
        return trusting().wrap_socket(sock) if spec.tls else sock
    except OSError:
        sock.close()
        raise


def fetch_small(sock: socket.socket, spec: Spec, more: str) -> int:
    """The status of one whole answer. Raises Closed where nothing came, OSError where it is not whole."""
    sock.sendall(request(spec, spec.names[0], more))
    data = b""
    while b"\r\n\r\n" not in data:
        if not (came := sock.recv(65536)):
            if data:
                raise ConnectionResetError
            raise Closed
        data += came
    head, _, rest = data.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    left = (int(length[1]) if length else 0) - len(rest)
    while left > 0:
        if not (came := sock.recv(65536)):
            raise ConnectionResetError
        left -= len(came)
    return int(head[9:12])


def visit(spec: Spec) -> None:
    """Time whole small files, by a new connection and by one that is kept, in turn. What fails is counted by its kind.

    A failure counts with the time that it took, ``VISIT_SECONDS`` at most.
    """
    failures: Counter[str] = Counter()
    kept: socket.socket | None = None
    visits = 0

    def once() -> None:
        nonlocal kept, visits
        visits += 1
        try:
            if visits % 2:
                with connect(spec) as fresh:
                    status = fetch_small(fresh, spec, CLOSE)
            else:
                kept = kept or connect(spec)
                try:
                    status = fetch_small(kept, spec, "")
                except (Closed, ConnectionResetError, BrokenPipeError):  # a server may close one between two answers
                    kept.close()
                    kept = connect(spec)
                    status = fetch_small(kept, spec, "")
        except (OSError, Closed) as error:
            if kept is not None and not visits % 2:
                kept.close()
                kept = None
            failures["no answer in time" if isinstance(error, TimeoutError) else "cut"] += 1
            return
        if status != 200:
            failures[str(status)] += 1

    paced(spec, once, failures)
