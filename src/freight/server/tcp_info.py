"""What the kernel tells about a TCP connection, and what counts instead where a sandbox refuses to tell.

Without SO_MEMINFO a send queue is estimated from the bytes that are not acknowledged (SIOCOUTQ). Without both it counts
as empty, and all that was handed over as acknowledged. No window is then more than the slot's, and SO_SNDBUF is what
limits the queue. Without TCP_INFO a connection counts as open, and its client as near with a window of no bytes.
"""

from __future__ import annotations

import socket

from freight import unsupported

MEMINFO, INFO, OUTQ = "getsockopt(2) SO_MEMINFO", "getsockopt(2) TCP_INFO", "ioctl(2) SIOCOUTQ"

_BLIND = frozenset((MEMINFO, OUTQ))
_INSTEAD = {
    MEMINFO: "the kernel's memory for a connection is estimated, or limited to that of a slot",
    INFO: "the window of each download is that of its slot, and clients that have gone are noticed later",
    OUTQ: "what was handed to the kernel counts as received by the client",
}


def note_refusal(call: str, error: OSError) -> None:
    """Note that one of the three calls is refused here. Raise an error that means something else."""
    unsupported.note(call, error, _INSTEAD[call])


def is_blind() -> bool:
    """Return whether nothing tells how long a send queue is."""
    return unsupported.noted >= _BLIND


def tcp_info(connected: socket.socket, size: int) -> bytes:
    """Return the first ``size`` bytes of struct tcp_info, tcp(7); b"" where TCP_INFO is refused.

    An older kernel may return fewer bytes.
    """
    try:
        return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError as error:
        if connected.family == socket.AF_UNIX:
            from freight.server.unix_socket import unix_info

            return unix_info(connected, size)
        note_refusal(INFO, error)
        return b""
