"""Show a plan as a table of 80 columns, or as JSON. docs/reference/plan.md explains the columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from textwrap import fill

from freight.flow.budget import FAR_SECONDS, FAST_WINDOW, WINDOW_MIN
from freight.flow.costs import CONNECTION_COST, WAITING_COST
from freight.plan.reckon import Question, Row, besides
from freight.quantities import brief_rate, brief_size, chosen_size

_COLUMNS: dict[str, Callable[[Row], str]] = {
    "clients": lambda row: f"{row.clients:,}",
    "nodes": lambda row: f"{row.nodes:,}",
    "memory": lambda row: chosen_size(row.memory_bytes),
    "window": lambda row: brief_size(row.window_bytes),
    "held": lambda row: brief_size(row.held_least_bytes),
    "to": lambda row: brief_size(row.held_lent_bytes),
}
_OF_LINK: dict[str, Callable[[Row], str]] = {
    "rate each": lambda row: "" if row.rate_bytes_per_second is None else brief_rate(row.rate_bytes_per_second),
    "bound by": lambda row: row.bound_by or "",
}

_WIDTH = 78
_LEGEND = """\
clients    downloads at the same time, on all nodes together
nodes      servers needed; what follows is about the one with the most clients
memory     its --memory, which it never exceeds
window     kernel buffer of each client while all run, on average
held, to   memory of process and kernel together: while all clients stall, and
           while all run with the largest buffers that they can have"""
_LEGEND_OF_LINK = """\
rate each  highest speed of each client while all run
bound by   what limits it: the window (one per round trip), or an equal share of
           the link"""


def table(question: Question, rows: Sequence[Row]) -> str:
    """The rows in columns, those that were asked for marked, and the meaning of the columns."""
    of_link = question.rtt_seconds is not None or question.link_bytes_per_second is not None
    columns = _COLUMNS | (_OF_LINK if of_link else {})
    cells = [[*columns], *([show(row) for show in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    marks = ["  ", *("> " if row.asked else "  " for row in rows)]
    lines = [
        mark + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for mark, line in zip(marks, cells, strict=True)
    ]
    legend = [_LEGEND, *([_LEGEND_OF_LINK] if of_link else [])]
    return "\n".join([*lines, "", *legend, "", reckoned(question)])


def reckoned(question: Question) -> str:
    """Where the numbers come from."""
    cost = CONNECTION_COST + besides(question.mix)
    said = (
        f"Calculated by the budget that the server itself runs with: a download needs at least "
        f"{brief_size(WINDOW_MIN)} in the kernel and {brief_size(cost)} in the process, a waiting request "
        f"{brief_size(cost + WAITING_COST)}. {_of_paths(question)} The kernel of this host limits a send queue to "
        f"{brief_size(question.largest_bytes)} (net.ipv4.tcp_wmem)."
    )
    return fill(said, _WIDTH, break_on_hyphens=False)


def _of_paths(question: Question) -> str:
    """How much a client needs at most."""
    if question.rtt_seconds is None or question.rtt_seconds < FAR_SECONDS:
        return (
            f"A client with a round trip below {FAR_SECONDS * 1000:g}ms (--rtt) gets at most {brief_size(FAST_WINDOW)}."
        )
    if question.link_bytes_per_second is None:
        return "A distant client is taken to need as much as it can get."
    return "A distant client is taken to need twice what its share of the link has on the way in a round trip."


def as_json(question: Question, rows: Sequence[Row]) -> str:
    """The same as an object: sizes in bytes, rates in bytes per second, times in seconds."""
    asked = asdict(question) | {"mix": dict(question.mix)}
    costs = {
        "window_least_bytes": WINDOW_MIN,
        "connection_bytes": CONNECTION_COST + besides(question.mix),
        "waiting_bytes": WAITING_COST,
        "largest_bytes": asked.pop("largest_bytes"),
    }
    shown = {"reckoned_by": "freight.flow.budget.Budget", "costs": costs, "question": asked}
    return json.dumps(shown | {"rows": [asdict(row) for row in rows]}, indent=2)
