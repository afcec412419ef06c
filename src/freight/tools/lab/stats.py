"""PURE. The arithmetic of the summaries: medians and ranges, straight lines, speeds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import ceil
from statistics import correlation, linear_regression, median
from typing import Any, TypeVar

Row = Mapping[str, Any]
Key = TypeVar("Key", bound=Hashable)


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return ``{"median", "least", "most"}`` of at least one value."""
    found = list(values)
    return {"median": median(found), "least": min(found), "most": max(found)}


def with_labels(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """Return the rows that have all these labels."""
    return [row for row in rows if all(row.get(name) == value for name, value in labels.items())]


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Group the rows by a key, in the order in which each key first occurs."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def line(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the least-squares line: ``slope``, ``intercept``, ``r_squared``. Needs two different values of x."""
    xs, ys = zip(*points, strict=True)
    slope, intercept = linear_regression(xs, ys)
    is_level = min(ys) == max(ys)
    return {"slope": slope, "intercept": intercept, "r_squared": 1.0 if is_level else correlation(xs, ys) ** 2}


def speed(rows: Sequence[Row]) -> dict[str, float]:
    """Return GB per second, GB per CPU-second of the server, and peak memory, from the first reading to the last."""
    first, last = rows[0], rows[-1]
    gigabytes = (last["taken_bytes"] - first["taken_bytes"]) / 1e9
    return {
        "gb_per_second": gigabytes / (last["seconds"] - first["seconds"]),
        "gb_per_cpu_second": gigabytes / max(last["cpu_seconds"] - first["cpu_seconds"], 1e-6),
        "process_bytes": max(row["process_bytes"] for row in rows),
        "kernel_bytes": max(row["kernel_bytes"] for row in rows),
    }


def window_rate(window_bytes: float, round_trip_seconds: float, line_rate: float) -> float:
    """Return the bytes per second that a window allows: one window per round trip, at most the rate of the line."""
    return min(line_rate, window_bytes / round_trip_seconds) if round_trip_seconds else line_rate


def is_clearly_less(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Return whether one range lies below another, and the medians differ by more than 10%."""
    return one["most"] < other["least"] and one["median"] < 0.9 * other["median"]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile. ``statistics.quantiles`` would interpolate between two values."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
