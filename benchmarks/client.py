"""What every kind of client is made of: what it is told to do, its connection, and how it tells what happened."""

from __future__ import annotations

import json
import re
import socket
import ssl
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

from .launch import HOT

TRASH = bytearray(4 << 20)
GET = "GET /{name} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"
CLOSE = "Connection: close\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE_SECONDS = 30
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7): the port is chosen when it connects, so that only whole addresses must differ


@dataclass(frozen=True, slots=True)
class Spec:
    """What a crowd does. Times are seconds, sizes bytes.

    ``mode``: flood (all take what they can, or ``rate`` bytes a second together), slow (``step`` bytes a second each),
    stall (``step`` bytes, then nothing), hold (``step`` bytes, then nothing until told to go on; every byte is compared
    with the file ``content``), fetch (each one file, and how long it waited), ranges (random ranges of ``step`` bytes
    on kept-alive connections), steady (the same on one connection, ``pace`` a second, timed), knock (a whole file each
    on a new connection, ``pace`` a second, timed), visit (the same, every second one on a kept connection; failures
    are counted), drip (a byte of a head a second, without end), sip (a byte of a body a second). ``names`` are asked
    for in turn, from ``sources`` in turn; ``once`` ends a flood when each client has its file. ``mss`` makes the
    loopback behave like Ethernet, ``receive`` is each client's SO_RCVBUF; 0 leaves them. ``tls``: what comes is
    counted as it is on the wire, encrypted; each answer is the whole file, of ``size``. ``streams``: for speak (slow
    by HTTP/2), the requests on each connection.
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


def source(spec: Spec, number: int) -> str:
    """Where the ``number``-th connection of a crowd comes from; "" where nothing is said."""
    return spec.sources[number % len(spec.sources)] if spec.sources else ""


def opened(spec: Spec, number: int) -> socket.socket:
    """The ``number``-th socket of a crowd, which has not connected yet."""
    sock = socket.socket()
    if spec.mss:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, spec.mss)
    if spec.receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, spec.receive)
    if own := source(spec, number):
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((own, 0))
    return sock


def request(spec: Spec, name: str, more: str = CLOSE) -> bytes:
    return GET.format(name=name, host=spec.address, more=more).encode()


@cache
def trusting(h2: bool = False) -> ssl.SSLContext:
    """What takes any certificate: a benchmark's is signed by nobody. ``h2``: it would speak HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if h2:
        context.set_alpn_protocols(["h2"])
    return context


class Client:
    """One connection, the ``number``-th of its crowd: what it has had of the answer it waits for.

    ``taken`` counts the bytes of head and body; ``whole`` is how many there will be, 0 where that was not stated.
    ``cipher`` is the version of TLS and the suite that were agreed on.
    """

    __slots__ = ("cipher", "name", "number", "sealed", "sock", "source", "taken", "whole")

    def __init__(self, spec: Spec, number: int = 0) -> None:
        self.number, self.taken, self.whole, self.sealed = number, 0, 0, spec.tls
        self.cipher = ""
        self.name = spec.names[number % len(spec.names)]
        self.source = source(spec, number)
        self.sock = opened(spec, number)
        self.sock.settimeout(PATIENCE_SECONDS)
        try:
            self.sock.connect((spec.address, spec.port))
        except TimeoutError:
            self.sock.close()
            raise TimeoutError(f"nobody could connect for {PATIENCE_SECONDS} s") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, spec: Spec, more: str = CLOSE) -> None:
        self.taken = self.whole = 0
        if self.sealed:
            self.whole = spec.size
            with trusting().wrap_socket(self.sock) as stream:
                stream.sendall(request(spec, self.name, more))
                self.cipher = f"{stream.version()} {(stream.cipher() or ('none',))[0]}"
                self.sock = socket.socket(fileno=stream.detach())
        else:
            self.sock.sendall(request(spec, self.name, more))

    def take(self, limit: int = len(TRASH)) -> int | None:
        """Take what is there, up to ``limit`` bytes: how many; 0 at the end, -1 if wrong, None for not yet.

        Raises TimeoutError where the socket waits, and nothing came for PATIENCE_SECONDS.
        """
        try:
            if self.taken or self.sealed:
                count = self.sock.recv_into(TRASH, limit, socket.MSG_TRUNC)
            else:
                head = self.sock.recv(min(limit, 4096))
                count = self._begin(head)
        except BlockingIOError:
            return None
        except TimeoutError:
            raise
        except OSError:
            count = 0
        self.taken += max(count, 0)
        return count

    def _begin(self, head: bytes) -> int:
        if head and not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
            return -1
        if length := LENGTH.search(head):
            self.whole = head.index(b"\r\n\r\n") + 4 + int(length[1]) if b"\r\n\r\n" in head else 0
        return len(head)


def joined(spec: Spec, number: int) -> Client:
    """A client that has connected and asked, and waits for nothing."""
    client = Client(spec, number)
    client.ask(spec)
    client.sock.setblocking(False)
    return client


def tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)
