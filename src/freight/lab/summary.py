"""PURE. From the samples of a scenario to every number that is said of it: ``SUMMARIES[name](samples) -> summary``.

A summary holds plain values in bytes and seconds, so that anybody can derive it again from ``results.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freight.lab.sums import Row, grouped, line, of, percentile, speed, spread

Summary = dict[str, Any]

ALLOWANCE_BYTES = 1 << 20
"""What a process may keep after its clients have gone and still count as back: the bar of freight's own benchmark."""

_KNEE = 0.9
_HELD = ("uss_bytes", "pss_bytes", "kernel_bytes")


def memory(samples: Sequence[Row]) -> Summary:
    """The three moments, what the process grew by, and whether it came back."""
    names = (*_HELD, "cached_bytes")
    phases = {phase: of(samples, phase=phase) for phase in ("start", "flight", "after")}
    phases["after"] = phases["after"][len(phases["after"]) // 2 :]  # the first half is time to come back
    moments = {phase: {name: spread(row[name] for row in rows) for name in names} for phase, rows in phases.items()}
    start, after = (moments[phase]["uss_bytes"]["median"] for phase in ("start", "after"))
    worst = max(phases["flight"], key=lambda row: row["uss_bytes"] + row["kernel_bytes"])
    return {
        "moments": moments,
        "worst": {name: worst[name] for name in (*names, "taken_bytes", "seconds")},
        "taken_bytes": phases["after"][-1]["taken_bytes"],
        "flight_seconds": phases["flight"][-1]["seconds"] - phases["flight"][0]["seconds"],
        "growth_bytes": moments["flight"]["uss_bytes"]["most"] - start,
        "left_bytes": after - start,
        "allowance_bytes": ALLOWANCE_BYTES,
        "returned": after - start <= ALLOWANCE_BYTES,
    }


def strategies(samples: Sequence[Row]) -> Summary:
    """Memory of each server and number of clients, what a client adds, and the CPU time of a gigabyte."""
    cases, per_client = [], {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        points = []
        for clients, some in grouped(rows, lambda row: row["clients"]).items():
            held = {name: spread(row[name] for row in of(some, phase="held")) for name in _HELD}
            flow = speed(of(some, phase="flow"))
            points.append((clients, held["uss_bytes"]["median"]))
            rates = {
                "gb_per_second": flow["gb_per_second"],
                "cpu_seconds_per_gb": 1 / max(flow["gb_per_cpu_second"], 1e-9),
            }
            cases.append({"server": server, "clients": clients, **held, **rates})
        if len(points) > 1:
            per_client[server] = line(points)["slope"]
    return {"cases": cases, "process_bytes_per_client": per_client}


def buffer(samples: Sequence[Row]) -> Summary:
    """Speed and memory of each size of buffer, and the knee: the least with nine tenths of the best speed."""
    cases = []
    for size, rows in grouped(samples, lambda row: row["size_bytes"]).items():
        turns = grouped(rows, lambda row: row["round"]).values()
        speeds = [speed(of(turn, phase="flow")) for turn in turns]
        idle = [of(turn, phase="idle")[0]["uss_bytes"] for turn in turns]
        grown = (at["uss_bytes"] - before for at, before in zip(speeds, idle, strict=True))
        clients = rows[0]["clients"]
        cases.append(
            {
                "size_bytes": size,
                "clients": clients,
                "process_bytes_per_client": spread(growth / clients for growth in grown),
                **{name: spread(at[name] for at in speeds) for name in ("gb_per_second", "gb_per_cpu_second")},
            }
        )
    best = max(case["gb_per_cpu_second"]["median"] for case in cases)
    fit = [case for case in cases if case["gb_per_cpu_second"]["median"] >= _KNEE * best]
    knee = min(fit, key=lambda case: case["size_bytes"])
    return {"cases": cases, "best_gb_per_cpu_second": best, "knee_share": _KNEE, "knee": knee, "largest": cases[-1]}


def stalled(samples: Sequence[Row]) -> Summary:
    """What clients that stopped reading pin, in the process and in the kernel, and what a window saves of that."""
    cases = {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        idle, held = of(rows, phase="idle"), of(rows, phase="held")
        before = spread(row["uss_bytes"] for row in idle)["median"]
        clients = rows[0]["clients"]
        kernel = spread(row["kernel_bytes"] for row in held)
        growth = spread(row["uss_bytes"] - before for row in held)
        cases[server] = {
            "clients": clients,
            "idle_bytes": before,
            "growth_bytes": growth,
            "kernel_bytes": kernel,
            "process_bytes_per_client": growth["median"] / clients,
            "kernel_bytes_per_client": kernel["median"] / clients,
        }
    with_window, without = (cases.get(name) for name in ("freight --memory 20MB", "freight, no window"))
    if not with_window or not without:
        return {"cases": cases, "window_effect": None}
    return {"cases": cases, "window_effect": without["kernel_bytes"]["median"] / with_window["kernel_bytes"]["median"]}


def crowd(samples: Sequence[Row]) -> Summary:
    """Process memory against the number of clients, as points and as a straight line; and what is left after them."""
    servers = {}
    for server, rows in grouped(samples, lambda row: row["server"]).items():
        idle = spread(row["uss_bytes"] for row in of(rows, phase="idle"))["median"]
        points = [
            {"clients": clients, **{name: spread(row[name] for row in some) for name in _HELD}}
            for clients, some in grouped(of(rows, phase="held"), lambda row: row["clients"]).items()
        ]
        fit = line([(0, idle), *((point["clients"], point["uss_bytes"]["median"]) for point in points)])
        last = points[-1]
        grown = last["uss_bytes"]["median"] - idle
        left = of(rows, phase="after")[-1]["uss_bytes"] - idle
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
    """Speed against the budget, and what became of a crowd four times the slots."""
    cases = []
    for size, rows in grouped([row for row in samples if row.get("size_bytes")], lambda row: row["size_bytes"]).items():
        turns = grouped(rows, lambda row: row["round"]).values()
        speeds = [speed(of(turn, phase="flow")) for turn in turns]
        names = ("gb_per_second", "gb_per_cpu_second", "kernel_bytes")
        cases.append(
            {"size_bytes": size, "clients": rows[0]["clients"], **{n: spread(at[n] for at in speeds) for n in names}}
        )
    return {"cases": cases, "queue": _queue(samples)}


def _queue(samples: Sequence[Row]) -> Summary | None:
    told = of(samples, phase="waited")
    if not told:
        return None
    row = told[0]
    waits = row["waits_seconds"]
    readings = of(samples, phase="queue")
    return {
        **{name: row[name] for name in ("clients", "slots", "file_bytes", "whole")},
        "lost": row["clients"] - row["whole"],
        "wait_seconds": {"median": percentile(waits, 50), "p99": percentile(waits, 99), "most": max(waits)},
        "growth_bytes": max(reading["uss_bytes"] for reading in readings) - readings[0]["uss_bytes"],
        "kernel_bytes": max(reading["kernel_bytes"] for reading in readings),
        "seconds": readings[-1]["seconds"] - readings[0]["seconds"],
    }


def length(samples: Sequence[Row]) -> Summary:
    """What was shown, and what was sent again, with a stated length and without."""
    return {"cases": {row["server"]: {name: row[name] for name in row if name != "server"} for row in samples}}


SUMMARIES: Mapping[str, Callable[[Sequence[Row]], Summary]] = {
    "memory": memory,
    "strategies": strategies,
    "buffer": buffer,
    "stalled": stalled,
    "crowd": crowd,
    "budget": budget,
    "length": length,
}
