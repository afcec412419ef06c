"""Clients with small requests at a steady pace, which are timed."""

from __future__ import annotations

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from .client import CLOSE, DISCARDED, LENGTH, Client, Spec, insecure_context, make_socket, request, send_event

VISIT_SECONDS = 5.0


class ConnectionClosed(Exception):
    """The server closed a persistent connection between two responses, as it may (nginx does after 1,000)."""


def request_range(client: Client, spec: Spec, dice: random.Random) -> None:
    start = dice.randrange(spec.size - spec.step)
    client.request(spec, f"Range: bytes={start}-{start + spec.step - 1}\r\n")


def read_range(client: Client, spec: Spec) -> bool:
    """Read what has arrived of one response. Return whether it is complete. ``taken`` counts bytes of the body."""
    if not client.taken:
        head, _, rest = client.sock.recv(4096).partition(b"\r\n\r\n")
        if not head:
            raise ConnectionClosed
        if not head.startswith(b"HTTP/1.1 206"):
            raise SystemExit(f"wrong response to a range: {head[:60]!r}")
        client.taken = len(rest)
        if rest:
            return client.taken >= spec.step
    count = client.sock.recv_into(DISCARDED, spec.step - client.taken, socket.MSG_TRUNC)
    if not count:
        raise SystemExit("the connection ended within a range")
    client.taken += count
    return client.taken >= spec.step


def fetch_range(client: Client, spec: Spec, dice: random.Random) -> Client:
    """Read one range completely, on a new connection if the old one was closed. Return the client."""
    try:
        request_range(client, spec, dice)
        while not read_range(client, spec):
            pass
    except (ConnectionClosed, OSError):
        client.sock.close()
        return fetch_range(Client(spec), spec, dice)
    return client


def run_at_pace(spec: Spec, once: Callable[[], object], failures: Counter[str] | None = None) -> None:
    """Call ``once`` at a pace, and time it. A call that was due while its predecessor ran counts from when it was due.

    No call starts after the end. A call that was due by then and could not start counts with the time it has waited.
    """
    # The response time is the server's; the time that this process waits for a core is not.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    times = []
    due = time.monotonic()
    start, end = due + spec.warm, due + spec.warm + spec.seconds
    free = due
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        # A late wake-up of this process is not the server's fault; a late response is.
        since = due if free > due else time.monotonic()
        if since < end > free:
            once()
        free = time.monotonic()
        if due >= start:
            times.append((since, free - since))
        due += 1 / spec.pace
    send_event(event="end", latencies=times, failures=dict(failures or {}))


def steady(spec: Spec) -> None:
    """Time ranges on one connection."""
    dice, client = random.Random(2), Client(spec)

    def once() -> None:
        nonlocal client
        client = fetch_range(client, spec, dice)

    run_at_pace(spec, once)


def knock(spec: Spec) -> None:
    """Time whole small files, each from before its connection is made until the server has closed it.

    A request without a byte for 30 s is given up, and counts with the time it has waited.
    """

    def once() -> None:
        with suppress(TimeoutError), Client(spec) as client:
            client.request(spec)
            while count := client.read():
                if count < 0:
                    raise SystemExit("a small file was refused")
            if not 0 < client.whole == client.taken:
                raise SystemExit(f"a small file ended after {client.taken} bytes")

    run_at_pace(spec, once)


def connect_visitor(spec: Spec) -> socket.socket:
    """Return a connection for :func:`visit`, over TLS if the spec says so. Raises OSError."""
    sock = make_socket(spec, 0)
    sock.settimeout(VISIT_SECONDS)
    try:
        sock.connect((spec.address, spec.port))
        return insecure_context().wrap_socket(sock) if spec.tls else sock
    except OSError:
        sock.close()
        raise


def fetch_small(sock: socket.socket, spec: Spec, more: str) -> int:
    """Return the status of one response. Raises ConnectionClosed if none came, OSError if it is not complete."""
    sock.sendall(request(spec, spec.names[0], more))
    data = b""
    while b"\r\n\r\n" not in data:
        if not (came := sock.recv(65536)):
            if data:
                raise ConnectionResetError
            raise ConnectionClosed
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
    """Time whole small files, on a new connection and on a persistent one in turn. Count failures by their kind.

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
                with connect_visitor(spec) as fresh:
                    status = fetch_small(fresh, spec, CLOSE)
            else:
                kept = kept or connect_visitor(spec)
                try:
                    status = fetch_small(kept, spec, "")
                except (
                    ConnectionClosed,
                    ConnectionResetError,
                    BrokenPipeError,
                ):  # closed between two responses
                    kept.close()
                    kept = connect_visitor(spec)
                    status = fetch_small(kept, spec, "")
        except (OSError, ConnectionClosed) as error:
            if kept is not None and not visits % 2:
                kept.close()
                kept = None
            failures["no answer in time" if isinstance(error, TimeoutError) else "cut"] += 1
            return
        if status != 200:
            failures[str(status)] += 1

    run_at_pace(spec, once, failures)
