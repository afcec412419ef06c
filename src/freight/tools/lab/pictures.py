"""Draw the scenario "memory": three pictures, and the plot of their numbers over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

from matplotlib.patches import Rectangle

from freight.tools.lab.format import memory
from freight.tools.plotting import CACHE, FAINT, INK, KERNEL, OTHER, PROCESS, RULE, canvas, label, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MB = 1_000_000
Record = Mapping[str, Any]
MOMENTS = {
    "start": "1  Before the first request",
    "flight": "2  During the download, at its peak",
    "after": "3  After the download",
}


def moments(record: Record) -> dict[str, str]:
    """Draw each moment as a picture in which areas are bytes, all to one scale."""
    found = {}
    for phase, title in MOMENTS.items():
        now = at(record["summary"], phase)
        size = record["settings"]["file_bytes"]
        text = (
            f"{memory(now['process_bytes'])} in the process, {memory(now['kernel_bytes'])} in the kernel's send queue, "
            f"{memory(now['cached_bytes'])} of the {memory(size)} file in the page cache. Areas are to scale."
        )
        found[f"memory-{phase}"] = _moment(now, size, title, text)
    return found


def at(summary: Mapping[str, Any], phase: str) -> dict[str, float]:
    """Return the memory at a moment: the peak during the download, the median before and after it."""
    names = ("process_bytes", "kernel_bytes", "cached_bytes")
    if phase == "flight":
        return {name: summary["worst"][name] for name in names}
    return {name: summary["moments"][phase][name]["median"] for name in names}


def _moment(now: Mapping[str, float], size_bytes: float, title: str, text: str) -> str:
    with canvas(3.3, 3.2) as figure:
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1.46), ylim=(-0.33, 1.02), aspect="equal", title=title)
        axes.axis("off")
        left, side = 0.44, 1.0
        share = now["cached_bytes"] / size_bytes
        axes.add_patch(Rectangle((left, 0), side, share * side, color=CACHE, alpha=0.35, linewidth=0))
        axes.add_patch(Rectangle((left, 0), side, side, fill=False, edgecolor=FAINT, linewidth=1.2))
        axes.text(
            left + 0.05, side - 0.05, f"the file\n{memory(size_bytes)} on disk", va="top", fontsize=9.5, color=INK
        )
        axes.text(
            left + 0.05, 0.05, f"{memory(now['cached_bytes'])}\nin the page cache", va="bottom", fontsize=9.5, color=INK
        )
        process, kernel = (sqrt(now[name] / size_bytes) * side for name in ("process_bytes", "kernel_bytes"))
        axes.add_patch(Rectangle((0, 0), process, process, color=PROCESS, linewidth=0))
        axes.text(
            0, -0.05, f"process\n{memory(now['process_bytes'])}", va="top", fontsize=9.5, color=PROCESS, weight="bold"
        )
        axes.add_patch(Rectangle((0, process + 0.05), kernel, kernel, color=KERNEL, linewidth=0))
        axes.text(
            left,
            -0.05,
            f"kernel's send queue\n{memory(now['kernel_bytes'])}",
            va="top",
            fontsize=9.5,
            color=KERNEL,
            weight="bold",
        )
        return svg(figure, title[3:], text)


def over_time(record: Record, samples: Sequence[Mapping[str, Any]]) -> str:
    """Draw process, kernel and page cache over time, with marks at the three moments."""
    summary, zero = record["summary"], samples[0]["seconds"]
    seconds = [row["seconds"] - zero for row in samples]
    with canvas(7.6, 4.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        held = [row["process_bytes"] / MB for row in samples], [row["kernel_bytes"] / MB for row in samples]
        upper.stackplot(seconds, *held, colors=(PROCESS, KERNEL), linewidth=0)
        top = 1.5 * max(map(sum, zip(*held, strict=True)))
        upper.set(ylabel="MB", ylim=(0, top), title="Memory held")
        taken = [(row["taken_bytes"] - samples[0]["taken_bytes"]) / MB for row in samples]
        lower.plot(seconds, [row["cached_bytes"] / MB for row in samples], color=CACHE)
        lower.plot(seconds, taken, color=OTHER, linestyle=(0, (3, 2)))
        most = record["settings"]["file_bytes"] / MB
        lower.set(xlabel="seconds", ylabel="MB", ylim=(0, most * 1.25), xlim=(0, seconds[-1]), title="File sent")
        label(upper, seconds[-1], held[0][-1] / 2, "process", PROCESS)
        label(upper, seconds[-1], held[0][-1], "kernel's\nsend queue", KERNEL, dy=12)
        label(lower, seconds[-1], most, "in the page cache", CACHE, dy=7)
        label(lower, seconds[-1], most, "taken by the client", OTHER, dy=-7)
        _mark(upper, lower, samples, summary, zero)
        return svg(
            figure,
            "Memory before, during and after a download",
            "Process and kernel memory over time; the page cache and the client's bytes below.",
        )


def _mark(upper: Axes, lower: Axes, samples: Sequence[Mapping[str, Any]], summary: Record, zero: float) -> None:
    """Mark the moments by lines through both plots, with numbers above. The second is lower, to avoid overlaps."""
    phases = {phase: [row["seconds"] - zero for row in samples if row["phase"] == phase] for phase in MOMENTS}
    places = {phase: (row[0] + row[-1]) / 2 for phase, row in phases.items()}
    places["flight"] = summary["worst"]["seconds"] - zero
    for axes in (upper, lower):
        axes.axvspan(phases["flight"][0], phases["flight"][-1], color=RULE, alpha=0.5, linewidth=0, zorder=0)
        for phase, place in places.items():
            top = 0.87 if phase == "flight" and axes is upper else 1  # below the other numbers, to cross none
            axes.axvline(place, ymax=top, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)))
    middle = (upper.get_xlim()[0] + upper.get_xlim()[1]) / 2
    flight = -5 if places["flight"] > middle else 5
    for number, (phase, drop, side) in enumerate((("start", 9, 5), ("flight", 25, flight), ("after", 9, -5)), start=1):
        now = at(summary, phase)
        text = f"{number}   {memory(now['process_bytes'])}"
        text += f" + {memory(now['kernel_bytes'])}" if now["kernel_bytes"] else ""
        label(upper, places[phase], upper.get_ylim()[1], text, dx=side, dy=-drop, weight="bold")
