"""The figures of the front page: why freight exists, one table, and where it loses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from freight.units import brief_size

from .results import Result, median_of

Results = Mapping[str, Result]
SERVERS = {"freight": "freight", "nginx": "nginx", "caddy": "Caddy", "go-ServeFile": "Go `ServeFile`"}
NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the median of one figure and case, formatted by ``write``."""

    title: str
    scenario: str
    case: str
    key: str
    write: Callable[[float], str]

    def figure(self, results: Results, peer: str) -> float | None:
        if self.scenario not in results:
            return None
        return median_of(results[self.scenario].values(peer, self.case, self.key))

    def cell(self, results: Results, peer: str) -> str:
        value = self.figure(results, peer)
        return NOT_MEASURED if value is None else self.write(value)


def size(size_bytes: float) -> str:
    """Return a size with three digits: ``14.0 MB``."""
    text = brief_size(size_bytes)
    number = text.rstrip("kMGTB")
    return f"{number} {text[len(number) :]}"


def gigabytes(count: float) -> str:
    return f"{count:#.3g} GB"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


OF_MACHINE = "gb_per_cpu_second_of_the_machine"
OF_SERVER = "gb_per_cpu_second"
STALLED = Row("kernel memory, 500 clients that stopped reading", "stalled", "500", "kernel_bytes", size)
FAST = Row("throughput, 500 fast clients", "throughput", "500", "gb_per_second", lambda rate: f"{gigabytes(rate)}/s")
FRUGAL = Row("sent per CPU-second of the machine, 500 fast clients", "throughput", "500", OF_MACHINE, gigabytes)
RANGES = Row(
    "64 KiB ranges per CPU-second", "ranges", "64 KiB, 16", "requests_per_cpu_second", lambda count: f"{count:,.0f}"
)
START = Row("first byte after the command", "start", "1", "first_byte_seconds", milliseconds)
ROWS: Sequence[Row] = (
    STALLED,
    Row("process memory per download, 500 running", "memory", "500", "bytes_per_download", size),
    FAST,
    FRUGAL,
    Row("the same by HTTPS, 100 clients", "tls", "100", OF_MACHINE, gigabytes),
    START,
)


def why(results: Results) -> str:
    """Return what the kernel holds for clients that stop reading, with nginx and with freight."""
    others, ours = STALLED.cell(results, "nginx"), STALLED.cell(results, "freight 20MB")
    return (
        "A client that stops reading keeps megabytes of the kernel's memory.\n"
        f"500 such clients hold **{others}** behind nginx, and **{ours}** behind `freight --memory 20MB`.\n"
    )


def compared(results: Results) -> str:
    """Return the table."""
    lines = ["| | " + " | ".join(SERVERS.values()) + " |", "|---|" + "--:|" * len(SERVERS)]
    lines += [f"| {row.title} | {' | '.join(row.cell(results, peer) for peer in SERVERS)} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def metric(results: Results) -> str:
    """Return why the machine's CPU time counts, with the parts that two servers are charged for."""
    shares = [(name, share) for name in ("nginx", "freight") if (share := _charged(results, name)) is not None]
    example = " and ".join(f"{name} is charged {share:.0%}" for name, share in shares)
    return (
        "Over the loopback a packet is delivered within the call that sends it: from a deep send queue that is often "
        "the client's acknowledgement or a softirq, from a shallow one it is a call of the server"
        + (f" (of the machine's CPU time with 500 clients, {example})" if example else "")
        + ".\nSo GB per CPU-second of the server favours deep queues, while the throughput of the saturated machine, "
        "and GB per CPU-second of the whole machine, leave nothing out.\n"
    )


def _charged(results: Results, peer: str) -> float | None:
    """Return the part of the machine's CPU time that a server is charged for, with 500 clients."""
    samples = results["throughput"].samples if "throughput" in results else ()
    return median_of(
        [
            sample[OF_MACHINE] / sample[OF_SERVER]
            for sample in samples
            if (sample["peer"], sample["case"]) == (peer, "500") and OF_MACHINE in sample
        ]
    )


def lost(results: Results) -> str:
    """Return where nginx is better, in words."""
    said = [
        _lost(results, FAST, "sends {times} times as fast to 500 fast clients"),
        _lost(results, FRUGAL, "sends them {times} times as much per CPU-second of the machine"),
        _lost(results, RANGES, "answers {times} times as many small ranges per CPU-second"),
    ]
    ours, theirs = START.figure(results, "freight"), START.figure(results, "nginx")
    if ours is not None and theirs is not None and ours > theirs:
        said.append(f"starts in {milliseconds(theirs)} instead of {milliseconds(ours)}")
    losses = [each for each in said if each]
    if not losses:
        return "**Where freight loses**: nowhere in this table.\n"
    *first, last = losses
    return f"**Where freight loses**: nginx {', '.join(first)}{', and ' if first else ''}{last}.\n"


def _lost(results: Results, row: Row, words: str) -> str:
    ours, theirs = row.figure(results, "freight"), row.figure(results, "nginx")
    if ours is None or theirs is None or theirs <= ours:
        return ""
    return words.format(times=f"{theirs / ours:.2g}")
