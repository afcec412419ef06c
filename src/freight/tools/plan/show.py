"""Show a plan as a table of 80 columns, or as JSON. docs/reference/plan.md explains the columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from textwrap import fill

from freight.memory.budget import LONG_PATH_SECONDS
from freight.memory.costs import CONNECTION_COST, FAST_WINDOW, WAITING_COST, WINDOW_MIN
from freight.tools.plan.capacity import CapacityQuery, CapacityRow, extra_cost
from freight.units import brief_rate, brief_size, chosen_size

_COLUMNS: dict[str, Callable[[CapacityRow], str]] = {
    "clients": lambda row: f"{row.clients:,}",
    "nodes": lambda row: f"{row.nodes:,}",
    "memory": lambda row: chosen_size(row.memory_bytes),
    "window": lambda row: brief_size(row.window_bytes),
    "held": lambda row: brief_size(row.held_least_bytes),
    "to": lambda row: brief_size(row.held_lent_bytes),
}
_OF_LINK: dict[str, Callable[[CapacityRow], str]] = {
    "rate each": lambda row: "" if row.rate_bytes_per_second is None else brief_rate(row.rate_bytes_per_second),
    "bound by": lambda row: row.bound_by or "",
}

_WIDTH = 78
_LEGEND = """\
clients    concurrent downloads, on all nodes together
nodes      servers needed; the other columns are about the one with the most
           clients
memory     its --memory, which it never exceeds
window     kernel buffer of each client while all run, on average
held, to   memory of process and kernel together: while all clients stall, and
           while all run with the largest buffers that they can have"""
_LEGEND_OF_LINK = """\
rate each  highest speed of each client while all run
bound by   what limits it: the window (one per round trip), or an equal share of
           the link"""


def table(query: CapacityQuery, rows: Sequence[CapacityRow]) -> str:
    """Return the rows in columns, with a mark for those that the query named, and the meaning of the columns."""
    of_link = query.rtt_seconds is not None or query.link_bytes_per_second is not None
    columns = _COLUMNS | (_OF_LINK if of_link else {})
    cells = [[*columns], *([show(row) for show in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    marks = ["  ", *("> " if row.asked else "  " for row in rows)]
    lines = [
        mark + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for mark, line in zip(marks, cells, strict=True)
    ]
    legend = [_LEGEND, *([_LEGEND_OF_LINK] if of_link else [])]
    return "\n".join([*lines, "", *legend, "", footer(query)])


def footer(query: CapacityQuery) -> str:
    """Return the paragraph that says where the numbers come from."""
    cost = CONNECTION_COST + extra_cost(query.mix)
    said = (
        "Calculated with the memory budget of the server itself: a download needs at least "
        f"{brief_size(WINDOW_MIN)} in the kernel and {brief_size(cost)} in the process, a waiting request "
        f"{brief_size(cost + WAITING_COST)}. {_about_paths(query)} The kernel of this host limits a send queue to "
        f"{brief_size(query.largest_bytes)} (net.ipv4.tcp_wmem)."
    )
    return fill(said, _WIDTH, break_on_hyphens=False)


def _about_paths(query: CapacityQuery) -> str:
    """Return the sentence about the largest window of a client."""
    near = brief_size(FAST_WINDOW)
    if query.rtt_seconds is None or query.rtt_seconds < LONG_PATH_SECONDS:
        return f"A client with a round trip below {LONG_PATH_SECONDS * 1000:g}ms (--rtt) gets at most {near}."
    if query.link_bytes_per_second is None:
        return "A distant client is assumed to use the largest window that it can get."
    return (
        "A distant client is assumed to use twice the bytes that its share of the link sends in a round trip, or "
        f"{near} if that is more."
    )


def as_json(query: CapacityQuery, rows: Sequence[CapacityRow]) -> str:
    """Return a JSON object: sizes in bytes, rates in bytes per second, times in seconds."""
    asked = asdict(query) | {"mix": dict(query.mix)}
    costs = {
        "window_least_bytes": WINDOW_MIN,
        "connection_bytes": CONNECTION_COST + extra_cost(query.mix),
        "waiting_bytes": WAITING_COST,
        "largest_bytes": asked.pop("largest_bytes"),
    }
    shown = {"calculated_by": "freight.memory.budget.Budget", "costs": costs, "question": asked}
    return json.dumps(shown | {"rows": [asdict(row) for row in rows]}, indent=2)
