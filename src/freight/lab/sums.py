"""PURE. The arithmetic of the summaries: medians with their spread, a straight line, the speed of a flow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import ceil
from statistics import median
from typing import Any, TypeVar

Row = Mapping[str, Any]
Key = TypeVar("Key", bound=Hashable)


def spread(values: Iterable[float]) -> dict[str, float]:
    """``{"median", "least", "most"}`` of at least one value."""
    found = list(values)
    return {"median": median(found), "least": min(found), "most": max(found)}


def of(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """The rows that have all these labels."""
    return [row for row in rows if all(row.get(name) == value for name, value in labels.items())]


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """The rows by a key, in the order in which each key is first seen."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def line(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The line of least squares: ``slope``, ``intercept``, ``r_squared``. Needs two different values of x."""
    n = len(points)
    x_mean, y_mean = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    xx = sum((x - x_mean) ** 2 for x, _ in points)
    xy = sum((x - x_mean) * (y - y_mean) for x, y in points)
    yy = sum((y - y_mean) ** 2 for _, y in points)
    slope = xy / xx
    return {"slope": slope, "intercept": y_mean - slope * x_mean, "r_squared": xy * xy / (xx * yy) if yy else 1.0}


def speed(rows: Sequence[Row]) -> dict[str, float]:
    """From the first reading of a flow to its last: GB per second, GB per CPU-second of the server, peak memory."""
    first, last = rows[0], rows[-1]
    gigabytes = (last["taken_bytes"] - first["taken_bytes"]) / 1e9
    return {
        "gb_per_second": gigabytes / (last["seconds"] - first["seconds"]),
        "gb_per_cpu_second": gigabytes / max(last["cpu_seconds"] - first["cpu_seconds"], 1e-6),
        "process_bytes": max(row["process_bytes"] for row in rows),
        "kernel_bytes": max(row["kernel_bytes"] for row in rows),
    }


def window_rate(window_bytes: float, round_trip_seconds: float, line_rate: float) -> float:
    """The bytes a second that a window allows over a line: one window a round trip, and never more than the line."""
    return min(line_rate, window_bytes / round_trip_seconds) if round_trip_seconds else line_rate


def clearly_less(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether one spread is below another beyond doubt: they do not overlap, and the medians differ by a tenth."""
    return one["most"] < other["least"] and one["median"] < 0.9 * other["median"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that is not exceeded by this percentage of all values, or more."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
