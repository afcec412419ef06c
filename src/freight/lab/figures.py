"""Draws the scenarios: ``DRAWINGS[name](record) -> {figure: SVG}``. A record is a scenario's part of results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from freight.ink import FAINT, INK, KERNEL, OTHER, PAPER, PROCESS, canvas, colour_of, label, spaced, svg
from freight.lab import pictures
from freight.lab.sums import grouped
from freight.lab.wording import figures, memory, seconds
from freight.quantities import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIB, KIB = 1 << 20, 1 << 10
Record = Mapping[str, Any]


def _memory(record: Record) -> dict[str, str]:
    return {**pictures.moments(record), "memory": pictures.over_time(record, record["samples"])}


def _strategies(record: Record) -> dict[str, str]:
    by_server = grouped(record["summary"]["cases"], lambda case: case["server"])
    with canvas(7.6, 4.0) as figure:
        left, right = figure.subplots(1, 2)
        used = {name: [case["uss_bytes"]["median"] / MIB for case in cases] for name, cases in by_server.items()}
        spent = {name: [case["cpu_seconds_per_gb"] for case in cases] for name, cases in by_server.items()}
        clients = [case["clients"] for case in next(iter(by_server.values()))]
        _curves(left, by_server, used, "log")
        _curves(right, by_server, spent, "linear")
        left.set(title="Process memory", ylabel="MiB", ylim=(3, None))
        right.set(title="CPU time of a gigabyte", ylabel="CPU-seconds of the server", ylim=(0, None))
        for axes in (left, right):
            axes.set(xlabel="clients", xscale="log")
            _ticks(axes, clients, [f"{count:,}" for count in clients])
        _plain(left)
        return {"strategies": svg(figure, "Three ways to hand out a file", "Memory and CPU time against clients.")}


def _curves(
    axes: Axes, by_server: Mapping[str, Sequence[Record]], lines: Mapping[str, Sequence[float]], scale: str
) -> None:
    """A line a server, named at its end."""
    from math import exp, log

    axes.set_yscale(scale)
    ends = [line[-1] for line in lines.values()]
    if scale == "log":
        everything = [log(value) for line in lines.values() for value in line]
        places = [
            exp(place) for place in spaced([log(end) for end in ends], (max(everything) - min(everything)) * 0.075)
        ]
    else:
        places = spaced(ends, max(value for line in lines.values() for value in line) * 0.065)
    for (name, line), place in zip(lines.items(), places, strict=True):
        colour = colour_of(name)
        counts = [case["clients"] for case in by_server[name]]
        axes.plot(counts, line, color=colour, marker="o")
        label(axes, counts[-1], place, name, colour, dx=8)


def _buffer(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, knee = summary["cases"], summary["knee"]
    sizes = [case["size_bytes"] for case in cases]
    with canvas(7.6, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        _spread(upper, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        _spread(lower, sizes, [case["process_bytes_per_client"] for case in cases], PROCESS, KIB)
        upper.set(title="Speed", ylabel="GB a CPU-second", ylim=(0, None), xscale="log")
        lower.set(title="Process memory of a client", ylabel="KiB", yscale="log", xlabel="size of the buffer")
        _ticks(lower, sizes, [format_size(size) for size in sizes])
        _plain(lower)
        for axes in (upper, lower):
            axes.axvline(knee["size_bytes"], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        speed = figures(knee["gb_per_cpu_second"]["median"])
        text = f"the knee: {format_size(knee['size_bytes'])},\n{speed} GB a CPU-second"
        label(upper, knee["size_bytes"], upper.get_ylim()[1] * 0.16, text, INK)
        text = f"{memory(knee['process_bytes_per_client']['median'])} a client"
        label(lower, knee["size_bytes"], lower.get_ylim()[1] * 0.45, text, INK, dx=-6)
        return {"buffer": svg(figure, "The size of the buffer", "Speed levels off where memory goes on growing.")}


def _spread(axes: Axes, xs: Sequence[float], spreads: Sequence[Record], colour: str, scale: float = 1) -> None:
    """A line through medians, and a band from the least to the most."""
    lows, highs = ([at[end] / scale for at in spreads] for end in ("least", "most"))
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.plot(xs, [at["median"] / scale for at in spreads], color=colour, marker="o")


def _stalled(record: Record) -> dict[str, str]:
    cases = record["summary"]["cases"]
    names = list(cases)
    kernel = [cases[name]["kernel_bytes"]["median"] / MIB for name in names]
    process = [cases[name]["growth_bytes"]["median"] / MIB for name in names]
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
        axes.set(
            xlabel="MiB held for them, process and kernel",
            title=f"{clients} clients that stopped reading",
            xlim=(0, None),
        )
        return {
            "stalled": svg(figure, "What clients that stop reading hold", "Kernel and process memory of each server.")
        }


def _crowd(record: Record) -> dict[str, str]:
    servers = record["summary"]["servers"]
    with canvas(7.6, 4.0) as figure:
        axes = figure.add_subplot()
        ends = [
            (of["intercept_bytes"] + of["process_bytes_per_client"] * of["most_clients"]) / MIB
            for of in servers.values()
        ]
        places = spaced(ends, max(ends) * 0.2)
        for (name, of), place in zip(servers.items(), places, strict=True):
            colour = colour_of(name)
            counts = [0, *(point["clients"] for point in of["points"])]
            used = [of["idle_bytes"], *(point["uss_bytes"]["median"] for point in of["points"])]
            fitted = [(of["intercept_bytes"] + of["process_bytes_per_client"] * count) / MIB for count in counts]
            axes.plot(counts, fitted, color=colour, linewidth=1.5, alpha=0.7)
            axes.plot(counts, [bytes_ / MIB for bytes_ in used], "o", color=colour)
            text = f"{name}\n{memory(of['process_bytes_per_client'])} a client\nr² = {of['r_squared']:.4f}"
            label(axes, counts[-1], place, text, colour, dx=10, linespacing=1.35)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set(
            xlabel="clients in mid-download",
            ylabel="MiB",
            title="Process memory",
            xlim=(0, None),
            ylim=(0, max(ends) * 1.15),
        )
        return {
            "crowd": svg(figure, "Process memory against the number of clients", "The points lie on a straight line.")
        }


def _budget(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, queue = summary["cases"], summary["queue"]
    with canvas(7.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        sizes = [case["size_bytes"] for case in cases]
        _spread(left, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        left.set(
            title=f"Speed of {cases[0]['clients']} clients",
            xlabel="--memory",
            ylabel="GB a CPU-second",
            xscale="log",
            ylim=(0, None),
        )
        _ticks(left, sizes, [format_size(size) for size in sizes])
        left.set_xticks(
            left.get_xticks(), [text.get_text() for text in left.get_xticklabels()], rotation=40, ha="right"
        )
        if queue:
            _waits(right, queue, next(row for row in record["samples"] if "waits_seconds" in row)["waits_seconds"])
        return {
            "budget": svg(
                figure,
                "Speed against the budget, and waiting for a slot",
                "More memory, larger windows; and how long a crowd four times the slots waits.",
            )
        }


def _waits(axes: Axes, queue: Record, waits: Sequence[float]) -> None:
    ordered = sorted(waits)
    axes.plot(ordered, range(1, len(ordered) + 1), color=PROCESS)
    axes.axhline(queue["slots"], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
    label(axes, ordered[-1], queue["slots"], f"{queue['slots']} slots", FAINT, dx=-2, dy=8)
    for name, share, who, dx, dy in (("median", 0.5, "half of them", 8, -12), ("most", 1.0, "the last", -4, 14)):
        wait = queue["wait_seconds"][name]
        axes.plot(wait, share * len(ordered), "o", color=PROCESS)
        label(axes, wait, share * len(ordered), f"{who}\nafter {seconds(wait)}", dx=dx, dy=dy)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set(
        title=f"{queue['clients']:,} clients at once",
        xlabel="seconds until the first byte",
        ylabel="clients served",
        xlim=(0, None),
        ylim=(0, 1.2 * len(ordered)),
    )


def _length(record: Record) -> dict[str, str]:
    cases, size = record["summary"]["cases"], record["settings"]["file_bytes"]
    with canvas(7.6, 3.2) as figure:
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1.62), ylim=(-0.65, len(cases) - 0.25))
        axes.axis("off")
        for row, (name, case) in enumerate(reversed(cases.items())):
            kept, again = case["kept_bytes"] / size, case["sent_again_bytes"] / size
            needed = 1 - kept
            axes.barh(row, kept, height=0.2, color=PROCESS)
            axes.barh(row - 0.24, again, left=1 - again, height=0.2, color=OTHER)
            axes.barh(row - 0.24, again - needed, left=1 - again, height=0.2, color=KERNEL)
            axes.text(0, row + 0.38, name, weight="bold", color=INK)
            bar = case["shown_half_way"].replace(" ", "\N{NO-BREAK SPACE}")  # SVG makes one of many spaces
            axes.text(0, row + 0.18, bar, family="monospace", fontsize=8.5, color=FAINT)
            label(axes, 1, row, f"cut: {memory(case['kept_bytes'])} kept", PROCESS)
            wasted = case["sent_again_bytes"] - (size - case["kept_bytes"])
            text = f"{case['answered']}: {memory(case['sent_again_bytes'])} sent"
            label(
                axes,
                1,
                row - 0.24,
                text + (f",\n{memory(wasted)} for nothing" if wasted > 0 else ""),
                KERNEL if wasted > 0 else OTHER,
            )
        return {
            "length": svg(
                figure,
                "A download that is cut and taken up again",
                "With a stated length only what is missing is sent.",
            )
        }


def _ticks(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(names))


def _plain(axes: Axes) -> None:
    """A logarithmic scale in plain numbers."""
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
}
