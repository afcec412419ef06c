"""The rows as a figure: what waits, refusals, page caches and balance become with the number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from freight.fleet.simulate.question import Row
from freight.ink import CACHE, FOURTH, KERNEL, PROCESS, canvas, svg
from freight.quantities import brief_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"round-robin": FOURTH, "least": CACHE, "consistent": KERNEL, "bounded": PROCESS}
_MARKS = {"round-robin": "o", "least": "x", "consistent": "s", "bounded": "D"}
_SOME = 0.05  # refused, or more, are said in whole per cent
_FEW = 5  # nodes, or fewer, are each named on their axis

_PANELS: Mapping[str, Callable[[Row], float]] = {
    "Bytes that were in a page cache": lambda row: row.hits,
    "Requests refused": lambda row: row.refused,
    "Waiting, 99 of 100 at most": lambda row: row.wait_p99_seconds,
    "Busiest node, the mean being 1": lambda row: row.busiest,
}


def draw(rows: Sequence[Row]) -> str:
    """SVG: four panels, a line a policy, the number of nodes from left to right."""
    with canvas(7.6, 5.4) as figure:
        panels = [axes for line in figure.subplots(2, 2, sharex=True) for axes in line]
        for axes, (title, value) in zip(panels, _PANELS.items(), strict=True):
            _lines(axes, rows, value)
            axes.set(title=title, ylim=(0, max(axes.get_ylim()[1], 1e-3)))
        panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panels[0].set_ylim(0, 1.03)
        panels[1].yaxis.set_major_formatter(
            PercentFormatter(1.0, decimals=0 if panels[1].get_ylim()[1] > _SOME else None)
        )
        panels[2].yaxis.set_major_formatter(FuncFormatter(lambda value, _: brief_seconds(value) if value else "0"))
        panels[3].set_ylim(0, max(2.0, panels[3].get_ylim()[1]))
        for axes in panels[2:]:
            axes.set_xlabel("nodes")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False, labelcolor="linecolor")
        nodes = sorted({row.nodes for row in rows})
        return svg(
            figure,
            f"A fleet of {nodes[0]:,} to {nodes[-1]:,} nodes, by policy",
            "Part of the bytes from page caches, part of the requests refused, waiting, and balance, against nodes.",
        )


def _lines(axes: Axes, rows: Sequence[Row], value: Callable[[Row], float]) -> None:
    axes.set_xscale("log")
    for policy in dict.fromkeys(row.policy for row in rows):
        own = [row for row in rows if row.policy == policy]
        axes.plot(
            [row.nodes for row in own],
            [value(row) for row in own],
            color=_COLOURS[policy],
            marker=_MARKS[policy],
            label=policy,
        )
    nodes = sorted({row.nodes for row in rows})
    if len(nodes) <= _FEW:
        axes.xaxis.set_major_locator(FixedLocator(nodes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
