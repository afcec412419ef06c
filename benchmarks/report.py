"""Regenerates every figure in the READMEs from ``results/*.json``, so that none is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bars import BARS
from .figure import price_of_the_bound
from .results import Result, load, middle

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
FIGURE = ROOT / "docs" / "figures" / "price-of-the-bound.svg"
BLOCK = re.compile(r"(<!-- bench:(?P<name>[\w-]+) -->\n).*?(<!-- /bench:(?P=name) -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a figure of one case, divided by ``scale``; or its ratio to ``against``."""

    title: str
    case: str
    key: str
    digits: int = 1
    scale: float = 1
    against: str = ""

    def cell(self, result: Result, peer: str) -> str:
        """Median and spread, ``9.1 (8.0-9.9)``."""
        if self.against and self.against == peer:
            return "1"
        values = (
            result.paired(peer, self.against, self.case, self.key)
            if self.against
            else [value / self.scale for value in result.values(peer, self.case, self.key)]
        )
        mid = middle(values)
        if mid is None:
            return "-"
        return f"{mid:,.{self.digits}f} ({min(values):,.{self.digits}f}-{max(values):,.{self.digits}f})"


def per_cpu(case: str) -> Iterable[Column]:
    clients = "1 client" if case == "1" else f"{case} clients"
    yield Column(f"GB per CPU-s, {clients}", case, "gb_per_cpu_second", 2)
    yield Column("x nginx", case, "gb_per_cpu_second", 2, against="nginx")


def beyond(case: str) -> Iterable[Column]:
    yield Column(f"GB per CPU-s of both ends, {case}", case, "gb_per_cpu_second_both_ends", 2)
    yield Column("x nginx", case, "gb_per_cpu_second_both_ends", 2, against="nginx")
    yield Column(f"GB/s, {case}", case, "gb_per_second", 2)


COLUMNS: Mapping[str, Sequence[Column]] = {
    "throughput": (*per_cpu("1"), *per_cpu("64"), *per_cpu("500")),
    "throughput-more": (*beyond("1"), *beyond("64"), *beyond("500")),
    "price": (*per_cpu("64"), *per_cpu("500")),
    "ranges": (
        Column("requests per CPU-s", "16", "requests_per_cpu_second", 0),
        Column("x aiohttp", "16", "requests_per_cpu_second", 2, against="aiohttp"),
        Column("requests/s", "16", "requests_per_second", 0),
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
}


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all but the first ``left`` columns are aligned to the right."""
    rule = ["---"] * left + ["--:"] * (len(titles) - left)
    return "".join("| " + " | ".join(row) + " |\n" for row in (titles, rule, *rows))


def scenario(name: str, results: Mapping[str, Result]) -> str:
    """One scenario's table: a row a server, and below it who is missing and why."""
    source = name.removesuffix("-more")
    if source not in results:
        return NOT_MEASURED
    result, columns = results[source], COLUMNS[name]
    rows = [[peer, *(column.cell(result, peer) for column in columns)] for peer in result.peers]
    missing = "; ".join(f"{peer} ({why})" for peer, why in result.excluded.items())
    text = table(["server", *(column.title for column in columns)], rows)
    text += f"\nMedian of {result.rounds} alternating rounds (smallest-largest).\n"
    return text + (f"\nLeft out: {missing}.\n" if missing else "")


def bars(results: Mapping[str, Result]) -> str:
    """Each bar, what it asks, what was measured, and yes or no."""
    rows = []
    for bar in BARS:
        value, holds = bar.figure(results), bar.holds(results)
        asked = f"{'at least' if bar.least else 'at most'} {bar.limit:g}{bar.unit}"
        found = "not measured" if value is None else f"{value:.3g}{bar.unit}"
        rows.append([bar.what, asked, found, {True: "yes", False: "**no**", None: "-"}[holds]])
    return table(["what", "asked", "measured", "kept"], rows, left=4)


def peers(results: Mapping[str, Result]) -> str:
    """Every server's version and exact command, once."""
    known = {name: peer for result in results.values() for name, peer in result.peers.items()}
    rows = [[name, peer["version"], f"`{peer['command']}`"] for name, peer in known.items()]
    return table(["server", "version", "command"], rows, left=3) if rows else NOT_MEASURED


def machine(results: Mapping[str, Result]) -> str:
    if not results:
        return NOT_MEASURED
    last = list(results.values())[-1].machine
    sysctl = ", ".join(f"{name} = {value}" for name, value in last["sysctl"].items())
    about = f"{last['cores']} cores ({last['cpu']}), {last['memory_bytes'] / (1 << 30):.0f} GiB"
    return f"{about}, Linux {last['kernel']}, Python {last['python']}; {sysctl}.\n"


Block = Callable[[Mapping[str, Result]], str]
BLOCKS: Mapping[str, Block] = {"bars": bars, "peers": peers, "machine": machine}


def block(name: str, results: Mapping[str, Result]) -> str | None:
    """What belongs between the markers of this name; None for a name nobody knows."""
    if name in BLOCKS:
        return BLOCKS[name](results)
    return scenario(name, results) if name in COLUMNS else None


def rewrite(page: str, results: Mapping[str, Result]) -> str:
    """The page with every block between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->`` made anew."""

    def anew(match: re.Match[str]) -> str:
        text = block(match["name"], results)
        return match[0] if text is None else f"{match[1]}{text}{match[3]}"

    return BLOCK.sub(anew, page)


def regenerate(folder: Path = RESULTS) -> None:
    """Rewrite the pages and the figure from what was measured."""
    results = load(folder)
    for page in PAGES:
        if page.exists():
            page.write_text(rewrite(page.read_text(), results))
    if "price" in results:
        FIGURE.parent.mkdir(parents=True, exist_ok=True)
        FIGURE.write_text(price_of_the_bound(results["price"]))


def show(folder: Path) -> int:
    """Print the bars; 1 when one of them is not kept."""
    results = load(folder)
    print(bars(results))
    return int(any(bar.holds(results) is False for bar in BARS))
