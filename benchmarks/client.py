"""What all kinds of clients share: their specification, a connection, and the events that they report.

:mod:`freight.tools.loadgen` has the clients of the lab and of the tests. These differ where figures depend on it: they
count bytes on the wire, speak TLS, and begin a window while they run.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

from .launch import HOT

DISCARDED = bytearray(4 << 20)
GET = "GET /{name} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"
CLOSE = "Connection: close\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TIMEOUT_SECONDS = 30
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7): the port is chosen when it connects, so that only whole addresses must differ


@dataclass(frozen=True, slots=True)
class Spec:
    """What the clients of a process do. Times are in seconds, sizes in bytes.

    ``mode`` is one of:

    - flood: all read as fast as they can, or ``rate`` bytes per second together. ``once``: each reads one file.
    - slow: each reads ``step`` bytes per second. speak: the same over HTTP/2, with ``streams`` per connection.
    - stall: each reads ``step`` bytes, and then nothing.
    - hold: the same, until a line of input lets them continue. Every byte is compared with the file ``content``.
    - fetch: each reads one file, and the wait for its first byte is measured.
    - steady: random ranges of ``step`` bytes on one persistent connection, ``pace`` per second, timed.
    - knock: a whole file on a new connection, ``pace`` per second, timed. visit: the same, every second time on a
      persistent connection; failures are counted.
    - drip: one byte of a head per second, without end. sip: one byte of a body per second.

    ``names`` are requested in turn, from ``sources`` in turn. ``mss`` makes the loopback behave like Ethernet, and
    ``receive`` is the SO_RCVBUF of each client; 0 leaves the default. ``tls``: bytes are counted as they are on the
    wire, encrypted; each response is the whole file, of ``size`` bytes.
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
    address: str = "127.0.0.1"
    sources: tuple[str, ...] = ()
    content: str = ""
    tls: bool = False
    streams: int = 1
    rate: int = 0

    def json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Spec:
        fields: dict[str, Any] = json.loads(text)
        own: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**own)


def source_of(spec: Spec, number: int) -> str:
    """Return the source address of the ``number``-th connection; "" leaves it to the kernel."""
    return spec.sources[number % len(spec.sources)] if spec.sources else ""


def make_socket(spec: Spec, number: int) -> socket.socket:
    """Return the socket of the ``number``-th client, which has not connected yet."""
    sock = socket.socket()
    if spec.mss:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, spec.mss)
    if spec.receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, spec.receive)
    if own := source_of(spec, number):
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((own, 0))
    return sock


def request(spec: Spec, name: str, more: str = CLOSE) -> bytes:
    return GET.format(name=name, host=spec.address, more=more).encode()


@cache
def insecure_context(h2: bool = False) -> ssl.SSLContext:
    """Return a context that accepts any certificate, because the benchmark's is self-signed. ``h2``: offer HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if h2:
        context.set_alpn_protocols(["h2"])
    return context


class Client:
    """The connection of the ``number``-th client, and the state of its response.

    ``taken`` counts the bytes of head and body that were read. ``whole`` is how many there will be, 0 if the response
    does not tell. ``cipher`` is the agreed version of TLS and cipher suite.
    """

    __slots__ = ("cipher", "name", "number", "sealed", "sock", "source", "taken", "whole")

    def __init__(self, spec: Spec, number: int = 0) -> None:
        self.number, self.taken, self.whole, self.sealed = number, 0, 0, spec.tls
        self.cipher = ""
        self.name = spec.names[number % len(spec.names)]
        self.source = source_of(spec, number)
        self.sock = make_socket(spec, number)
        self.sock.settimeout(TIMEOUT_SECONDS)
        try:
            self.sock.connect((spec.address, spec.port))
        except TimeoutError:
            self.sock.close()
            raise TimeoutError(f"no connection within {TIMEOUT_SECONDS} s") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def request(self, spec: Spec, more: str = CLOSE) -> None:
        self.taken = self.whole = 0
        if self.sealed:
            self.whole = spec.size
            with insecure_context().wrap_socket(self.sock) as stream:
                stream.sendall(request(spec, self.name, more))
                self.cipher = f"{stream.version()} {(stream.cipher() or ('none',))[0]}"
                self.sock = socket.socket(fileno=stream.detach())
        else:
            self.sock.sendall(request(spec, self.name, more))

    def read(self, limit: int = len(DISCARDED)) -> int | None:
        """Read what has arrived, up to ``limit`` bytes. Return the count: 0 at the end, -1 if the response is wrong.

        Return None if nothing has arrived. Raises TimeoutError if the socket blocks for TIMEOUT_SECONDS.
        """
        try:
            if self.taken or self.sealed:
                count = self.sock.recv_into(DISCARDED, limit, socket.MSG_TRUNC)
            else:
                head = self.sock.recv(min(limit, 4096))
                count = self._read_head(head)
        except BlockingIOError:
            return None
        except TimeoutError:
            raise
        except OSError:
            count = 0
        self.taken += max(count, 0)
        return count

    def _read_head(self, head: bytes) -> int:
        if head and not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
            return -1
        if length := LENGTH.search(head):
            self.whole = head.index(b"\r\n\r\n") + 4 + int(length[1]) if b"\r\n\r\n" in head else 0
        return len(head)


def connect(spec: Spec, number: int) -> Client:
    """Return a client that has sent its request, and whose socket does not block."""
    client = Client(spec, number)
    client.request(spec)
    client.sock.setblocking(False)
    return client


def send_event(**event: Any) -> None:
    print(json.dumps(event), flush=True)
