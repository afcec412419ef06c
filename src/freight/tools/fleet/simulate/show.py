"""Show the rows as a table of 80 columns, or as JSON: docs/reference/fleet-simulate.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from textwrap import fill

from freight.tools.fleet.simulate.query import SimulationQuery, SimulationRow, node_slots
from freight.units import brief_rate, brief_seconds, brief_size, chosen_size

_COLUMNS: dict[str, Callable[[SimulationRow], str]] = {
    "nodes": lambda row: f"{row.nodes:,}",
    "policy": lambda row: row.policy,
    "seed": lambda row: f"{row.seed}",
    "p50": lambda row: brief_seconds(row.wait_p50_seconds),
    "p99": lambda row: brief_seconds(row.wait_p99_seconds),
    "slowed": lambda row: f"{row.slowed_p99:.1f}x",
    "refused": lambda row: _percent(row.refused),
    "hits": lambda row: _percent(row.hits),
    "disks/s": lambda row: brief_size(row.read_bytes / row.seconds),
    "links/s": lambda row: brief_size(row.sent_bytes / row.seconds),
    "busy": lambda row: f"{row.busiest:.2f}",
}

_WIDTH = 78

_LEGEND = """\
p50, p99  wait for a slot: half, and 99 of 100, of the downloads waited at most
          this long
slowed    time of a download, divided by what its client alone would need: 99
          of 100 at most this much (1.0x: not slowed)
refused   requests that found the queue full, or waited for --queue-timeout
hits      bytes that came from a page cache; the others came from a disk
disks/s   bytes read per second from the disks of all nodes
links/s   bytes sent per second by all nodes
busy      load of the busiest node; 1 is the mean of all nodes"""


def table(query: SimulationQuery, rows: Sequence[SimulationRow]) -> str:
    """Return the rows in columns, the meaning of the columns, and the nodes that were simulated."""
    columns = {name: say for name, say in _COLUMNS.items() if name != "seed" or len(query.seeds) > 1}
    cells = [[*columns], *([say(row) for say in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:{'<' if column == 1 else '>'}{widths[column]}}" for column, cell in enumerate(line)).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, "", _LEGEND, "", simulated(query)])


def simulated(query: SimulationQuery) -> str:
    """Return the paragraph that says what was simulated."""
    catalogue = query.catalogue
    said = (
        f"Simulated: nodes with --memory {chosen_size(query.memory_bytes)} ({node_slots(query):,} slots), a "
        f"link of {brief_rate(query.link)}, a disk of {brief_rate(query.disk)} and a page cache of "
        f"{chosen_size(query.cache_bytes)}; {query.arrivals:.3g} requests/s for each node; "
        f"{catalogue.count:,} files of {brief_size(catalogue.mean_bytes)} on average."
    )
    return fill(said, _WIDTH)


def as_json(query: SimulationQuery, rows: Sequence[SimulationRow]) -> str:
    """Return a JSON object: sizes in bytes, rates in bytes per second, times in seconds, fractions from 0 to 1."""
    shown = {"question": as_dict(query), "slots": node_slots(query)}
    return json.dumps(shown | {"rows": [asdict(row) | {"refused": row.refused} for row in rows]}, indent=2)


def as_dict(query: SimulationQuery) -> dict[str, object]:
    """Return the query, with names for the parts of each pair."""
    return asdict(query) | {"clients": [{"rate": rate, "part": part} for rate, part in query.clients]}


def _percent(part: float) -> str:
    if 0 < part < 0.001:
        return "<0.1%"
    return f"{part:.1%}"
