"""The figures that freight holds itself to, each with what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .results import Result, middle

Results = Mapping[str, Result]
Figure = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """One requirement. ``least`` tells a floor from a ceiling; ``unit`` is appended to both figures."""

    what: str
    limit: float
    unit: str
    least: bool
    figure: Figure

    def holds(self, results: Results) -> bool | None:
        """Whether it is kept; None where it was not measured."""
        value = self.figure(results)
        if value is None:
            return None
        return value >= self.limit if self.least else value <= self.limit


def ratio(scenario: str, peer: str, against: str, case: str, key: str = "gb_per_cpu_second") -> Figure:
    def figure(results: Results) -> float | None:
        return middle(results[scenario].paired(peer, against, case, key)) if scenario in results else None

    return figure


def plain(scenario: str, peer: str, case: str, key: str, scale: float = 1) -> Figure:
    def figure(results: Results) -> float | None:
        value = middle(results[scenario].values(peer, case, key)) if scenario in results else None
        return None if value is None else value / scale

    return figure


def floor(what: str, limit: float, unit: str, figure: Figure) -> Bar:
    return Bar(what, limit, unit, True, figure)


def ceiling(what: str, limit: float, unit: str, figure: Figure) -> Bar:
    return Bar(what, limit, unit, False, figure)


PER_CPU = "GB per CPU-second"
BARS = (
    floor(f"{PER_CPU}, `--memory 4GiB`, 1 client", 0.9, "x nginx", ratio("throughput", "freight 4GiB", "nginx", "1")),
    floor(f"{PER_CPU}, `--memory 4GiB`, 64 clients", 1, "x nginx", ratio("throughput", "freight 4GiB", "nginx", "64")),
    floor(
        f"{PER_CPU}, `--memory 4GiB`, 500 clients", 1, "x nginx", ratio("throughput", "freight 4GiB", "nginx", "500")
    ),
    floor(f"{PER_CPU}, default budget, 500 clients", 0.7, "x nginx", ratio("throughput", "freight", "nginx", "500")),
    floor(
        f"{PER_CPU}, `--memory 4GiB`, 64 clients",
        4,
        "x io.Copy",
        ratio("throughput", "freight 4GiB", "go-io.Copy", "64"),
    ),
    floor(
        f"{PER_CPU}, `--memory 4GiB`, 500 clients",
        4,
        "x io.Copy",
        ratio("throughput", "freight 4GiB", "go-io.Copy", "500"),
    ),
    ceiling(
        "Process memory per download, 10,000 running",
        4,
        " KiB",
        plain("memory", "freight 4GiB", "10000", "bytes_per_download", 1024),
    ),
    ceiling("Process memory, idle", 20, " MiB", plain("start", "freight", "1", "idle_bytes", 1 << 20)),
    ceiling("First byte after the command", 400, " ms", plain("start", "freight", "1", "first_byte_seconds", 0.001)),
    floor(
        "64 KiB ranges per CPU-second, kept-alive",
        2,
        "x aiohttp",
        ratio("ranges", "freight", "aiohttp", "16", "requests_per_cpu_second"),
    ),
    ceiling(
        "Kernel memory per stalled client, `--memory 20MB`, 500 of them",
        36,
        " KiB",
        plain("stalled", "freight 20MB", "500", "kernel_bytes_per_client", 1024),
    ),
    ceiling("p99 of hot ranges beside 32 cold downloads", 3, "x idle", plain("cold", "freight", "32", "p99_ratio")),
)
