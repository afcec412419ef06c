"""Read what a process costs, from outside, and what kind of machine this is: /proc, clock_gettime(2), mincore(2)."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import time
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: what clock_getcpuclockid(3) makes of a process
_SYSCTL = ("tcp_wmem", "tcp_rmem", "tcp_mem", "tcp_congestion_control", "tcp_notsent_lowat")
_LOWEST_BIT = bytes(value & 1 for value in range(256))  # mincore(2): the others are undefined


def family(pid: int) -> list[int]:
    """A process and those it started, and theirs."""
    found = [pid]
    for one in found:
        found.extend(int(word) for word in _read(f"/proc/{one}/task/{one}/children").split())
    return found


def memory_bytes(pid: int) -> tuple[int, int]:
    """Private dirty memory, and PSS, of a process and its children.

    Private dirty pages (Private_Dirty, proc(5)) are those that it wrote and shares with no process. Clean ones are left
    out: those of the interpreter's text count as private whenever no other process happens to run the same program.
    PSS is all it has mapped, each page divided by the number of processes that share it.
    """
    private = pss = 0
    for one in family(pid):
        for line in _read(f"/proc/{one}/smaps_rollup").splitlines():
            if line.startswith("Private_Dirty:"):
                private += int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                pss += int(line.split()[1]) * 1024
    return private, pss


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all its threads, and its children, by its own clock (clock_getres(2)), to 1 ns."""
    total = 0.0
    for one in family(pid):
        try:
            total += time.clock_gettime((~one << 3) | _CPUCLOCK_SCHED)
        except OSError:  # it has gone
            continue
    return total


def cached_bytes(path: Path) -> int:
    """How much of a file is in the page cache."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // _PAGE_BYTES))()
        first = ctypes.c_char.from_buffer(mapped)
        try:
            failed = _LIBC.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), pages)
        finally:
            del first  # a mapping that is pointed at cannot be closed
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        return min(sum(bytes(pages).translate(_LOWEST_BIT)) * _PAGE_BYTES, len(mapped))


def host_tcp_bytes() -> int:
    """Memory that all TCP sockets of the host hold in the kernel, sending and receiving (proc(5), net/sockstat)."""
    found = re.search(r"^TCP:.* mem (\d+)", _read("/proc/net/sockstat"), re.MULTILINE)
    return int(found[1]) * _PAGE_BYTES if found else 0


def available_bytes() -> int:
    """Memory that can be used without swapping and within the control group's limit (proc(5), cgroup v2)."""
    found = re.search(r"^MemAvailable: +(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    available = int(found[1]) * 1024 if found else 0
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return min(available, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else available


def machine() -> dict[str, object]:
    """Return what the results depend on; nothing that names the host."""
    model = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    total = re.search(r"^MemTotal: +(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(total[1]) * 1024 if total else 0,
        "kernel": platform.release().partition("-")[0],
        "sysctl": {name: " ".join(_read(f"/proc/sys/net/ipv4/{name}").split()) for name in _SYSCTL},
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
