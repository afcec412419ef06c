"""How busy this machine is with other programs: /proc/loadavg, /proc/stat and /proc/PID/schedstat (proc(5)).

Everything is None where the kernel does not say it.
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Use:
    """CPU time since boot of the processors that we may use, summed, and the time of the reading.

    ``busy_seconds`` is user, nice and system time. Interrupts are left out: the kernel serves our own sockets in them.
    ``steal_seconds`` is time in which the host of a virtual machine ran something else.
    """

    seconds: float
    processors: int
    busy_seconds: float
    steal_seconds: float


def load_average() -> float | None:
    """The load average of the last minute: processes that run or wait for a processor or a disk."""
    words = _read("/proc/loadavg").split()
    return float(words[0]) if words else None


def cpu_use() -> Use | None:
    """Read the CPU time of the processors that we may use."""
    return use_of(_read("/proc/stat"), os.sched_getaffinity(0), time.monotonic())


def use_of(stat: str, ours: Set[int], seconds: float) -> Use | None:
    """The CPU time of these processors, from the text of /proc/stat."""
    busy = steal = count = 0
    for number, ticks in re.findall(r"^cpu(\d+) (.*)$", stat, re.MULTILINE):
        if int(number) in ours:
            fields = [*map(int, ticks.split()), 0, 0, 0, 0, 0, 0, 0, 0]
            count += 1
            busy += fields[0] + fields[1] + fields[2]
            steal += fields[7]
    if not count:
        return None
    return Use(seconds, count, busy / _TICKS_PER_SECOND, steal / _TICKS_PER_SECOND)


def own_cpu_seconds() -> float:
    """CPU time of this process and of all its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def waited_seconds(pid: int) -> float | None:
    """How long the main thread of a process has waited for a processor although it could run."""
    words = _read(f"/proc/{pid}/schedstat").split()
    return int(words[1]) / 1e9 if len(words) > 1 else None


class Watch:
    """How busy the machine has been with other programs since this was made. Children of ours must end before."""

    def __init__(self) -> None:
        self._begin, self._own_seconds = cpu_use(), own_cpu_seconds()

    def read(self) -> dict[str, Any]:
        """``load``: the load average; ``others_share``, ``steal_share``: of the processors' time, 0 to 1."""
        found: dict[str, Any] = {"load": load_average(), "others_share": None, "steal_share": None}
        begin, end = self._begin, cpu_use()
        if begin and end:
            whole = max(end.seconds - begin.seconds, 0.001) * end.processors
            others = end.busy_seconds - begin.busy_seconds - (own_cpu_seconds() - self._own_seconds)
            steal = end.steal_seconds - begin.steal_seconds
            found["others_share"] = round(min(max(others / whole, 0.0), 1.0), 4)
            found["steal_share"] = round(min(max(steal / whole, 0.0), 1.0), 4)
        return found


def look() -> dict[str, Any]:
    """Watch for half a second."""
    watch = Watch()
    time.sleep(_LOOK_SECONDS)
    return watch.read()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
