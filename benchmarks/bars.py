"""The requirements for freight, each with the measured figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .results import Result, median_of

Results = Mapping[str, Result]
Figure = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """One requirement. ``least``: the limit is a minimum. ``unit`` is appended to both figures."""

    what: str
    limit: float
    unit: str
    least: bool
    figure: Figure

    def holds(self, results: Results) -> bool | None:
        """Return whether it is met; None if it was not measured."""
        value = self.figure(results)
        if value is None:
            return None
        return value >= self.limit if self.least else value <= self.limit


def ratio(scenario: str, peer: str, against: str, case: str, key: str = "gb_per_cpu_second") -> Figure:
    def figure(results: Results) -> float | None:
        return median_of(results[scenario].paired(peer, against, case, key)) if scenario in results else None

    return figure


def plain(scenario: str, peer: str, case: str, key: str, scale: float = 1) -> Figure:
    def figure(results: Results) -> float | None:
        value = median_of(results[scenario].values(peer, case, key)) if scenario in results else None
        return None if value is None else value / scale

    return figure


def least(scenario: str, peer: str, case: str, key: str) -> Figure:
    """Return the minimum of all rounds, 0 if one failed: a median does not show that a limit holds each time."""

    def figure(results: Results) -> float | None:
        if scenario not in results:
            return None
        if results[scenario].failed(peer, case):
            return 0
        return min(results[scenario].values(peer, case, key), default=None)

    return figure


def largest(scenario: str, peer: str, case: str, key: str, scale: float = 1) -> Figure:
    """Return the maximum of all rounds."""

    def figure(results: Results) -> float | None:
        values = results[scenario].values(peer, case, key) if scenario in results else []
        return max(values) / scale if values else None

    return figure


def worst(scenario: str, key: str, of: Callable[[list[float]], float | None] = max, scale: float = 1) -> Figure:
    """Return the maximum, over all servers and cases with this figure, of ``of`` their rounds."""

    def figure(results: Results) -> float | None:
        if scenario not in results:
            return None
        result = results[scenario]
        rounds = [result.values(peer, case, key) for case in result.cases() for peer in result.peers]
        found = [value for values in rounds if values and (value := of(values)) is not None]
        return max(found) / scale if found else None

    return figure


def of_all(scenario: str, peer: str, key: str, of: Callable[[list[float]], float], scale: float = 1) -> Figure:
    """Return the maximum or minimum of all cases and rounds of one server."""

    def figure(results: Results) -> float | None:
        if scenario not in results:
            return None
        result = results[scenario]
        found = [value for case in result.cases() for value in result.values(peer, case, key)]
        return of(found) / scale if found else None

    return figure


def floor(what: str, limit: float, unit: str, figure: Figure) -> Bar:
    return Bar(what, limit, unit, True, figure)


def ceiling(what: str, limit: float, unit: str, figure: Figure) -> Bar:
    return Bar(what, limit, unit, False, figure)


def held(network: str) -> tuple[Bar, ...]:
    """Return the limits for 500 clients that stop during a download with ``--memory 20MB``."""
    where = ("budget", "freight 20MB", network)
    what = f"500 stalled, `--memory 20MB`, {network}"
    return (
        floor(f"{what}: running at once", 500, "", least(*where, "downloads")),
        floor(f"{what}: every byte right", 500, "", least(*where, "right")),
        ceiling(f"{what}: process and kernel, once stalled", 20, " MB", largest(*where, "together_bytes", 1e6)),
        ceiling(f"{what}: process and kernel, at any reading", 20, " MB", largest(*where, "most_together_bytes", 1e6)),
        ceiling(f"{what}: growth of the process afterwards", 1, " MiB", plain(*where, "left_bytes", 1 << 20)),
    )


PER_CPU = "GB per CPU-second of the server"
OF_MACHINE = "gb_per_cpu_second_of_the_machine"
BUDGET_SHARE = "share_of_budget"
MANY = "freight 512MB"
H2C = "freight 4GiB h2c"
HTTP2 = ((" h2c", "HTTP/2 without TLS"), (" h2", "HTTP/2 over TLS"))
OVERSOLD, SLOTS = "2,000 clients for 500 slots", "freight 500 slots"
BARS = (
    *(
        floor(
            f"{what}, default budget, {clients} clients",
            1,
            "x nginx",
            ratio("throughput", "freight", "nginx", clients, key),
        )
        for clients in ("64", "500")
        for what, key in (
            ("Throughput of the saturated machine", "gb_per_second"),
            ("GB per CPU-second of the machine", OF_MACHINE),
        )
    ),
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
    *(
        floor(f"{PER_CPU}, {what}, {clients}", 1, "x nginx", ratio("h2", f"freight 4GiB{kind}", f"nginx{kind}", case))
        for kind, what in HTTP2
        for case, clients in (("1", "1 client"), ("16", "16 clients"), ("100", "100 clients"))
    ),
    *(
        floor(f"{PER_CPU}, HTTP/2 without TLS, {clients}", 2, "x over TLS", ratio("h2", H2C, "freight 4GiB h2", case))
        for case, clients in (("1", "1 client"), ("16", "16 clients"), ("100", "100 clients"))
    ),
    ceiling(
        "Process memory per download, 10,000 running",
        4,
        " KiB",
        plain("memory", "freight 4GiB", "10000", "bytes_per_download", 1024),
    ),
    *(
        floor(f"{PER_CPU}, HTTPS, `--memory 4GiB`, {case}", 1, "x nginx", ratio("tls", "freight 4GiB", "nginx", number))
        for number, case in (("1", "1 client"), ("16", "16 clients"), ("100", "100 clients"))
    ),
    ceiling(
        "Process memory per download by HTTPS, 1,000 running",
        40,
        " KiB",
        plain("tls", "freight 4GiB", "1000", "bytes_per_download", 1024),
    ),
    *(
        ceiling(
            f"Process memory per stream, 1,000 on 10 connections, {what}",
            8,
            " KiB",
            plain("h2", f"freight 4GiB{kind}", "1000", "bytes_per_download", 1024),
        )
        for kind, what in HTTP2
    ),
    ceiling("Process memory, idle", 20, " MiB", plain("start", "freight", "1", "idle_bytes", 1 << 20)),
    ceiling("First byte after the command", 400, " ms", plain("start", "freight", "1", "first_byte_seconds", 0.001)),
    floor(
        "64 KiB ranges per CPU-second, kept-alive",
        2,
        "x aiohttp",
        ratio("ranges", "freight", "aiohttp", "64 KiB, 16", "requests_per_cpu_second"),
    ),
    ceiling(
        "Kernel memory per stalled client, `--memory 20MB`, 500 of them",
        36,
        " KiB",
        plain("stalled", "freight 20MB", "500", "kernel_bytes_per_client", 1024),
    ),
    ceiling("p99 of hot ranges beside 32 cold downloads", 3, "x idle", plain("cold", "freight", "32", "p99_ratio")),
    floor(f"{PER_CPU}, `--memory 64MiB`, 500 clients", 0.9, "x nginx", ratio("price", "freight 64MiB", "nginx", "500")),
    floor(
        f"{PER_CPU}, `--memory 64MiB`, 500 clients beside 100 stalled",
        0.9,
        "x nginx",
        ratio("price", "freight 64MiB", "nginx", "500 + 100 stalled"),
    ),
    ceiling(
        "Send queues of all `price` clients together, at any reading of any budget",
        1,
        "x the budget",
        worst("price", BUDGET_SHARE),
    ),
    *(bar for network in ("loopback", "veth") for bar in held(network)),
    floor("10,000 downloads, `--memory 512MB`: every byte right", 10_000, "", least("many", MANY, "10000", "right")),
    ceiling(
        "10,000 downloads, `--memory 512MB`: process and kernel, at any reading",
        512,
        " MB",
        largest("many", MANY, "10000", "most_together_bytes", 1e6),
    ),
    floor(f"{OVERSOLD}: whole files", 2000, "", least("oversold", SLOTS, "2000", "whole")),
    ceiling(f"{OVERSOLD}: refused", 0, "", largest("oversold", SLOTS, "2000", "refused")),
    floor(
        f"{OVERSOLD}: throughput",
        0.95,
        "x `--memory 16GiB`",
        ratio("oversold", SLOTS, "freight no limit", "2000", "gb_per_second"),
    ),
    floor(
        "The smallest share of 8 clients beside one with 64 connections",
        0.8,
        " of an equal share",
        plain("fairness", "freight scarce", "9", "least_share"),
    ),
    ceiling("Rates: the largest difference from what was set", 10, "%", worst("rates", "off", median_of, 0.01)),
    ceiling(
        "p99 of 10 KB while stalled downloads have every slot",
        50,
        " ms",
        plain("express", "freight 20MB", "600", "busy_p99_ms"),
    ),
    floor("Throughput under attack", 0.8, "x calm", least("siege", "freight", "64", "kept_throughput")),
    ceiling("p99 of 10 KB under attack", 1.25, "x calm", plain("siege", "freight", "64", "p99_ratio")),
    ceiling("p99 of 10 KB, the worst of all attacks", 50, " ms", of_all("attack", "freight", "attacked_p99_ms", max)),
    floor("Downloads, the worst of all attacks", 0.8, "x calm", of_all("attack", "freight", "kept_throughput", min)),
    ceiling("Honest requests that failed, all attacks", 0, "", of_all("attack", "freight", "attacked_errors", max)),
    ceiling(
        "Growth of the process and send buffers, the worst of all attacks, `--memory 64MB`",
        64,
        " MB",
        of_all("attack", "freight", "most_growth_bytes", max, 1e6),
    ),
)
