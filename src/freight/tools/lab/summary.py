"""PURE. Derive every number of the report from the samples of a scenario: ``SUMMARIES[name](samples) -> summary``.

A summary holds plain values in bytes and seconds; it can be derived again from ``results.json``.
Speeds are measured several times. A measurement in which other programs kept the clients from a processor is left out
(:func:`freight.tools.lab.busy.starved`). If that happened in all measurements of a case, they
count, and the case is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freight.tools.lab.busy import is_starved
from freight.tools.lab.stats import Row, grouped, line, percentile, speed, spread, with_labels

Summary = dict[str, Any]

ALLOWANCE_BYTES = 1 << 20
"""Memory that a process may keep after its clients have closed, in bytes, as in freight's own benchmark."""

WITH_BUDGET, WITHOUT_BUDGET = "freight --memory 20MB", "zero-copy"
"""The two servers that show what a budget saves."""

_KNEE = 0.9
_HELD = ("process_bytes", "pss_bytes", "kernel_bytes")


def memory(samples: Sequence[Row]) -> Summary:
    """Return the three moments, the growth of the process, and whether its memory was returned."""
    names = (*_HELD, "cached_bytes")
    phases = {phase: with_labels(samples, phase=phase) for phase in ("start", "flight", "after")}
    phases["after"] = phases["after"][len(phases["after"]) // 2 :]  # the first half is time to return memory
    moments = {phase: {name: spread(row[name] for row in rows) for name in names} for phase, rows in phases.items()}
    start, after = (moments[phase]["process_bytes"]["median"] for phase in ("start", "after"))
    worst = max(phases["flight"], key=lambda row: row["process_bytes"] + row["kernel_bytes"])
    return {
        "moments": moments,
        "worst": {name: worst[name] for name in (*names, "taken_bytes", "seconds")},
        "taken_bytes": phases["after"][-1]["taken_bytes"],
        "flight_seconds": phases["flight"][-1]["seconds"] - phases["flight"][0]["seconds"],
        "growth_bytes": moments["flight"]["process_bytes"]["most"] - start,
        "left_bytes": after - start,
        "allowance_bytes": ALLOWANCE_BYTES,
        "returned": after - start <= ALLOWANCE_BYTES,
    }


def strategies(samples: Sequence[Row]) -> Summary:
    """Return memory by server and number of clients, the cost of one more client, and the CPU time per gigabyte."""
    cases, per_client = [], {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        points = []
        for clients, some in grouped(rows, lambda row: row["clients"]).items():
            held = {name: spread(row[name] for row in with_labels(some, phase="held")) for name in _HELD}
            speeds, rounds = _speeds(some)
            points.append((clients, held["process_bytes"]["median"]))
            rates = {
                "gb_per_second": spread(flow["gb_per_second"] for flow in speeds),
                "cpu_seconds_per_gb": spread(1 / max(flow["gb_per_cpu_second"], 1e-9) for flow in speeds),
            }
            cases.append({"server": server, "clients": clients, **held, **rates, "rounds": rounds})
        if len(points) > 1:
            per_client[server] = line(points)["slope"]
    return {"cases": cases, "process_bytes_per_client": per_client}


def _speeds(rows: Sequence[Row]) -> tuple[list[dict[str, float]], dict[str, int]]:
    """Return the speed of each round that counts, the number of rounds, and how many of them were starved."""
    turns = list(grouped(with_labels(rows, phase="flow"), lambda row: row.get("round", 1)).values())
    fit = [turn for turn in turns if not is_starved(turn)]
    return [speed(turn) for turn in fit or turns], {"all": len(turns), "starved": len(turns) - len(fit)}


def buffer(samples: Sequence[Row]) -> Summary:
    """Return speed and memory by buffer size, and the knee: the smallest buffer with 90% of the best speed."""
    cases = []
    for size, rows in grouped(samples, lambda row: row["size_bytes"]).items():
        speeds, rounds = _speeds(rows)
        turns = grouped(rows, lambda row: row["round"]).values()
        idle = spread(row["process_bytes"] for row in with_labels(rows, phase="idle"))["median"]
        peaks = (max(row["process_bytes"] for row in with_labels(turn, phase="flow")) for turn in turns)
        clients = rows[0]["clients"]
        cases.append(
            {
                "size_bytes": size,
                "clients": clients,
                "process_bytes_per_client": spread((peak - idle) / clients for peak in peaks),
                **{name: spread(at[name] for at in speeds) for name in ("gb_per_second", "gb_per_cpu_second")},
                "rounds": rounds,
            }
        )
    best = max(case["gb_per_cpu_second"]["median"] for case in cases)
    fit = [case for case in cases if case["gb_per_cpu_second"]["median"] >= _KNEE * best]
    knee = min(fit, key=lambda case: case["size_bytes"])
    return {"cases": cases, "best_gb_per_cpu_second": best, "knee_share": _KNEE, "knee": knee, "largest": cases[-1]}


def stalled(samples: Sequence[Row]) -> Summary:
    """Return the memory held for clients that stopped reading, in process and kernel, and how much a window saves.

    The effect of the window is measured against WITHOUT_BUDGET, which sends as freight does but without a window.
    """
    cases = {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        idle, held = with_labels(rows, phase="idle"), with_labels(rows, phase="held")
        before = spread(row["process_bytes"] for row in idle)["median"]
        clients = rows[0]["clients"]
        kernel = spread(row["kernel_bytes"] for row in held)
        growth = spread(row["process_bytes"] - before for row in held)
        cases[server] = {
            "clients": clients,
            "idle_bytes": before,
            "growth_bytes": growth,
            "kernel_bytes": kernel,
            "process_bytes_per_client": growth["median"] / clients,
            "kernel_bytes_per_client": kernel["median"] / clients,
        }
    with_window, without = (cases.get(name) for name in (WITH_BUDGET, WITHOUT_BUDGET))
    if not with_window or not without:
        return {"cases": cases, "window_effect": None}
    return {"cases": cases, "window_effect": without["kernel_bytes"]["median"] / with_window["kernel_bytes"]["median"]}


def crowd(samples: Sequence[Row]) -> Summary:
    """Return process memory by number of clients, as points and as a line, and what is left after the last client."""
    servers = {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        idle = spread(row["process_bytes"] for row in with_labels(rows, phase="idle"))["median"]
        points = [
            {"clients": clients, **{name: spread(row[name] for row in some) for name in _HELD}}
            for clients, some in grouped(with_labels(rows, phase="held"), lambda row: row["clients"]).items()
        ]
        fit = line([(0, idle), *((point["clients"], point["process_bytes"]["median"]) for point in points)])
        last = points[-1]
        grown = last["process_bytes"]["median"] - idle
        left = with_labels(rows, phase="after")[-1]["process_bytes"] - idle
        servers[server] = {
            "idle_bytes": idle,
            "points": points,
            "process_bytes_per_client": fit["slope"],
            "intercept_bytes": fit["intercept"],
            "r_squared": fit["r_squared"],
            "most_clients": last["clients"],
            "growth_bytes": grown,
            "left_bytes": left,
            "given_back_share": 1 - left / grown if grown else 1.0,
            "kernel_bytes_per_client": last["kernel_bytes"]["median"] / last["clients"],
        }
    return {"servers": servers}


def budget(samples: Sequence[Row]) -> Summary:
    """Return speed by budget, and the waits of four times as many clients as there are slots."""
    cases = []
    for size, rows in grouped([row for row in samples if row.get("size_bytes")], lambda row: row["size_bytes"]).items():
        speeds, rounds = _speeds(rows)
        names = ("gb_per_second", "gb_per_cpu_second", "kernel_bytes")
        cases.append(
            {
                **{"size_bytes": size, "clients": rows[0]["clients"], "rounds": rounds},
                **{name: spread(at[name] for at in speeds) for name in names},
            }
        )
    return {"cases": cases, "queue": _queue(samples)}


def _queue(samples: Sequence[Row]) -> Summary | None:
    waited = with_labels(samples, phase="waited")
    if not waited:
        return None
    row = waited[0]
    waits = row["waits_seconds"]
    readings = with_labels(samples, phase="queue")
    return {
        **{name: row[name] for name in ("clients", "slots", "file_bytes", "whole")},
        "lost": row["clients"] - row["whole"],
        "wait_seconds": {"median": percentile(waits, 50), "p99": percentile(waits, 99), "most": max(waits)},
        "growth_bytes": max(reading["process_bytes"] for reading in readings) - readings[0]["process_bytes"],
        "kernel_bytes": max(reading["kernel_bytes"] for reading in readings),
        "seconds": readings[-1]["seconds"] - readings[0]["seconds"],
    }


def length(samples: Sequence[Row]) -> Summary:
    """Return what the client showed, and what was sent again, with a stated length and without."""
    return {"cases": {row["server"]: {name: row[name] for name in row if name != "server"} for row in samples}}


def path(samples: Sequence[Row]) -> Summary:
    """Return speed, and memory in the kernel's send queue, by round trip and budget."""
    cases = []
    keys = grouped(samples, lambda row: (row["round_trip_seconds"], row["size_bytes"]))
    for (round_trip, size), rows in keys.items():
        speeds, rounds = _speeds(rows)
        names = ("gb_per_second", "kernel_bytes")
        cases.append(
            {
                **{"round_trip_seconds": round_trip, "size_bytes": size, "rounds": rounds},
                **{name: spread(at[name] for at in speeds) for name in names},
            }
        )
    return {"cases": cases}


SUMMARIES: Mapping[str, Callable[[Sequence[Row]], Summary]] = {
    "memory": memory,
    "strategies": strategies,
    "buffer": buffer,
    "stalled": stalled,
    "crowd": crowd,
    "budget": budget,
    "length": length,
    "path": path,
}
