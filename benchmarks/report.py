"""Regenerate every figure in the READMEs from ``results/*.json``, so that none is typed by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from . import range_tables
from .bars import BARS
from .columns import COLUMNS
from .figure import price_of_the_bound
from .hostile import cells, left_out, titles
from .results import Result, load
from .summary import compared, lost, metric, why

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "STATUS.md")
FIGURE = ROOT / "docs" / "figures" / "price-of-the-bound.svg"
BLOCK = re.compile(r"(<!-- bench:(?P<name>[\w-]+) -->\n).*?(<!-- /bench:(?P=name) -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet.\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table. All but the first ``left`` columns are aligned to the right."""
    rule = ["---"] * left + ["--:"] * (len(titles) - left)
    return "".join("| " + " | ".join(row) + " |\n" for row in (titles, rule, *rows))


def scenario(name: str, results: Mapping[str, Result]) -> str:
    """Return a scenario's table with a row for each server, and the missing servers with the reasons."""
    source = name.partition("-")[0]
    if source not in results:
        return NOT_MEASURED
    result, columns = results[source], COLUMNS[name]
    cases = {column.case for column in columns}
    rows = [
        [peer, *(column.cell(result, peer) for column in columns)]
        for peer in result.peers
        if any(sample["peer"] == peer and sample["case"] in cases for sample in result.samples)
    ]
    missing = "; ".join(f"{peer} ({why})" for peer, why in result.excluded.items())
    text = table(["server", *(column.title for column in columns)], rows)
    text += f"\nMedian of {result.rounds} alternating rounds (smallest-largest).{suites(result)}\n"
    return text + (f"\nLeft out: {missing}.\n" if missing else "")


def suites(result: Result) -> str:
    """Return the usual TLS suite and the servers that used another; "" for a scenario without TLS."""
    spoken = Counter((sample["cipher"], sample["peer"]) for sample in result.samples if "cipher" in sample)
    if not spoken:
        return ""
    usual, _ = Counter(cipher for cipher, _ in spoken.elements()).most_common(1)[0]
    others = "".join(f", {peer} by {cipher}" for cipher, peer in spoken if cipher != usual)
    return f" TLS was {usual}{others}."


def number(value: float) -> str:
    """Return three digits, or all digits of a larger number: ``0.909``, ``10,000``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bars(results: Mapping[str, Result]) -> str:
    """Return the table of requirements: the limit, the measured figure, and yes or no."""
    rows = []
    for bar in BARS:
        value, holds = bar.figure(results), bar.holds(results)
        asked = f"{'at least' if bar.least else 'at most'} {number(bar.limit)}{bar.unit}"
        found = "not measured" if value is None else f"{number(value)}{bar.unit}"
        rows.append([bar.what, asked, found, {True: "yes", False: "**no**", None: "-"}[holds]])
    return table(["what", "asked", "measured", "kept"], rows, left=4)


def peers(results: Mapping[str, Result]) -> str:
    """Return the table of the servers' versions and exact commands."""
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


def attack(results: Mapping[str, Result]) -> str:
    """Return the table of what each attack does to honest clients of each server."""
    if "attack" not in results:
        return NOT_MEASURED
    result = results["attack"]
    text = table(titles(result), cells(result), left=2)
    return text + (f"\nLeft out: {left_out(result)}.\n" if result.excluded else "")


def rates_of_ranges(results: Mapping[str, Result], kind: str) -> str:
    """Return two tables of one protocol, with each server's ratio to nginx in brackets."""
    if "ranges" not in results:
        return NOT_MEASURED
    result = results["ranges"]
    tables = (
        f"{title}:\n\n{table(*range_tables.rates(result, kind, key), left=2)}"
        for title, key in range_tables.FIGURES.items()
    )
    return "\n".join((*tables, f"Median of {result.rounds} alternating rounds.\n"))


def replays(results: Mapping[str, Result]) -> str:
    """Return the table of what libraries read of data files."""
    if "ranges" not in results:
        return NOT_MEASURED
    result = results["ranges"]
    return f"{table(*range_tables.replays(result), left=2)}\nMedian of {result.rounds} alternating rounds.\n"


Block = Callable[[Mapping[str, Result]], str]
BLOCKS: Mapping[str, Block] = {
    "attack": attack,
    "bars": bars,
    "compared": compared,
    "lost": lost,
    "machine": machine,
    "metric": metric,
    "peers": peers,
    "ranges-http": partial(rates_of_ranges, kind=""),
    "ranges-https": partial(rates_of_ranges, kind=" https"),
    "ranges-h2": partial(rates_of_ranges, kind=" h2"),
    "ranges-replay": replays,
    "why": why,
}


def block(name: str, results: Mapping[str, Result]) -> str | None:
    """Return the text between the markers of this name; None for an unknown name."""
    if name in BLOCKS:
        return BLOCKS[name](results)
    return scenario(name, results) if name in COLUMNS else None


def rewrite(page: str, results: Mapping[str, Result]) -> str:
    """Return the page with each block between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->`` regenerated."""

    def regenerated(match: re.Match[str]) -> str:
        text = block(match["name"], results)
        return match[0] if text is None else f"{match[1]}{text}{match[3]}"

    return BLOCK.sub(regenerated, page)


def regenerate() -> None:
    """Rewrite the pages and the figure from the results."""
    results = load(RESULTS)
    for page in PAGES:
        if page.exists():
            page.write_text(rewrite(page.read_text(), results))
    if "price" in results:
        FIGURE.parent.mkdir(parents=True, exist_ok=True)
        FIGURE.write_text(price_of_the_bound(results["price"]))


SPEED = ("throughput", "tls", "workers", "price")
"""The scenarios that show what a byte costs the machine and the server."""


def show(folder: Path, measured: Iterable[str] = ()) -> int:
    """Print the ``measured`` tables of speed, and the requirements. Return 1 if one is not met."""
    results = load(folder)
    wanted = {name for name in measured if name in SPEED and name in results}
    if wanted:
        print(metric(results))
    for name in COLUMNS:
        if name.partition("-")[0] in wanted:
            print(f"{name}:\n\n{scenario(name, results)}")
    print(bars(results))
    return int(any(bar.holds(results) is False for bar in BARS))
