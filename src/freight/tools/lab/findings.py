"""PURE. The numbers of each scenario as texts: ``FACTS[name](record) -> {fact: text}``.

A record is a scenario's part of results.json. The sentences of the report and the documentation take all numbers from
here; none is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from freight.tools.lab.format import count, figures, memory, rate, seconds, times
from freight.tools.lab.stats import window_rate
from freight.tools.lab.summary import WITH_BUDGET, WITHOUT_BUDGET
from freight.units import format_size

Record = Mapping[str, Any]
Facts = dict[str, str]

STRATEGIES = {"whole": "read it all", "chunks": "32KiB chunks", "zero_copy": "zero-copy", "freight": "freight"}
"""Facts' prefixes and names of the servers that the scenario "strategies" compares."""


def _memory(record: Record) -> Facts:
    summary = record["summary"]
    start, after = (summary["moments"][phase]["process_bytes"]["median"] for phase in ("start", "after"))
    left, allowed = summary["left_bytes"], memory(summary["allowance_bytes"])
    leaking = f"this is LEAKING: at most {allowed} may stay"
    return {
        "file": memory(record["settings"]["file_bytes"]),
        "start": memory(start),
        "after": memory(after),
        "flight_seconds": seconds(summary["flight_seconds"]),
        "growth": memory(max(summary["growth_bytes"], 0)),
        "kernel": memory(summary["worst"]["kernel_bytes"]),
        "kernel_before": memory(summary["moments"]["start"]["kernel_bytes"]["median"]),
        "cached_after": memory(summary["moments"]["after"]["cached_bytes"]["median"]),
        "left": f"{memory(abs(left))} {'more' if left >= 0 else 'less'} than before",
        "verdict": f"it is back within {allowed} of where it was" if summary["returned"] else leaking,
    }


def _strategies(record: Record) -> Facts:
    cases, slopes = record["summary"]["cases"], record["summary"]["process_bytes_per_client"]
    most = max(case["clients"] for case in cases if case["server"] == STRATEGIES["whole"])
    last = {case["server"]: case for case in cases if case["clients"] == most}
    facts = {"clients": count(most, "client"), "file": memory(record["settings"]["file_bytes"])}
    for short, name in STRATEGIES.items():
        facts[short] = memory(last[name]["process_bytes"]["median"])
        facts[f"{short}_per_client"] = memory(slopes[name])
        facts[f"{short}_cpu"] = figures(last[name]["cpu_seconds_per_gb"]["median"])
    facts["whole_to_freight"] = times(slopes[STRATEGIES["whole"]] / slopes[STRATEGIES["freight"]])
    return facts | _peers((name, memory(slope)) for name, slope in slopes.items() if name not in STRATEGIES.values())


def _buffer(record: Record) -> Facts:
    summary = record["summary"]
    facts = {"best": figures(summary["best_gb_per_cpu_second"]), "share": f"{summary['knee_share']:.0%}"}
    facts["clients"] = count(summary["knee"]["clients"], "client")
    for name, case in (("first", summary["cases"][0]), ("knee", summary["knee"]), ("largest", summary["largest"])):
        facts[name] = format_size(case["size_bytes"])
        facts[f"{name}_speed"] = figures(case["gb_per_cpu_second"]["median"])
        facts[f"{name}_per_client"] = memory(case["process_bytes_per_client"]["median"])
    return facts


def _stalled(record: Record) -> Facts:
    cases, effect = record["summary"]["cases"], record["summary"]["window_effect"]
    first, case = next(iter(cases.items()))
    facts = {"taken": memory(record["settings"]["taken_bytes"]), "clients": count(case["clients"], "client")}
    facts |= {"first": first, "held": memory(case["kernel_bytes"]["median"])}
    facts["budget"] = WITH_BUDGET.rpartition(" ")[2]
    if effect is not None:
        facts["effect"] = times(effect)
        for short, name in (("bound", WITH_BUDGET), ("free", WITHOUT_BUDGET)):
            facts[short] = memory(cases[name]["kernel_bytes"]["median"])
            facts[f"{short}_per_client"] = memory(cases[name]["kernel_bytes_per_client"])
            facts[f"{short}_process"] = memory(cases[name]["growth_bytes"]["median"])
    others = {name: case for name, case in cases.items() if not name.startswith("freight")}
    if effect is not None:
        del others[WITHOUT_BUDGET]
    return facts | _peers((name, memory(case["kernel_bytes_per_client"])) for name, case in others.items())


def _crowd(record: Record) -> Facts:
    (name, ours), *others = record["summary"]["servers"].items()
    return {
        "server": name,
        "clients": count(ours["most_clients"], "client"),
        "per_client": memory(ours["process_bytes_per_client"]),
        "intercept": memory(ours["intercept_bytes"]),
        "r_squared": f"{ours['r_squared']:.4f}",
        "growth": memory(ours["growth_bytes"]),
        "given_back": f"{ours['given_back_share']:.0%}" if ours["given_back_share"] >= 0.005 else "nothing",
    } | _peers((peer, memory(of["process_bytes_per_client"])) for peer, of in others)


def _budget(record: Record) -> Facts:
    cases, queue = record["summary"]["cases"], record["summary"]["queue"]
    facts = {"clients": count(cases[0]["clients"], "client")}
    for name, case in (("least", cases[0]), ("most", cases[-1])):
        facts[name] = format_size(case["size_bytes"])
        facts[f"{name}_speed"] = figures(case["gb_per_cpu_second"]["median"])
    if queue:
        facts |= {
            "crowd": count(queue["clients"], "client"),
            "slots": count(queue["slots"], "slot"),
            "half": seconds(queue["wait_seconds"]["median"]),
            "last": seconds(queue["wait_seconds"]["most"]),
            "whole": f"{queue['whole']:,}",
            "lost": f"{queue['lost']:,} FAILED" if queue["lost"] else "none failed",
        }
    return facts


def _length(record: Record) -> Facts:
    facts = {"file": memory(record["settings"]["file_bytes"]), "wget": record["settings"]["wget"]}
    for short, name in (("stated", "length stated"), ("unstated", "length not stated")):
        case = record["summary"]["cases"][name]
        facts[f"{short}_shown"] = " ".join(case["shown_half_way"].split()[1:])  # less the file's name, and the width
        facts[f"{short}_kept"] = memory(case["kept_bytes"])
        facts[f"{short}_status"] = str(case["answered"])
        facts[f"{short}_sent"] = memory(case["sent_again_bytes"])
    return facts


def _path(record: Record) -> Facts:
    settings, nearest = record["settings"], record["summary"]["cases"][0]
    farthest, allowed = farthest_cases(record), window_rate_at_farthest(record)
    far = farthest[0]["round_trip_seconds"]
    facts = {
        "line": rate(settings["bytes_per_second"]),
        "near": seconds(nearest["round_trip_seconds"]),
        "far": seconds(far),
        "near_speed": rate(nearest["gb_per_second"]["median"] * 1e9),
        "window": format_size(settings["window_bytes"]),
        "window_speed": rate(allowed),
        "times": times(min(speeds_of(farthest)) / allowed),
        "product": memory(settings["bytes_per_second"] * far),
        "send_buffer": memory(settings["largest_send_buffer_bytes"]),
    }
    for name, case in (("least", farthest[0]), ("most", farthest[-1])):
        facts[name] = format_size(case["size_bytes"])
        facts[f"{name}_speed"] = rate(case["gb_per_second"]["median"] * 1e9)
        facts[f"{name}_kernel"] = memory(case["kernel_bytes"]["median"])
    return facts


def farthest_cases(record: Record) -> list[Record]:
    """Return the cases of the scenario "path" with the longest round trip, by budget."""
    cases = record["summary"]["cases"]
    return [case for case in cases if case["round_trip_seconds"] == cases[-1]["round_trip_seconds"]]


def speeds_of(cases: Iterable[Record]) -> list[float]:
    """Return the median speed of each case, in bytes per second."""
    return [case["gb_per_second"]["median"] * 1e9 for case in cases]


def window_rate_at_farthest(record: Record) -> float:
    """Return what a fixed window allows at the longest round trip, in bytes per second."""
    settings, far = record["settings"], farthest_cases(record)[0]["round_trip_seconds"]
    return window_rate(settings["window_bytes"], far, settings["bytes_per_second"])


def _peers(numbers: Iterable[tuple[str, str]]) -> Facts:
    """Return the numbers of other servers as one fact, if any were measured."""
    others = ", ".join(f"{number} ({name})" for name, number in numbers)
    return {"others": others} if others else {}


FACTS: Mapping[str, Callable[[Record], Facts]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
    "path": _path,
}
