"""PURE. The tables of each scenario, from its part of results.json.

``KEYS[name](record)`` has at most four columns and belongs to the figure. ``TABLES[name](record)`` has all numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from freight.tools.lab.busy import is_always_starved
from freight.tools.lab.format import figures, memory, rate, seconds
from freight.tools.lab.stats import grouped, window_rate
from freight.units import format_size

Record = Mapping[str, Any]
Table = list[list[str]]  # the first row is its head

_MOMENTS = {"start": "before", "flight": "during", "after": "after"}


def _memory_key(record: Record) -> Table:
    moments, worst = record["summary"]["moments"], record["summary"]["worst"]
    names = ("process_bytes", "kernel_bytes", "cached_bytes")
    rows = []
    for phase, word in _MOMENTS.items():
        now = worst if phase == "flight" else {name: moments[phase][name]["median"] for name in names}
        rows.append([word, *(memory(now[name]) for name in names)])
    return [["moment", "process", "kernel's send queue", "page cache"], *rows]


def _memory(record: Record) -> Table:
    moments = record["summary"]["moments"]
    names = ("process_bytes", "pss_bytes", "kernel_bytes", "cached_bytes")
    rows = [[_MOMENTS[phase], *(_range(at[name], memory) for name in names)] for phase, at in moments.items()]
    return [
        ["moment", "process", "process, with its share of common pages", "kernel's send queue", "page cache"],
        *rows,
    ]


def _strategies_key(record: Record) -> Table:
    cases, slopes = record["summary"]["cases"], record["summary"]["process_bytes_per_client"]
    most = max(case["clients"] for case in cases if case["server"] in slopes)
    rows = [
        [
            *(case["server"], memory(case["process_bytes"]["median"]), memory(slopes[case["server"]])),
            figures(case["cpu_seconds_per_gb"]["median"]) + _mark(case),
        ]
        for case in cases
        if case["clients"] == most and case["server"] in slopes
    ]
    return [["server", f"process, {most:,} clients", "each client", "CPU-seconds per GB"], *rows]


def _strategies(record: Record) -> Table:
    rows = [
        [
            *(case["server"], f"{case['clients']:,}", _range(case["process_bytes"], memory)),
            _range(case["kernel_bytes"], memory),
            *(_range(case[name], figures) + _mark(case) for name in ("cpu_seconds_per_gb", "gb_per_second")),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["server", "clients", "process", "kernel", "CPU-seconds per GB", "GB/s"], *rows]


def _buffer_key(record: Record) -> Table:
    summary = record["summary"]
    shown = {case["size_bytes"]: case for case in (summary["cases"][0], summary["knee"], summary["largest"])}
    rows = [
        [
            *(format_size(size), figures(case["gb_per_cpu_second"]["median"]) + _mark(case)),
            memory(case["process_bytes_per_client"]["median"]),
        ]
        for size, case in sorted(shown.items())
    ]
    return [["buffer", "GB per CPU-second", "process, each client"], *rows]


def _buffer(record: Record) -> Table:
    rows = [
        [
            format_size(case["size_bytes"]),
            *(_range(case[name], figures) + _mark(case) for name in ("gb_per_cpu_second", "gb_per_second")),
            _range(case["process_bytes_per_client"], memory),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["buffer", "GB per CPU-second", "GB/s", "process, each client"], *rows]


def _stalled_key(record: Record) -> Table:
    rows = [
        [
            *(name, memory(case["kernel_bytes"]["median"]), memory(case["kernel_bytes_per_client"])),
            memory(case["growth_bytes"]["median"]),
        ]
        for name, case in record["summary"]["cases"].items()
    ]
    return [["server", "kernel", "kernel, each client", "process grew by"], *rows]


def _stalled(record: Record) -> Table:
    rows = [
        [
            *(name, f"{case['clients']:,}", _range(case["kernel_bytes"], memory)),
            memory(case["kernel_bytes_per_client"]),
            *(_range(case["growth_bytes"], memory), memory(case["process_bytes_per_client"])),
        ]
        for name, case in record["summary"]["cases"].items()
    ]
    head = ["server", "clients", "kernel", "kernel, each client", "process grew by", "process, each client"]
    return [head, *rows]


def _crowd_key(record: Record) -> Table:
    rows = [
        [
            *(name, f"{of['most_clients']:,}", memory(of["process_bytes_per_client"])),
            f"{max(0.0, min(1.0, of['given_back_share'])):.0%}",
        ]
        for name, of in record["summary"]["servers"].items()
    ]
    return [["server", "clients, at most", "process, each client", "returned afterwards"], *rows]


def _crowd(record: Record) -> Table:
    rows = [
        [name, f"{point['clients']:,}", _range(point["process_bytes"], memory), _range(point["kernel_bytes"], memory)]
        for name, of in record["summary"]["servers"].items()
        for point in of["points"]
    ]
    return [["server", "clients", "process", "kernel"], *rows]


def _budget_key(record: Record) -> Table:
    rows = [
        [
            format_size(case["size_bytes"]),
            *(figures(case[name]["median"]) + _mark(case) for name in ("gb_per_cpu_second", "gb_per_second")),
            memory(case["kernel_bytes"]["median"]),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["--memory", "GB per CPU-second", "GB/s", "kernel, at most"], *rows]


def _budget(record: Record) -> Table:
    rows = [
        [
            format_size(case["size_bytes"]),
            *(_range(case[name], figures) + _mark(case) for name in ("gb_per_cpu_second", "gb_per_second")),
            _range(case["kernel_bytes"], memory),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["--memory", "GB per CPU-second", "GB/s", "kernel, at most"], *rows]


def _length_key(record: Record) -> Table:
    rows = [
        [name, memory(case["kept_bytes"]), str(case["answered"]), memory(case["sent_again_bytes"])]
        for name, case in record["summary"]["cases"].items()
    ]
    return [["answer", "kept after the cut", "status", "sent again"], *rows]


def _length(record: Record) -> Table:
    rows = [
        [
            *(name, memory(case["kept_bytes"]), case["asked"], str(case["answered"]), memory(case["sent_again_bytes"])),
            "yes" if case["whole_and_right"] else "NO",
        ]
        for name, case in record["summary"]["cases"].items()
    ]
    return [["answer", "kept after the cut", "range asked for", "status", "sent again", "every byte right"], *rows]


def _path_key(record: Record) -> Table:
    """Return the table of the smallest and the largest budget."""
    trips = grouped(record["summary"]["cases"], lambda case: case["round_trip_seconds"])
    ends = {round_trip: [some[0], *some[1:][-1:]] for round_trip, some in trips.items()}
    rows = [
        [seconds(round_trip), *(rate(case["gb_per_second"]["median"] * 1e9) + _mark(case) for case in some)]
        for round_trip, some in ends.items()
    ]
    return [["round trip", *(format_size(case["size_bytes"]) for case in next(iter(ends.values())))], *rows]


def _path(record: Record) -> Table:
    settings = record["settings"]
    window, line_rate = settings["window_bytes"], settings["bytes_per_second"]
    rows = [
        [
            *(seconds(case["round_trip_seconds"]), format_size(case["size_bytes"])),
            _range(case["gb_per_second"], lambda value: rate(value * 1e9)) + _mark(case),
            rate(window_rate(window, case["round_trip_seconds"], line_rate)),
            _range(case["kernel_bytes"], memory),
            memory(line_rate * case["round_trip_seconds"]),
        ]
        for case in record["summary"]["cases"]
    ]
    allowed = f"a window of {format_size(window)} allows"
    return [["round trip", "--memory", "speed", allowed, "kernel, at most", "bandwidth-delay product"], *rows]


def _range(spread: Mapping[str, float], said: Callable[[float], str]) -> str:
    """Return the median, and in brackets the least and the most unless they look equal."""
    middle, least, most = (said(spread[name]) for name in ("median", "least", "most"))
    return middle if least == most else f"{middle} ({least} to {most})"


def _mark(case: Record) -> str:
    """Return the mark of a case whose clients were starved in every measurement."""
    return "*" if is_always_starved(case) else ""


KEYS: Mapping[str, Callable[[Record], Table]] = {
    "memory": _memory_key,
    "strategies": _strategies_key,
    "buffer": _buffer_key,
    "stalled": _stalled_key,
    "crowd": _crowd_key,
    "budget": _budget_key,
    "length": _length_key,
    "path": _path_key,
}
TABLES: Mapping[str, Callable[[Record], Table]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
    "path": _path,
}
