"""A plan for people, as a table of 80 columns, and for programs, as JSON: docs/reference/plan.md has its columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from freight.flow.budget import CONNECTION_COST, WAITING_COST, WINDOW_MIN
from freight.plan.reckon import Question, Row, besides
from freight.quantities import brief_rate, brief_size, chosen_size, format_size

_COLUMNS: dict[str, Callable[[Row], str]] = {
    "clients": lambda row: f"{row.clients:,}",
    "nodes": lambda row: f"{row.nodes:,}",
    "memory": lambda row: chosen_size(row.memory_bytes),
    "window": lambda row: ("" if row.bounded else "<=") + brief_size(row.window_bytes),
    "held": lambda row: brief_size(row.held_least_bytes),
    "to": lambda row: ("" if row.bounded else "<=") + brief_size(row.held_lent_bytes),
    "still": lambda row: f"{row.still:,}",
}
_OF_LINK: dict[str, Callable[[Row], str]] = {
    "rate each": lambda row: "" if row.rate_bytes_per_second is None else brief_rate(row.rate_bytes_per_second),
    "bound by": lambda row: row.bound_by or "",
}

_LEGEND = """\
memory  what a node is given by --memory, and never exceeds
window  what each has in the kernel while all run, on average
held    what process and kernel hold for all that stand still: with the least
   to   window each, up to what they were lent
still   so many run at least if each stands still from its first bytes on
        (of the fullest node); the others wait"""
_LEGEND_OF_LINK = """\
rate    what each reaches at most: a window a round trip, or a share of the link"""


def table(question: Question, rows: Sequence[Row]) -> str:
    """The rows in columns, those that were asked for marked, and what the columns mean."""
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
    """Whose figures these are."""
    cost = CONNECTION_COST + besides(question.mix)
    return (
        f"Reckoned by the budget that the server itself runs with: a window of at least\n"
        f"{format_size(WINDOW_MIN)} in the kernel and {format_size(cost)} in the process for who runs, "
        f"{format_size(cost + WAITING_COST)} for who waits;\n"
        f"a send queue of {format_size(question.largest_bytes)} at most is this host's (net.ipv4.tcp_wmem)."
    )


def as_json(question: Question, rows: Sequence[Row]) -> str:
    """The same as an object, sizes in bytes, rates in bytes a second, times in seconds."""
    asked = asdict(question) | {"mix": dict(question.mix)}
    costs = {
        "window_least_bytes": WINDOW_MIN,
        "connection_bytes": CONNECTION_COST + besides(question.mix),
        "waiting_bytes": WAITING_COST,
        "largest_bytes": asked.pop("largest_bytes"),
    }
    shown = {"reckoned_by": "freight.flow.budget.Budget", "costs": costs, "question": asked}
    return json.dumps(shown | {"rows": [asdict(row) for row in rows]}, indent=2)
