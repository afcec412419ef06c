"""Draws the scenarios: ``DRAWINGS[name](record) -> {figure: SVG}``. A record is a scenario's part of results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from freight.ink import FAINT, FOURTH, INK, KERNEL, OTHER, PAPER, PROCESS, canvas, colour_of, label, spaced, svg
from freight.lab import pictures
from freight.lab.sums import grouped, window_rate
from freight.lab.wording import NO_BREAK_SPACE, figures, memory, seconds
from freight.quantities import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MB, KB = 1_000_000, 1000
_LINE_POINTS = 12.5  # from one line of a label to the next
Record = Mapping[str, Any]


def _memory(record: Record) -> dict[str, str]:
    return {**pictures.moments(record), "memory": pictures.over_time(record, record["samples"])}


def _strategies(record: Record) -> dict[str, str]:
    by_server = grouped(record["summary"]["cases"], lambda case: case["server"])
    clients = [case["clients"] for case in next(iter(by_server.values()))]
    with canvas(7.6, 4.0) as figure:
        left, right = figure.subplots(1, 2)
        left.set(title="Process memory", ylabel="MB", yscale="log")
        right.set(title="CPU time of a gigabyte", ylabel="CPU-seconds of the server")
        for axes in (left, right):
            axes.set(xlabel="clients", xscale="log")
            _ticks(axes, clients, [f"{count:,}" for count in clients])
        _plain(left)
        for axes, name, scale in ((left, "process_bytes", MB), (right, "cpu_seconds_per_gb", 1)):
            for server, cases in by_server.items():
                xs, colour = [case["clients"] for case in cases], colour_of(server)
                _bars(axes, xs, [case[name] for case in cases], colour, scale)
                if axes is right:
                    _hollow(axes, xs, cases, name, colour)
        left.set_ylim(bottom=3)
        right.set_ylim(bottom=0)
        for axes, name, scale in ((left, "process_bytes", MB), (right, "cpu_seconds_per_gb", 1)):
            lasts = {server: cases[-1] for server, cases in by_server.items()}
            _names(
                figure,
                axes,
                [(case["clients"], case[name]["median"] / scale, server) for server, case in lasts.items()],
            )
        return {"strategies": svg(figure, "Three ways to send a file", "Memory and CPU time by number of clients.")}


def _bars(axes: Axes, xs: Sequence[float], spreads: Sequence[Record], colour: str, scale: float = 1) -> None:
    """A line through medians, with error bars from the least to the most."""
    middles = [at["median"] / scale for at in spreads]
    below, above = ([abs(at[end] - at["median"]) / scale for at in spreads] for end in ("least", "most"))
    axes.errorbar(xs, middles, yerr=(below, above), color=colour, marker="o", capsize=3, elinewidth=1.2, capthick=1.2)


def _hollow(axes: Axes, xs: Sequence[float], cases: Sequence[Record], name: str, colour: str, scale: float = 1) -> None:
    """Hollow points for cases whose clients other programs kept from a processor in every measurement."""
    marked = [
        (x, case[name]["median"] / scale)
        for x, case in zip(xs, cases, strict=True)
        if case["rounds"]["starved"] == case["rounds"]["all"]
    ]
    for x, y in marked:
        axes.plot(x, y, "o", color=colour, markerfacecolor=PAPER, zorder=3)


def _names(
    figure: Figure,
    axes: Axes,
    ends: Sequence[tuple[float, float, str]],
    lines: int = 1,
    dx: float = 10,
    colour: Callable[[str], str] = colour_of,
) -> None:
    """A name beside the end of each line, moved up or down so that no two meet. All else must have been drawn."""
    figure.draw_without_rendering()  # only now is it known how many points a number is high
    there = [axes.transData.transform((x, y))[1] * 72 / figure.dpi for x, y, _ in ends]
    for (x, y, text), place, moved in zip(ends, there, spaced(there, lines * _LINE_POINTS), strict=True):
        label(axes, x, y, text, colour(text.partition("\n")[0]), dx=dx, dy=moved - place, linespacing=1.3)


def _buffer(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, knee = summary["cases"], summary["knee"]
    sizes = [case["size_bytes"] for case in cases]
    with canvas(7.6, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        _bars(upper, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        _hollow(upper, sizes, cases, "gb_per_cpu_second", OTHER)
        _bars(lower, sizes, [case["process_bytes_per_client"] for case in cases], PROCESS, KB)
        upper.set(title="Speed", ylabel="GB per CPU-second", xscale="log")
        top = max(case["gb_per_cpu_second"]["most"] for case in cases)
        upper.set_ylim(0, 1.15 * top)
        lower.set(title="Process memory for each client", ylabel="kB", yscale="log", xlabel="size of the buffer")
        _ticks(lower, sizes, [format_size(size) for size in sizes])
        _plain(lower)
        for axes in (upper, lower):
            axes.axvline(knee["size_bytes"], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        side = -6 if knee["size_bytes"] >= sizes[len(sizes) // 2] else 6
        speed = figures(knee["gb_per_cpu_second"]["median"])
        text = f"{format_size(knee['size_bytes'])}: {speed} GB per CPU-second,\n"
        text += f"{summary['knee_share']:.0%} of the best speed or more"
        label(upper, knee["size_bytes"], 0.2 * top, text, INK, dx=side)
        text = f"{memory(knee['process_bytes_per_client']['median'])} for each client"
        label(lower, knee["size_bytes"], lower.get_ylim()[1] * 0.45, text, INK, dx=side)
        return {"buffer": svg(figure, "The size of the buffer", "Speed levels off while memory goes on growing.")}


def _stalled(record: Record) -> dict[str, str]:
    cases = record["summary"]["cases"]
    names = list(cases)
    kernel = [cases[name]["kernel_bytes"]["median"] / MB for name in names]
    process = [max(cases[name]["growth_bytes"]["median"], 0) / MB for name in names]
    with canvas(7.6, 1.3 + 0.55 * len(names)) as figure:
        axes = figure.add_subplot()
        axes.barh(names, process, color=PROCESS, height=0.6, label="process")
        axes.barh(names, kernel, left=process, color=KERNEL, height=0.6, label="kernel")
        for row, name in enumerate(names):
            case = cases[name]
            text = f"{memory(case['kernel_bytes']['median'])} kernel, {memory(case['growth_bytes']['median'])} process"
            total = kernel[row] + process[row]
            inside = total > 0.6 * max(map(sum, zip(kernel, process, strict=True)))
            label(axes, total, row, text, PAPER if inside else INK, dx=-8 if inside else 8, weight="bold")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        clients = next(iter(cases.values()))["clients"]
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set(
            xlabel="MB held for them by process and kernel",
            title=f"{clients} clients that stopped reading",
            xlim=(0, None),
        )
        return {
            "stalled": svg(figure, "Memory of clients that stop reading", "Kernel and process memory of each server.")
        }


def _crowd(record: Record) -> dict[str, str]:
    servers = record["summary"]["servers"]
    straight = all(of["r_squared"] >= 0.99 for of in servers.values())
    with canvas(7.6, 4.0) as figure:
        axes = figure.add_subplot()
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set(xlabel="clients in mid-download", ylabel="MB", title="Process memory")
        ends = []
        for name, of in servers.items():
            colour = colour_of(name)
            counts = [0, *(point["clients"] for point in of["points"])]
            fitted = [(of["intercept_bytes"] + of["process_bytes_per_client"] * count) / MB for count in counts]
            axes.plot(counts, fitted, color=colour, linewidth=1.5, alpha=0.7)
            idle = {"median": of["idle_bytes"], "least": of["idle_bytes"], "most": of["idle_bytes"]}
            spreads = [idle, *(point["process_bytes"] for point in of["points"])]
            middles = [at["median"] / MB for at in spreads]
            below, above = ([abs(at[end] - at["median"]) / MB for at in spreads] for end in ("least", "most"))
            axes.errorbar(counts, middles, yerr=(below, above), fmt="o", color=colour, capsize=3, elinewidth=1.2)
            text = f"{name}\n{memory(of['process_bytes_per_client'])} for each client\nr² = {of['r_squared']:.4f}"
            ends.append((counts[-1], fitted[-1], text))
        axes.set_xlim(left=-0.012 * max(x for x, _, _ in ends))  # no point is cut at the edge
        axes.set_ylim(0, max(y for _, y, _ in ends) * 1.15)
        _names(figure, axes, ends, lines=4)
        shape = "The points lie on a straight line." if straight else "The points do not lie on a straight line."
        return {"crowd": svg(figure, "Process memory by number of clients", shape)}


def _budget(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, queue = summary["cases"], summary["queue"]
    with canvas(7.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        sizes = [case["size_bytes"] for case in cases]
        _bars(left, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        _hollow(left, sizes, cases, "gb_per_cpu_second", OTHER)
        left.set(
            title=f"Speed with {cases[0]['clients']} clients",
            xlabel="--memory",
            ylabel="GB per CPU-second",
            xscale="log",
        )
        left.set_ylim(bottom=0)
        _ticks(left, sizes, [format_size(size) for size in sizes])
        left.set_xticks(
            left.get_xticks(), [text.get_text() for text in left.get_xticklabels()], rotation=40, ha="right"
        )
        if queue:
            _waits(right, queue, next(row for row in record["samples"] if "waits_seconds" in row)["waits_seconds"])
        return {
            "budget": svg(
                figure,
                "Speed by budget, and waiting for a slot",
                "Speed for each budget; and how long each of four times as many clients as slots waited.",
            )
        }


def _waits(axes: Axes, queue: Record, waits: Sequence[float]) -> None:
    ordered = sorted(waits)
    axes.plot(ordered, range(1, len(ordered) + 1), color=PROCESS)
    axes.axhline(queue["slots"], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
    label(axes, ordered[-1], queue["slots"], f"{queue['slots']} slots", FAINT, dx=-2, dy=8)
    for name, share, who, dx, dy in (("median", 0.5, "half of them", 8, -12), ("most", 1.0, "the last one", -4, 14)):
        wait = queue["wait_seconds"][name]
        axes.plot(wait, share * len(ordered), "o", color=PROCESS)
        label(axes, wait, share * len(ordered), f"{who}\nafter {seconds(wait)}", dx=dx, dy=dy)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(
        title=f"{queue['clients']:,} clients at the same time",
        xlabel="seconds until the first byte",
        ylabel="clients served",
        xlim=(0, None),
        ylim=(0, 1.2 * len(ordered)),
    )


def _length(record: Record) -> dict[str, str]:
    cases, size = record["summary"]["cases"], record["settings"]["file_bytes"]
    with canvas(7.6, 3.2) as figure:
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1.75), ylim=(-0.65, len(cases) - 0.25))
        axes.axis("off")
        for row, (name, case) in enumerate(reversed(cases.items())):
            kept, again = case["kept_bytes"] / size, case["sent_again_bytes"] / size
            needed = 1 - kept
            axes.barh(row, kept, height=0.2, color=PROCESS)
            axes.barh(row - 0.24, again, left=1 - again, height=0.2, color=OTHER)
            axes.barh(row - 0.24, again - needed, left=1 - again, height=0.2, color=KERNEL)
            axes.text(0, row + 0.38, name, weight="bold", color=INK)
            bar = case["shown_half_way"].replace(" ", NO_BREAK_SPACE)  # SVG would draw many spaces as one
            axes.text(0, row + 0.18, bar, family="monospace", fontsize=8.5, color=FAINT)
            label(axes, 1, row, f"before the cut: {memory(case['kept_bytes'])}", PROCESS)
            wasted = case["sent_again_bytes"] - (size - case["kept_bytes"])
            text = f"after it: status {case['answered']}, {memory(case['sent_again_bytes'])} sent"
            label(
                axes,
                1,
                row - 0.24,
                text + (f",\n{memory(wasted)} of it for the second time" if wasted > 0 else ""),
                KERNEL if wasted > 0 else OTHER,
            )
        return {
            "length": svg(
                figure,
                "A download that is cut and resumed",
                "How much is sent again with a stated length, and how much without.",
            )
        }


def _path(record: Record) -> dict[str, str]:
    """Above, speed beside what the line and a fixed window allow; below, memory beside what the line and the host hold.

    The scale of the round trips is logarithmic beyond the first that is not 0.
    """
    settings = record["settings"]
    line_rate, window, largest = (
        settings[name] for name in ("bytes_per_second", "window_bytes", "largest_send_buffer_bytes")
    )
    by_budget = grouped(record["summary"]["cases"], lambda case: format_size(case["size_bytes"]))
    colours = dict(zip(by_budget, (PROCESS, OTHER, FOURTH, KERNEL), strict=False))
    xs = [1000 * case["round_trip_seconds"] for case in next(iter(by_budget.values()))]
    allowed_ms = [xs[-1] * step / 400 for step in range(401)]
    fixed = f"{format_size(window)} window"
    with canvas(7.6, 5.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, name, scale in ((upper, "gb_per_second", 1e-3), (lower, "kernel_bytes", MB)):
            axes.set_xscale("symlog", linthresh=xs[1], linscale=0.5)
            axes.set_ylabel("MB/s" if axes is upper else "MB")
            _ticks(axes, xs, [f"{x:g}" for x in xs])
            for budget, cases in by_budget.items():
                _bars(axes, xs, [case[name] for case in cases], colours[budget], scale)
                if axes is upper:
                    _hollow(axes, xs, cases, name, colours[budget], scale)
        allowed = [window_rate(window, ms / 1000, line_rate) / MB for ms in allowed_ms]
        products = [line_rate * ms / 1000 / MB for ms in allowed_ms]
        for axes, ys, style in (
            (upper, [line_rate / MB] * 401, "--"),
            (upper, allowed, ":"),
            (lower, products, "--"),
            (lower, [largest / MB] * 401, ":"),
        ):
            axes.plot(allowed_ms, ys, color=FAINT, linewidth=1.2, linestyle=style)
        upper.set(title="Speed of one download", ylim=(0, None))
        lower.set(title="Kernel memory for it", xlabel="round trip, ms", ylim=(0, None))
        for axes, name, scale, others in (
            (upper, "gb_per_second", 1e-3, [(line_rate / MB, "the line"), (allowed[-1], fixed)]),
            (
                lower,
                "kernel_bytes",
                MB,
                [(products[-1], "rate \N{MULTIPLICATION SIGN} round trip"), (largest / MB, "tcp_wmem")],
            ),
        ):
            ends = [(cases[-1][name]["median"] / scale, budget) for budget, cases in by_budget.items()]
            _names(
                figure,
                axes,
                [(xs[-1], y, text) for y, text in (*ends, *others)],
                colour=lambda text: colours.get(text, FAINT),
            )
        return {
            "path": svg(
                figure,
                "Speed and memory by round trip",
                "Speed of one download beside what the line and a fixed window allow; kernel memory beside what the "
                "line needs in flight.",
            )
        }


def _ticks(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(names))


def _plain(axes: Axes) -> None:
    """Label a logarithmic scale with plain numbers."""
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


DRAWINGS: Mapping[str, Callable[[Record], dict[str, str]]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
    "path": _path,
}
