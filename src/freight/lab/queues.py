"""What the kernel holds in the send queues of a port, asked of the kernel itself: sock_diag(7).

``SO_MEMINFO`` tells a process about its own sockets only; this tells anybody about everybody's, as ss(8) does.
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
_SKMEMINFO, _WMEM_QUEUED = 7, 5  # linux/inet_diag.h, linux/sock_diag.h
_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INET_DIAG_MSG_BYTES = 72
_ANSWER_BYTES = 1 << 18


def send_queues(port: int) -> list[int]:
    """``wmem_queued``, in bytes, of every IPv4 TCP connection whose local port this is."""
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_SKMEMINFO - 1), 0, _EVERY_STATE_BUT_LISTEN)
    body += struct.pack("!HH", port, 0) + bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    found: list[int] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.send(_MESSAGE.pack(_MESSAGE.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            for kind, message in _messages(link.recv(_ANSWER_BYTES)):
                if kind in (_DONE, _ERROR):
                    return found
                found.extend(_queued(message, port))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The netlink messages of one datagram: kind and payload (netlink(7))."""
    while len(data) >= _MESSAGE.size:
        length, kind, *_ = _MESSAGE.unpack_from(data)
        yield kind, data[_MESSAGE.size : length]
        data = data[_aligned(length) :]


def _queued(message: bytes, port: int) -> Iterator[int]:
    """``wmem_queued`` of one ``inet_diag_msg`` and its attributes, if it is of this port: some kernels send all."""
    if struct.unpack_from("!H", message, 4)[0] != port:
        return
    at = _INET_DIAG_MSG_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _SKMEMINFO:
            yield struct.unpack_from("=9I", message, at + _ATTRIBUTE.size)[_WMEM_QUEUED]
        at += _aligned(max(length, _ATTRIBUTE.size))


def _aligned(length: int) -> int:
    return (length + 3) & ~3
