"""Three ways to send a file. usage: strategies.py read_all|chunks|zero_copy PORT FILE [CHUNK_BYTES]

The first needs as much memory as the file is long, for each client; the others do not.
All send FILE for any path, in a thread for each connection, as http.server of the standard library does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket


def read_all(path: str, connection: socket, chunk_bytes: int) -> None:
    """Hold the whole file in memory, once for each client."""
    with open(path, "rb") as file:
        connection.sendall(file.read())


def chunks(path: str, connection: socket, chunk_bytes: int) -> None:
    """Read and write through a buffer: one chunk is in memory, whatever the length of the file."""
    buffer = memoryview(bytearray(chunk_bytes))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            connection.sendall(buffer[:count])


def zero_copy(path: str, connection: socket, chunk_bytes: int) -> None:
    """Use no buffer: the kernel moves pages from its page cache to the socket, and the process sees no byte."""
    with open(path, "rb", buffering=0) as file:
        offset = 0
        while count := os.sendfile(connection.fileno(), file.fileno(), offset, chunk_bytes):
            offset += count


STRATEGIES: dict[str, Callable[[str, socket, int], None]] = {
    "read_all": read_all,
    "chunks": chunks,
    "zero_copy": zero_copy,
}


class Server(ThreadingHTTPServer):
    request_queue_size = 4096  # the default of 5 is too small for clients that connect at once


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(os.stat(PATH).st_size))
        self.end_headers()
        try:
            STRATEGIES[STRATEGY](PATH, self.connection, CHUNK_BYTES)
        except ConnectionError:
            pass  # the client has closed

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    STRATEGY, PATH = sys.argv[1], sys.argv[3]
    CHUNK_BYTES = int(sys.argv[4]) if len(sys.argv) > 4 else 32 * 1024
    Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
