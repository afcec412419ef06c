"""Let clients request a file and stop reading, and print how much memory the server and the kernel hold for them.

    python examples/stalled_clients.py http://127.0.0.1:8080/sample.csv 500 PID

Each client reads the head and a little of the body, then stalls. PID is the server's process. Its memory is its private
dirty pages: those that it wrote and shares with no other process.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

PRIVATE = re.compile(r"^Private_Dirty: +(\d+) kB$", re.MULTILINE)


def private_bytes(pid: int) -> int:
    """Return the private dirty bytes of a process: proc(5), smaps_rollup."""
    return 1024 * sum(map(int, PRIVATE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())))


def queued_bytes(port: int) -> int:
    """Return the unacknowledged bytes in the send queues of a port's IPv4 connections: proc(5), net/tcp, tx_queue."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[0], 16) for row in rows if int(row[1].partition(":")[2], 16) == port)


def settled_bytes(port: int, seconds: float = 10.0) -> int:
    """Wait until the queued bytes no longer change, at most ``seconds``, and return them."""
    until, before, now = time.monotonic() + seconds, -1, queued_bytes(port)
    while now != before and time.monotonic() < until:
        time.sleep(0.25)
        before, now = now, queued_bytes(port)
    return now


def main(url: str, count: int, pid: int) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    idle = private_bytes(pid)
    print(f"before: {size(idle)} in the process")
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)  # so that the server holds unread bytes
            client.connect((host, port))
            client.sendall(request)
            client.recv(1024)
        queued = settled_bytes(port)
        loaded = private_bytes(pid)
        print(f"with {count} clients: {size(loaded)} in the process, {size((loaded - idle) / count)} for each client")
        print(f"in the kernel's send queues: {size(queued)}, {size(queued / count)} for each client")


def size(size_bytes: float) -> str:
    """Format a size: ``16.5 MB``, ``28.2 kB``, ``310 B``."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if abs(size_bytes) >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Let clients stop reading, and print the memory held for them.")
    parser.add_argument("url", metavar="URL", help="a file on the server, such as http://127.0.0.1:8080/sample.csv")
    parser.add_argument("count", metavar="CLIENTS", type=positive, help="number of clients, such as 500")
    parser.add_argument("pid", metavar="PID", type=positive, help="process of the server on this machine")
    given = parser.parse_args()
    try:
        main(given.url, given.count, given.pid)
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")
