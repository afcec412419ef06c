"""Memory that the kernel holds in the queues of a port's connections, read from the kernel: sock_diag(7).

A process can read ``SO_MEMINFO`` of its own sockets only. This reads it of all sockets, as ss(8) does.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_LISTEN = 10
_EVERY_STATE_BUT_LISTEN = 0xFFF & ~(1 << _LISTEN)
_SKMEMINFO, _RMEM_ALLOC, _WMEM_QUEUED = 7, 0, 5  # linux/inet_diag.h, linux/sock_diag.h
_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INET_DIAG_MSG_BYTES = 72
_ANSWER_BYTES = 1 << 18


def send_queues(port: int) -> list[int]:
    """``wmem_queued``, in bytes, of every IPv4 TCP connection whose local port this is."""
    return [sizes[_WMEM_QUEUED] for here, _, sizes in _connections(port, 0) if here == port]


def receive_queues(port: int) -> list[int]:
    """``rmem_alloc``, in bytes, of every IPv4 TCP connection of this host whose remote port this is."""
    return [sizes[_RMEM_ALLOC] for _, there, sizes in _connections(0, port) if there == port]


def _connections(here: int, there: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Local port, remote port and ``SO_MEMINFO`` of connections with these ports, 0 for any; some kernels send all."""
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_SKMEMINFO - 1), 0, _EVERY_STATE_BUT_LISTEN)
    body += struct.pack("!HH", here, there) + bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.send(_MESSAGE.pack(_MESSAGE.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            for kind, message in _messages(link.recv(_ANSWER_BYTES)):
                if kind in (_DONE, _ERROR):
                    return
                yield from _sizes(message)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The netlink messages of one datagram: kind and payload (netlink(7))."""
    while len(data) >= _MESSAGE.size:
        length, kind, *_ = _MESSAGE.unpack_from(data)
        yield kind, data[_MESSAGE.size : length]
        data = data[_aligned(length) :]


def _sizes(message: bytes) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """The ports and the nine sizes of one ``inet_diag_msg`` and its attributes."""
    here, there = struct.unpack_from("!HH", message, 4)
    at = _INET_DIAG_MSG_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _SKMEMINFO:
            yield here, there, struct.unpack_from("=9I", message, at + _ATTRIBUTE.size)
        at += _aligned(max(length, _ATTRIBUTE.size))


def _aligned(length: int) -> int:
    return (length + 3) & ~3
