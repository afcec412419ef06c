"""Draw the rows: page caches, disks, waits, refusals and balance by number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from freight.tools.fleet.simulate.query import SimulationRow
from freight.tools.plotting import CACHE, FAINT, FOURTH, KERNEL, PROCESS, canvas, svg
from freight.units import brief_seconds, brief_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"round-robin": FOURTH, "least": CACHE, "consistent": KERNEL, "bounded": PROCESS}
_MARKS = {"round-robin": "o", "least": "x", "consistent": "s", "bounded": "D"}
_FEW = 5  # numbers of nodes, or fewer, are each named on the axis

_PANELS: Mapping[str, Callable[[SimulationRow], float]] = {
    "Bytes from a page cache": lambda row: row.hits,
    "Read from a node's disk per second": lambda row: row.read_bytes / row.seconds / row.nodes,
    "Load of the busiest node (mean: 1)": lambda row: row.busiest,
    "Slowed: 99 of 100 at most": lambda row: row.slowed_p99,
    "Wait for a slot: 99 of 100 at most": lambda row: row.wait_p99_seconds,
    "Requests refused": lambda row: row.refused,
}


def draw(rows: Sequence[SimulationRow]) -> str:
    """Draw SVG: six panels with a line for each policy, by number of nodes.

    With several seeds, a line is the median, and a band reaches from the least to the most.
    """
    with canvas(7.6, 7.4) as figure:
        panels = [axes for line in figure.subplots(3, 2, sharex=True) for axes in line]
        for axes, (title, value) in zip(panels, _PANELS.items(), strict=True):
            _lines(axes, rows, value)
            axes.set(title=title, ylim=(0, axes.get_ylim()[1]))
            if not any(map(value, rows)):  # matplotlib has no scale without values
                axes.yaxis.set_major_locator(FixedLocator([0.0]))
                axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=FAINT)
        _scales(*panels)
        for axes in panels[-2:]:
            axes.set_xlabel("nodes")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False, labelcolor="linecolor")
        nodes = sorted({row.nodes for row in rows})
        return svg(
            figure,
            f"A fleet of {nodes[0]:,} to {nodes[-1]:,} nodes, by policy",
            "Bytes from page caches and disks, balance, how much downloads are slowed, waits and refusals.",
        )


def _scales(hits: Axes, disks: Axes, busiest: Axes, slowed: Axes, waits: Axes, refused: Axes) -> None:
    hits.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    hits.set_ylim(0, 1.03)
    disks.yaxis.set_major_formatter(FuncFormatter(lambda value, _: brief_size(value) if value else "0"))
    busiest.set_ylim(0, max(2.0, busiest.get_ylim()[1]))
    slowed.set_yscale("log")
    slowed.set_ylim(0.9, max(10.0, 1.5 * slowed.get_ylim()[1]))
    slowed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}x"))
    slowed.yaxis.set_minor_locator(NullLocator())
    waits.yaxis.set_major_formatter(FuncFormatter(lambda value, _: brief_seconds(value) if value else "0"))
    refused.yaxis.set_major_formatter(PercentFormatter(1.0))


def _lines(axes: Axes, rows: Sequence[SimulationRow], value: Callable[[SimulationRow], float]) -> None:
    axes.set_xscale("log")
    nodes = sorted({row.nodes for row in rows})
    for policy in dict.fromkeys(row.policy for row in rows):
        asked = [count for count in nodes if any((row.nodes, row.policy) == (count, policy) for row in rows)]
        own = [[value(row) for row in rows if (row.nodes, row.policy) == (count, policy)] for count in asked]
        middle, colour = [median(values) for values in own], _COLOURS[policy]
        axes.fill_between(asked, [*map(min, own)], [*map(max, own)], color=colour, alpha=0.15, linewidth=0)
        axes.plot(asked, middle, color=colour, marker=_MARKS[policy], label=policy)
    if len(nodes) <= _FEW:
        axes.xaxis.set_major_locator(FixedLocator(nodes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
