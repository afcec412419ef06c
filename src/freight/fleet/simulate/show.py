"""The rows for people, as a table of 80 columns, and for programs, as JSON: docs/reference/fleet-simulate.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from textwrap import fill

from freight.fleet.simulate.question import Question, Row, machine_slots
from freight.quantities import brief_rate, brief_seconds, brief_size, chosen_size

_COLUMNS: dict[str, Callable[[Row], str]] = {
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
p50 p99  how long half, and 99 of 100, of those served waited at most
slowed   how many times as long as its client alone a download took, 99 of 100
         at most
refused  found the line full, or waited in it for longer than --max-wait
hits     bytes that were in a page cache; the others come from the disks
busy     what the busiest node sent, the mean of all being 1"""


def table(question: Question, rows: Sequence[Row]) -> str:
    """The rows in columns, what the columns mean, and what a node is."""
    columns = {name: say for name, say in _COLUMNS.items() if name != "seed" or len(question.seeds) > 1}
    cells = [[*columns], *([say(row) for say in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:{'<' if column == 1 else '>'}{widths[column]}}" for column, cell in enumerate(line)).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, "", _LEGEND, "", modelled(question)])


def modelled(question: Question) -> str:
    """Whose figures these are."""
    catalogue = question.catalogue
    said = (
        f"A model, of nodes with {chosen_size(question.memory_bytes)} ({machine_slots(question):,} slots), a link of "
        f"{brief_rate(question.link)}, a disk of {brief_rate(question.disk)}, a page cache of "
        f"{chosen_size(question.cache_bytes)}; a load of {question.arrivals:.3g} requests/s "
        f"for each, of {catalogue.count:,} files of {brief_size(catalogue.mean_bytes)}."
    )
    return fill(said, _WIDTH)


def as_json(question: Question, rows: Sequence[Row]) -> str:
    """The same as an object: sizes in bytes, rates in bytes a second, times in seconds, parts of 1."""
    shown = {"question": as_dict(question), "slots": machine_slots(question)}
    return json.dumps(shown | {"rows": [asdict(row) | {"refused": row.refused} for row in rows]}, indent=2)


def as_dict(question: Question) -> dict[str, object]:
    """What was asked, by names that say what is what."""
    return asdict(question) | {"clients": [{"rate": rate, "part": part} for rate, part in question.clients]}


def _percent(part: float) -> str:
    if 0 < part < 0.001:
        return "<0.1%"
    return f"{part:.1%}"
