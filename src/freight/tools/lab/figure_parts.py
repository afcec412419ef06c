"""Parts that several figures of the lab share: lines with error bars, names of lines, ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from freight.tools.lab.busy import is_always_starved
from freight.tools.plotting import PAPER, colour_of, label, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE_POINTS = 12.5  # from one line of a label to the next
Record = Mapping[str, Any]


def error_bars(axes: Axes, xs: Sequence[float], spreads: Sequence[Record], colour: str, scale: float = 1) -> None:
    """Draw a line through medians, with error bars from the least to the most."""
    middles = [at["median"] / scale for at in spreads]
    below, above = ([abs(at[end] - at["median"]) / scale for at in spreads] for end in ("least", "most"))
    axes.errorbar(xs, middles, yerr=(below, above), color=colour, marker="o", capsize=3, elinewidth=1.2, capthick=1.2)


def mark_starved(
    axes: Axes, xs: Sequence[float], cases: Sequence[Record], name: str, colour: str, scale: float = 1
) -> None:
    """Draw hollow points for cases whose clients were starved in every measurement."""
    for x, case in zip(xs, cases, strict=True):
        if is_always_starved(case):
            axes.plot(x, case[name]["median"] / scale, "o", color=colour, markerfacecolor=PAPER, zorder=3)


def name_lines(
    figure: Figure,
    axes: Axes,
    ends: Sequence[tuple[float, float, str]],
    lines: int = 1,
    colour: Callable[[str], str] = colour_of,
) -> None:
    """Draw a name beside the end of each line, moved so that no two overlap. Draw everything else first."""
    figure.draw_without_rendering()  # the scale is known only after the layout
    there = [axes.transData.transform((x, y))[1] * 72 / figure.dpi for x, y, _ in ends]
    for (x, y, text), place, moved in zip(ends, there, spaced(there, lines * _LINE_POINTS), strict=True):
        label(axes, x, y, text, colour(text.partition("\n")[0]), dx=10, dy=moved - place, linespacing=1.3)


def set_ticks(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """Put ticks with these names at these places of the x axis."""
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(names))


def plain_numbers(axes: Axes) -> None:
    """Label a logarithmic scale with plain numbers."""
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
