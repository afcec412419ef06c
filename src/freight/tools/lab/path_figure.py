"""Draw the scenario "path": speed and memory by round trip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from freight.tools.lab.figure_parts import error_bars, mark_starved, name_lines, set_ticks
from freight.tools.lab.stats import grouped, window_rate
from freight.tools.plotting import FAINT, FOURTH, KERNEL, OTHER, PROCESS, canvas, svg
from freight.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MB = 1_000_000
Record = Mapping[str, Any]
_Ends = list[tuple[float, str]]


_UPPER, _LOWER = ("gb_per_second", 1e-3), ("kernel_bytes", MB)  # what a plot shows, and its unit


def draw_path(record: Record) -> dict[str, str]:
    """Draw speed and kernel memory by round trip, beside what the line, a fixed window and the host allow.

    The scale of the round trips is logarithmic beyond the first that is not 0.
    """
    by_budget = grouped(record["summary"]["cases"], lambda case: format_size(case["size_bytes"]))
    colours = dict(zip(by_budget, (PROCESS, OTHER, FOURTH, KERNEL), strict=False))
    xs = [1000 * case["round_trip_seconds"] for case in next(iter(by_budget.values()))]
    with canvas(7.6, 5.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, (name, scale) in ((upper, _UPPER), (lower, _LOWER)):
            axes.set_xscale("symlog", linthresh=xs[1], linscale=0.5)
            axes.set_ylabel("MB/s" if axes is upper else "MB")
            set_ticks(axes, xs, [f"{x:g}" for x in xs])
            for budget, cases in by_budget.items():
                error_bars(axes, xs, [case[name] for case in cases], colours[budget], scale)
                if axes is upper:
                    mark_starved(axes, xs, cases, name, colours[budget], scale)
        limits = _draw_limits(upper, lower, record["settings"], xs[-1])
        upper.set(title="Speed of one download", ylim=(0, None))
        lower.set(title="Kernel memory for it", xlabel="round trip, ms", ylim=(0, None))
        for axes, (name, scale), others in zip((upper, lower), (_UPPER, _LOWER), limits, strict=True):
            ends = [(cases[-1][name]["median"] / scale, budget) for budget, cases in by_budget.items()]
            places = [(xs[-1], y, text) for y, text in (*ends, *others)]
            name_lines(figure, axes, places, colour=lambda text: colours.get(text, FAINT))
        return {
            "path": svg(
                figure,
                "Speed and memory by round trip",
                "Speed of one download beside what the line and a fixed window allow; kernel memory beside what the "
                "line needs in flight.",
            )
        }


def _draw_limits(upper: Axes, lower: Axes, settings: Record, longest_ms: float) -> tuple[_Ends, _Ends]:
    """Draw what the line, a fixed window and the host allow; return the end and the name of each line, by plot."""
    line_rate, window, largest = (
        settings[name] for name in ("bytes_per_second", "window_bytes", "largest_send_buffer_bytes")
    )
    times_ms = [longest_ms * step / 400 for step in range(401)]
    allowed = [window_rate(window, ms / 1000, line_rate) / MB for ms in times_ms]
    products = [line_rate * ms / 1000 / MB for ms in times_ms]
    for axes, ys, style in (
        (upper, [line_rate / MB] * 401, "--"),
        (upper, allowed, ":"),
        (lower, products, "--"),
        (lower, [largest / MB] * 401, ":"),
    ):
        axes.plot(times_ms, ys, color=FAINT, linewidth=1.2, linestyle=style)
    return (
        [(line_rate / MB, "the line"), (allowed[-1], f"{format_size(window)} window")],
        [(products[-1], "rate \N{MULTIPLICATION SIGN} round trip"), (largest / MB, "tcp_wmem")],
    )
