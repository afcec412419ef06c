"""Clients that ask for a file and stop reading, and what they cost the server, seen from /proc.

    python examples/crowd.py http://127.0.0.1:8080/huge.csv 500 PID

Each takes the head and a little of the body, then stands still. PID is the server's. Printed are its private memory
(USS: what would be free again if it ended) and what the kernel's send queues hold for these clients.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

PRIVATE = re.compile(r"^Private_\w+: +(\d+) kB$", re.MULTILINE)


def private_bytes(pid: int) -> int:
    """The memory that only this process uses: proc(5), smaps_rollup."""
    return 1024 * sum(map(int, PRIVATE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())))


def queued_bytes(port: int) -> int:
    """What the send queues of a port's IPv4 connections hold that nobody has taken: proc(5), net/tcp, tx_queue."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[0], 16) for row in rows if int(row[1].partition(":")[2], 16) == port)


def wait_still(port: int, seconds: float = 10.0) -> int:
    """The queues once they no longer grow, or after ``seconds``."""
    until, before, now = time.monotonic() + seconds, -1, queued_bytes(port)
    while now != before and time.monotonic() < until:
        time.sleep(0.25)
        before, now = now, queued_bytes(port)
    return now


def main(url: str, count: int, pid: int) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    alone = private_bytes(pid)
    print(f"before: {alone / 1024:.0f} KiB private")
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)  # let the server hold what is not read
            client.connect((host, port))
            client.sendall(request)
            client.recv(1024)
        queued = wait_still(port)
        there = private_bytes(pid)
        print(f"with {count}: {there / 1024:.0f} KiB private, {(there - alone) / 1024 / count:.1f} KiB a client")
        print(f"in the kernel's send queues: {queued / 1024:.0f} KiB, {queued / 1024 / count:.1f} KiB a client")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
