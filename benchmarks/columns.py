"""The columns of each scenario's table. To show another figure, add a row here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import ranges, wan
from .results import Result, median_of


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a figure of one case, divided by ``scale``, or its ratio to the peer ``against``.

    If a peer's name ends with one of ``kinds``, so does the name of the peer it is compared with.
    """

    title: str
    case: str
    key: str
    digits: int = 1
    scale: float = 1
    against: str = ""
    kinds: Sequence[str] = ("",)

    def cell(self, result: Result, peer: str) -> str:
        """Return median and spread: ``9.1 (8.0-9.9)``."""
        against = self.against + next((kind for kind in self.kinds if peer.endswith(kind)), "")
        if self.against and against == peer:
            return "1"
        values = (
            result.paired(peer, against, self.case, self.key)
            if self.against
            else [value / self.scale for value in result.values(peer, self.case, self.key)]
        )
        mid = median_of(values)
        if mid is None:
            return "-"
        return f"{mid:,.{self.digits}f} ({min(values):,.{self.digits}f}-{max(values):,.{self.digits}f})"


def per_cpu(case: str, kinds: Sequence[str] = ("",)) -> Iterable[Column]:
    yield Column(f"GB per CPU-s of the server, {case}", case, "gb_per_cpu_second", 2)
    yield Column("x nginx", case, "gb_per_cpu_second", 2, against="nginx", kinds=kinds)


def fast(case: str, against: str = "nginx") -> Iterable[Column]:
    """Yield throughput, its cost to the machine, and the part of the cost that the server is charged for."""
    for title, key in (
        ("GB/s", "gb_per_second"),
        ("GB per CPU-s of the machine", "gb_per_cpu_second_of_the_machine"),
        ("GB per CPU-s of the server", "gb_per_cpu_second"),
    ):
        yield Column(title, case, key, 2)
        yield Column(f"x {against}", case, key, 2, against=against)


def bounded(case: str) -> Iterable[Column]:
    yield from fast(case)
    yield Column("kernel, largest sum, MiB", case, "most_kernel_bytes", 1, 1 << 20)


def held(case: str) -> Iterable[Column]:
    yield Column("running at once", case, "downloads", 0)
    yield Column("every byte right", case, "right", 0)
    yield Column("process growth, MB", case, "growth_bytes", 1, 1e6)
    yield Column("kernel, MB", case, "kernel_bytes", 1, 1e6)
    yield Column("together, MB", case, "together_bytes", 1, 1e6)
    yield Column("together, largest, MB", case, "most_together_bytes", 1, 1e6)
    yield Column("process after, above before, MiB", case, "left_bytes", 1, 1 << 20)


def far(line: wan.LongLink) -> Iterable[Column]:
    for clients in wan.CLIENTS:
        where = wan.case_name(line, clients)
        yield Column(f"MB/s, {clients}", where, "mb_per_second", 1)
        yield Column("x nginx", where, "mb_per_second", 2, against="nginx")
        yield Column("kernel, MB", where, "most_kernel_bytes", 1, 1e6)


def small(case: str) -> Iterable[Column]:
    yield Column("GB per CPU-s of the server", case, "gb_per_cpu_second", 2)
    yield Column("x nginx", case, "gb_per_cpu_second", 2, against="nginx", kinds=(" h2",))
    yield Column("GB/s", case, "gb_per_second", 2)
    yield Column("x nginx", case, "gb_per_second", 2, against="nginx", kinds=(" h2",))


COLUMNS: Mapping[str, Sequence[Column]] = {
    **{f"throughput-{clients}": tuple(fast(clients)) for clients in ("1", "64", "500")},
    **{f"tls-{clients}": tuple(fast(clients)) for clients in ("1", "16", "100")},
    "tls-memory": (Column("KiB per download, 1,000", "1000", "bytes_per_download", 1, 1024),),
    "workers": tuple(fast("16", "freight 1")),
    **{f"price-{clients}": tuple(bounded(clients)) for clients in ("64", "500")},
    **{f"price-{clients}-stalled": tuple(bounded(f"{clients} + 100 stalled")) for clients in ("64", "500")},
    "h2": (
        *(column for case in ("1", "16", "100") for column in per_cpu(case, (" h2c", " https", " h2"))),
        Column("KiB per stream, 1,000", "1000", "bytes_per_download", 1, 1024),
    ),
    "windows": tuple(small("1")),
    **{f"wan-{number}": tuple(far(line)) for number, line in enumerate(wan.LINES, 1)},
    "ranges-latency": tuple(
        column
        for title, key in (
            ("p50 alone, ms", "idle_p50_ms"),
            ("p99 alone, ms", "idle_p99_ms"),
            ("p50 beside 64 downloads, ms", "loaded_p50_ms"),
            ("p99 beside 64 downloads, ms", "loaded_p99_ms"),
        )
        for column in (
            Column(title, ranges.LATENCY, key, 2),
            Column("x nginx", ranges.LATENCY, key, 2, against="nginx"),
        )
    ),
    "memory": (
        Column("idle, MiB", "500", "idle_bytes", 1, 1 << 20),
        Column("KiB per download, 500", "500", "bytes_per_download", 1, 1024),
        Column("after them, MiB", "500", "after_bytes", 1, 1 << 20),
        Column("KiB per download, 10,000", "10000", "bytes_per_download", 1, 1024),
        Column("process with 10,000, MiB", "10000", "during_bytes", 1, 1 << 20),
    ),
    "stalled": (
        Column("kernel KiB per client", "500", "kernel_bytes_per_client", 1, 1024),
        Column("the largest, KiB", "500", "kernel_bytes_most", 1, 1024),
        Column("kernel, all 500, MiB", "500", "kernel_bytes", 1, 1 << 20),
        Column("process, MiB", "500", "process_bytes", 1, 1 << 20),
    ),
    "cold": (
        Column("p50 idle, ms", "32", "idle_p50_ms", 2),
        Column("p50 loaded, ms", "32", "loaded_p50_ms", 2),
        Column("p99 idle, ms", "32", "idle_p99_ms", 2),
        Column("p99 loaded, ms", "32", "loaded_p99_ms", 2),
        Column("p99 loaded / idle", "32", "p99_ratio", 2),
    ),
    "start": (
        Column("first byte, ms", "1", "first_byte_seconds", 0, 0.001),
        Column("idle, MiB", "1", "idle_bytes", 1, 1 << 20),
    ),
    "listings": (
        *(Column(f"{order}, s", order, "seconds", 2) for order in ("name", "name desc", "size", "date desc")),
        *(Column(f"{order}, x nginx", order, "seconds", 1, against="nginx") for order in ("name", "size", "date")),
        Column("CPU s by size", "size", "cpu_seconds", 2),
        Column("MB", "name", "bytes", 1, 1e6),
    ),
    "budget": tuple(held("loopback")),
    "budget-veth": tuple(held("veth")),
    "many": (
        Column("running at once", "10000", "downloads", 0),
        Column("every byte right", "10000", "right", 0),
        Column("process, KiB per client", "10000", "growth_per_client", 1, 1024),
        Column("kernel, KiB per client", "10000", "kernel_per_client", 1, 1024),
        Column("together, MB", "10000", "together_bytes", 1, 1e6),
        Column("together, largest, MB", "10000", "most_together_bytes", 1, 1e6),
    ),
    "oversold": (
        Column("whole", "2000", "whole", 0),
        Column("refused", "2000", "refused", 0),
        Column("GB/s", "2000", "gb_per_second", 2),
        Column("x no limit", "2000", "gb_per_second", 2, against="freight no limit"),
        Column("wait p50, s", "2000", "wait_p50_seconds", 2),
        Column("wait p99, s", "2000", "wait_p99_seconds", 2),
        Column("longest wait, s", "2000", "wait_most_seconds", 2),
    ),
    "fairness": (
        Column("least share of the 8", "9", "least_share", 2),
        Column("largest share of the 8", "9", "largest_share", 2),
        Column("share of the one with 64", "9", "greedy_share", 2),
        Column("GB/s", "9", "gb_per_second", 2),
    ),
    "rates": tuple(
        Column(f"measured / asked, {number}", case, "of_asked", 3)
        for case, number in (("1", "1 connection"), ("8", "8 connections"), ("64", "64 connections"))
    ),
    "express": (
        Column("giants running", "600", "running", 0),
        Column("p50 without them, ms", "600", "idle_p50_ms", 2),
        Column("p99 without them, ms", "600", "idle_p99_ms", 2),
        Column("p50, ms", "600", "busy_p50_ms", 2),
        Column("p99, ms", "600", "busy_p99_ms", 2),
    ),
    "siege": (
        Column("GB/s calm", "64", "calm_gb_per_second", 2),
        Column("GB/s attacked", "64", "attacked_gb_per_second", 2),
        Column("attacked / calm", "64", "kept_throughput", 2),
        Column("p99 calm, ms", "64", "calm_p99_ms", 2),
        Column("p99 attacked, ms", "64", "attacked_p99_ms", 2),
        Column("p99 attacked / calm", "64", "p99_ratio", 2),
        Column("attackers connected", "64", "attackers_standing", 0),
    ),
}
