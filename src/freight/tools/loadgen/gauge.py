"""Measure processes, a port, the page cache and the machine from outside.

Sources: proc(5), clock_getcpuclockid(3), sock_diag(7) and mincore(2). Nothing here asks the measured program.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: what clock_getcpuclockid(3) makes of a process
_SYSCTL = ("tcp_wmem", "tcp_rmem", "tcp_mem", "tcp_congestion_control", "tcp_notsent_lowat")
_LOWEST_BIT = bytes(value & 1 for value in range(256))  # mincore(2): the other bits are undefined

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_EVERY_STATE_BUT_LISTEN = 0xFFF & ~(1 << 10)
_SKMEMINFO = 7  # linux/inet_diag.h
_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INET_DIAG_MSG_BYTES = 72
_REPLY_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of one or more processes, in bytes.

    ``private_dirty``: pages that a process wrote and shares with no other. ``private_clean``: pages of files that no
    other process maps; the interpreter's text is among them whenever no other process runs that program. ``written``:
    private dirty pages that are in no file, and swapped pages; pages of a program that was just installed are dirty
    until they are on the disk. ``pss``: all mapped memory, each page divided by the number of processes that share it.
    """

    private_dirty: int = 0
    private_clean: int = 0
    written: int = 0
    pss: int = 0

    @property
    def unique(self) -> int:
        """Return the unique set size (USS): private pages, clean and dirty."""
        return self.private_dirty + self.private_clean

    def __add__(self, other: MemoryUse) -> MemoryUse:
        return MemoryUse(
            self.private_dirty + other.private_dirty,
            self.private_clean + other.private_clean,
            self.written + other.written,
            self.pss + other.pss,
        )


class SocketMemory(NamedTuple):
    """The kernel's memory for one connection, in bytes: ``SK_MEMINFO_*``, sock_diag(7)."""

    rmem_alloc: int
    rcvbuf: int
    wmem_alloc: int
    sndbuf: int
    fwd_alloc: int
    wmem_queued: int
    optmem: int
    backlog: int
    drops: int


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU time since boot, in seconds: proc_stat(5). User time includes the guests'."""

    user: float = 0.0
    nice: float = 0.0
    system: float = 0.0
    idle: float = 0.0
    iowait: float = 0.0
    irq: float = 0.0
    softirq: float = 0.0
    steal: float = 0.0

    @property
    def processes(self) -> float:
        """Return the time of processes. It excludes interrupts, in which the kernel serves sockets."""
        return self.user + self.nice + self.system

    @property
    def active(self) -> float:
        """Return the time of processes and interrupts."""
        return self.processes + self.irq + self.softirq


def children(pid: int) -> list[int]:
    """Return the processes that one has started and not waited for, the oldest first.

    A list may omit a child while others of its parent end (proc(5)), so it is read until two readings agree.
    """
    before, found = None, _children(pid)
    while found != before:
        before, found = found, _children(pid)
    return found


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:
        found.extend(children(one))
    return found


def memory_of(pid: int) -> MemoryUse:
    """Measure one process. Raises OSError if it has ended."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            sizes[name] = int(rest.split()[0]) * 1024
    if not sizes:
        raise ProcessLookupError(f"process {pid} has ended")
    dirty = sizes["Private_Dirty"]
    written = min(dirty, sizes["Anonymous"]) + sizes["Swap"]
    return MemoryUse(dirty, sizes["Private_Clean"], written, sizes["Pss"])


def memory_of_tree(pid: int) -> MemoryUse:
    """Measure a process and its descendants. Those that have ended count nothing."""
    total = MemoryUse()
    for one in process_tree(pid):
        try:
            total += memory_of(one)
        except OSError:
            continue
    return total


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, by their own clocks (clock_getres(2)), to 1 ns."""
    total = 0.0
    for one in process_tree(pid):
        try:
            total += time.clock_gettime((~one << 3) | _CPUCLOCK_SCHED)
        except OSError:  # it has ended
            continue
    return total


def cpu_times() -> dict[str, CpuTimes]:
    """Return the CPU time of ``cpu``, the whole machine, and of each processor: ``cpu0`` and so on."""
    return parse_cpu_times(_read("/proc/stat"))


def parse_cpu_times(stat: str) -> dict[str, CpuTimes]:
    """Return the CPU times in the text of /proc/stat. Kernels before 2.6.11 have fewer columns, which are 0."""
    return {
        name: CpuTimes(*(int(ticks) / _TICKS_PER_SECOND for ticks in columns.split()[:8]))
        for name, columns in re.findall(r"^(cpu\d*) (.*)$", stat, re.MULTILINE)
    }


def send_queues(port: int) -> list[int]:
    """Return ``wmem_queued``, in bytes, of every IPv4 TCP connection whose local port this is."""
    return [memory.wmem_queued for memory in socket_memory(port)]


def receive_queues(port: int) -> list[int]:
    """Return ``rmem_alloc``, in bytes, of every IPv4 TCP connection whose remote port this is."""
    return [memory.rmem_alloc for _, there, memory in _connections(0, port, socket.AF_INET) if there == port]


def socket_memory(port: int, family: int = socket.AF_INET) -> list[SocketMemory]:
    """Return the kernel's memory for every TCP connection whose local port this is, in this network namespace.

    ``SO_MEMINFO`` works on a process's own sockets only. This reads it for all sockets, as ss(8) does.
    """
    return [memory for here, _, memory in _connections(port, 0, family) if here == port]


def cached_bytes(path: Path) -> int:
    """Return how many bytes of a file are in the page cache."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // _PAGE_BYTES))()
        first = ctypes.c_char.from_buffer(mapped)
        try:
            failed = _LIBC.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), pages)
        finally:
            del first  # a mapping with an exported pointer cannot be closed
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        return min(sum(bytes(pages).translate(_LOWEST_BIT)) * _PAGE_BYTES, len(mapped))


def evict(path: Path) -> None:
    """Drop a file from the page cache. Pages that a process maps or reads meanwhile may stay."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # only clean pages can leave the cache
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def host_tcp_bytes() -> int:
    """Return the kernel memory of all TCP sockets of the host, in bytes (proc(5), net/sockstat)."""
    found = re.search(r"^TCP:.* mem (\d+)", _read("/proc/net/sockstat"), re.MULTILINE)
    return int(found[1]) * _PAGE_BYTES if found else 0


def available_bytes() -> int:
    """Return the memory that is free without swapping and within the control group's limit (proc(5), cgroup v2)."""
    found = re.search(r"^MemAvailable: +(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    available = int(found[1]) * 1024 if found else 0
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return min(available, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else available


def machine() -> dict[str, object]:
    """Return what the results depend on. It does not name the host."""
    model = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    total = re.search(r"^MemTotal: +(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(total[1]) * 1024 if total else 0,
        "kernel": platform.release().partition("-")[0],
        "sysctl": {name: " ".join(_read(f"/proc/sys/net/ipv4/{name}").split()) for name in _SYSCTL},
    }


def _children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(str(path)).split()]


def _connections(here: int, there: int, family: int) -> Iterator[tuple[int, int, SocketMemory]]:
    """Yield local port, remote port and memory. A port of 0 matches any; some kernels ignore the ports."""
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 1 << (_SKMEMINFO - 1), 0, _EVERY_STATE_BUT_LISTEN)
    body += struct.pack("!HH", here, there) + bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.send(_MESSAGE.pack(_MESSAGE.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            for kind, message in _messages(link.recv(_REPLY_BYTES)):
                if kind in (_DONE, _ERROR):
                    return
                yield from _sizes(message)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the netlink messages of one datagram: kind and payload (netlink(7))."""
    while len(data) >= _MESSAGE.size:
        length, kind, *_ = _MESSAGE.unpack_from(data)
        yield kind, data[_MESSAGE.size : length]
        data = data[_aligned(length) :]


def _sizes(message: bytes) -> Iterator[tuple[int, int, SocketMemory]]:
    """Yield the ports and the nine sizes of one ``inet_diag_msg`` and its attributes."""
    here, there = struct.unpack_from("!HH", message, 4)
    at = _INET_DIAG_MSG_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _SKMEMINFO:
            yield here, there, SocketMemory(*struct.unpack_from("=9I", message, at + _ATTRIBUTE.size))
        at += _aligned(max(length, _ATTRIBUTE.size))


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
