"""What a server costs, seen from outside: /proc for its processes, the kernel's socket diagnostics for its sockets."""

from __future__ import annotations

import os
import platform
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from .network import inside

TICKS = os.sysconf("SC_CLK_TCK")
SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLMSG_DONE = 4, 20, 2, 3
REQUEST_DUMP = 0x301
SKMEMINFO, WMEM_QUEUED = 7, 5
LISTENING = 1 << 10


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := read_stat(int(entry))):
            parents.setdefault(int(stat[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(parents.get(pid, ()))
    return found


def read_stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; none for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(root: int) -> float:
    """User and system time of the whole tree (proc(5): utime, stime)."""
    stats = (read_stat(pid) for pid in tree(root))
    return sum(int(stat[11]) + int(stat[12]) for stat in stats if stat) / TICKS


def uss_bytes(root: int, kinds: tuple[str, ...] = ("Private_Clean", "Private_Dirty")) -> int:
    """Memory that only these processes hold: private clean and dirty pages, or some ``kinds``, over the whole tree."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(kinds))
    return total * 1024


def send_queues(port: int, namespace: str = "") -> list[int]:
    """``wmem_queued`` in bytes of every TCP socket of a namespace whose local port this is (sock_diag(7))."""
    ident = struct.pack("!HH", port, 0) + bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    wanted = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (SKMEMINFO - 1), 0, 0xFFF & ~LISTENING)
    body = wanted + ident
    head = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0)
    found: list[int] = []
    with inside(namespace):
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG)
    with link:
        link.send(head + body)
        while True:
            for kind, message in messages(link.recv(1 << 17)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                found.extend(queued(message, port))


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The netlink messages of one datagram: kind, payload."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def queued(message: bytes, port: int) -> Iterator[int]:
    """``wmem_queued`` from one inet_diag_msg (72 bytes) and its attributes, if it is a socket of ``port``."""
    if struct.unpack_from("!H", message, 4)[0] != port:
        return
    at = 72
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == SKMEMINFO:
            yield struct.unpack_from("=9I", message, at + 4)[WMEM_QUEUED]
        at += (max(length, 4) + 3) & ~3


def machine_cpu_seconds() -> float:
    """CPU time of all processes and interrupts so far: /proc/stat without idle, iowait and steal (proc_stat(5))."""
    return busy_seconds(lines_of("/proc/stat")[0])


def busy_seconds(line: str) -> float:
    """The same from the first line of /proc/stat. Its guest columns are in user and nice already."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def machine() -> dict[str, object]:
    """What the figures depend on; nothing that names the host."""
    models = [line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")]
    total = next((int(line.split()[1]) for line in lines_of("/proc/meminfo") if line.startswith("MemTotal")), 0)
    ipv4 = Path("/proc/sys/net/ipv4")
    names = ("tcp_wmem", "tcp_rmem", "tcp_mem", "tcp_congestion_control", "tcp_notsent_lowat")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": total * 1024,
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "sysctl": {name: " ".join("".join(lines_of(str(ipv4 / name))).split()) for name in names},
    }


def lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
