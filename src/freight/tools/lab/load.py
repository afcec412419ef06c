"""Measure how busy other programs keep this machine: /proc/loadavg, /proc/stat and /proc/PID/schedstat (proc(5)).

A value is None if the kernel does not report it.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freight.tools.loadgen.gauge import parse_cpu_times

_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Use:
    """CPU time since boot, summed over the processors that we may use, and the time of the reading.

    ``busy_seconds`` is user, nice and system time. It excludes interrupts, in which the kernel serves our own sockets.
    ``steal_seconds`` is time that the host of a virtual machine gave to others.
    """

    seconds: float
    processors: int
    busy_seconds: float
    steal_seconds: float


def load_average() -> float | None:
    """Return the load average of the last minute: processes that run, or wait for a processor or a disk."""
    words = _read("/proc/loadavg").split()
    return float(words[0]) if words else None


def cpu_use() -> Use | None:
    """Read the CPU time of the processors that we may use."""
    return use_of(_read("/proc/stat"), os.sched_getaffinity(0), time.monotonic())


def use_of(stat: str, ours: Set[int], seconds: float) -> Use | None:
    """Return the CPU time of these processors, from the text of /proc/stat."""
    found = parse_cpu_times(stat)
    times = [found[name] for name in (f"cpu{number}" for number in ours) if name in found]
    if not times:
        return None
    return Use(seconds, len(times), sum(each.processes for each in times), sum(each.steal for each in times))


def own_cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def waited_seconds(pid: int) -> float | None:
    """Return how long the main thread of a process was runnable without a processor."""
    words = _read(f"/proc/{pid}/schedstat").split()
    return int(words[1]) / 1e9 if len(words) > 1 else None


class LoadMonitor:
    """Measures how busy other programs have kept the machine since it was made. Our children must end before read()."""

    def __init__(self) -> None:
        self._begin, self._own_seconds = cpu_use(), own_cpu_seconds()

    def read(self) -> dict[str, Any]:
        """Return ``load``, the load average; ``others_share``, ``steal_share``: of the processors' time, 0 to 1."""
        found: dict[str, Any] = {"load": load_average(), "others_share": None, "steal_share": None}
        begin, end = self._begin, cpu_use()
        if begin and end:
            whole = max(end.seconds - begin.seconds, 0.001) * end.processors
            others = end.busy_seconds - begin.busy_seconds - (own_cpu_seconds() - self._own_seconds)
            steal = end.steal_seconds - begin.steal_seconds
            found["others_share"] = round(min(max(others / whole, 0.0), 1.0), 4)
            found["steal_share"] = round(min(max(steal / whole, 0.0), 1.0), 4)
        return found


def measure_now() -> dict[str, Any]:
    """Measure for half a second."""
    monitor = LoadMonitor()
    time.sleep(_SAMPLE_SECONDS)
    return monitor.read()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
