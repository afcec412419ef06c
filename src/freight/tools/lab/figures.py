"""Draw the scenarios: ``DRAWINGS[name](record) -> {figure: SVG}``. A record is a scenario's part of results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter

from freight.tools.lab import pictures
from freight.tools.lab.figure_parts import error_bars, mark_starved, name_lines, plain_numbers, set_ticks
from freight.tools.lab.format import NO_BREAK_SPACE, figures, memory, seconds
from freight.tools.lab.path_figure import draw_path
from freight.tools.lab.stats import grouped
from freight.tools.plotting import (
    FAINT,
    INK,
    KERNEL,
    OTHER,
    PAPER,
    PROCESS,
    canvas,
    colour_of,
    label,
    svg,
)
from freight.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MB, KB = 1_000_000, 1000
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
            set_ticks(axes, clients, [f"{count:,}" for count in clients])
        plain_numbers(left)
        for axes, name, scale in ((left, "process_bytes", MB), (right, "cpu_seconds_per_gb", 1)):
            for server, cases in by_server.items():
                xs, colour = [case["clients"] for case in cases], colour_of(server)
                error_bars(axes, xs, [case[name] for case in cases], colour, scale)
                if axes is right:
                    mark_starved(axes, xs, cases, name, colour)
        left.set_ylim(bottom=3)
        right.set_ylim(bottom=0)
        for axes, name, scale in ((left, "process_bytes", MB), (right, "cpu_seconds_per_gb", 1)):
            lasts = {server: cases[-1] for server, cases in by_server.items()}
            name_lines(
                figure,
                axes,
                [(case["clients"], case[name]["median"] / scale, server) for server, case in lasts.items()],
            )
        return {"strategies": svg(figure, "Three ways to send a file", "Memory and CPU time by number of clients.")}


def _buffer(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, knee = summary["cases"], summary["knee"]
    sizes = [case["size_bytes"] for case in cases]
    with canvas(7.6, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        error_bars(upper, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        mark_starved(upper, sizes, cases, "gb_per_cpu_second", OTHER)
        error_bars(lower, sizes, [case["process_bytes_per_client"] for case in cases], PROCESS, KB)
        upper.set(title="Speed", ylabel="GB per CPU-second", xscale="log")
        top = max(case["gb_per_cpu_second"]["most"] for case in cases)
        upper.set_ylim(0, 1.15 * top)
        lower.set(title="Process memory for each client", ylabel="kB", yscale="log", xlabel="size of the buffer")
        set_ticks(lower, sizes, [format_size(size) for size in sizes])
        plain_numbers(lower)
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
        name_lines(figure, axes, ends, lines=4)
        shape = "The points lie on a straight line." if straight else "The points do not lie on a straight line."
        return {"crowd": svg(figure, "Process memory by number of clients", shape)}


def _budget(record: Record) -> dict[str, str]:
    summary = record["summary"]
    cases, queue = summary["cases"], summary["queue"]
    with canvas(7.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        sizes = [case["size_bytes"] for case in cases]
        error_bars(left, sizes, [case["gb_per_cpu_second"] for case in cases], OTHER)
        mark_starved(left, sizes, cases, "gb_per_cpu_second", OTHER)
        left.set(
            title=f"Speed with {cases[0]['clients']} clients",
            xlabel="--memory",
            ylabel="GB per CPU-second",
            xscale="log",
        )
        left.set_ylim(bottom=0)
        set_ticks(left, sizes, [format_size(size) for size in sizes])
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
    for name, share, whose, dx, dy in (("median", 0.5, "half of them", 8, -12), ("most", 1.0, "the last one", -4, 14)):
        wait = queue["wait_seconds"][name]
        axes.plot(wait, share * len(ordered), "o", color=PROCESS)
        label(axes, wait, share * len(ordered), f"{whose}\nafter {seconds(wait)}", dx=dx, dy=dy)
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


DRAWINGS: Mapping[str, Callable[[Record], dict[str, str]]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
    "path": draw_path,
}
