"""PURE. The sentences of the report about each scenario, with measured numbers. The first sentence is the verdict.

A sentence gives a reason only if the numbers agree with it. If they do not, another sentence says that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from freight.tools.lab.busy import disturbance, is_always_starved
from freight.tools.lab.findings import FACTS, STRATEGIES, Facts, farthest_cases, speeds_of, window_rate_at_farthest
from freight.tools.lab.format import count
from freight.tools.lab.stats import is_clearly_less
from freight.tools.lab.summary import WITHOUT_BUDGET

Record = Mapping[str, Any]

_STRAIGHT = 0.99  # least r² at which points are said to lie on a line
_MEBIBYTE = 1 << 20


def sentences(name: str, record: Record) -> list[str]:
    """Return the verdict, and then the sentences that explain it."""
    return list(_SAYERS[name](record, FACTS[name](record)))


def verdict(name: str, record: Record) -> str:
    """Return the sentence that answers the scenario's question."""
    return sentences(name, record)[0]


def remarks(record: Record) -> list[str]:
    """Return the warnings about a scenario's numbers, such as other programs that disturbed the measurement."""
    found = [disturbance(record.get("load") or {})]
    rounds = [case["rounds"] for case in record["summary"].get("cases", ()) if isinstance(case, Mapping)]
    whole = sum(each["all"] for each in rounds)
    marked = sum(each["starved"] for each in rounds if each["starved"] == each["all"])
    dropped = sum(each["starved"] for each in rounds) - marked
    why = "because other programs kept the clients from a processor"
    if dropped:
        found.append(f"{dropped} of {count(whole, 'measurement')} of speed left out, {why}.")
    if marked:
        found.append(f"{marked} of {count(whole, 'measurement')} of speed marked with *, {why}, every time.")
    if any(row.get("settled") is False for row in record.get("samples", ())):
        found.append("Some memory was still changing when it was read, after waiting for it for 6 s.")
    return [text for text in found if text]


def _undisturbed(cases: Iterable[Record]) -> bool:
    """Return whether each speed was measured at least once while the clients had a processor."""
    return not any(map(is_always_starved, cases))


def _memory(record: Record, facts: Facts) -> Iterator[str]:
    summary = record["summary"]
    if not summary["returned"]:
        yield "After the download of {file} the process has {left}; {verdict}.".format_map(facts)
    elif summary["growth_bytes"] <= _MEBIBYTE:
        yield (
            "A download of {file} needs almost no memory: the process grew by at most {growth}, and {verdict}."
        ).format_map(facts)
    else:
        yield "A download of {file} made the process grow by at most {growth}; {verdict}.".format_map(facts)
    yield (
        "The process had {start} before the first request. While the file was sent, in {flight_seconds}, the kernel's "
        "send queue held at most {kernel}. Afterwards the process had {after}."
    ).format_map(facts)
    if summary["moments"]["after"]["cached_bytes"]["median"] >= 0.9 * record["settings"]["file_bytes"]:
        yield "The file is now in the page cache. The kernel frees that as soon as a program needs memory."


def _strategies(record: Record, facts: Facts) -> Iterator[str]:
    slopes, size = record["summary"]["process_bytes_per_client"], record["settings"]["file_bytes"]
    yield (
        "With {clients} in the middle of a download of {file}, the server that reads the whole file needs {whole}, and "
        "freight {freight}."
    ).format_map(facts)
    copies = 0.75 * size <= slopes[STRATEGIES["whole"]] <= 1.5 * size
    small = all(slopes[name] <= 0.1 * size for short, name in STRATEGIES.items() if short != "whole")
    if copies and small:
        yield (
            "Reading the whole file costs {whole_per_client} for each client, because each has a copy of the file. "
            "The others cost less than a tenth of that, because they never hold more than a part of it."
        ).format_map(facts)
    else:
        yield (
            "These numbers do not show what each client should cost: reading the whole file took {whole_per_client} "
            "for each client and a file of {file}, chunks {chunks_per_client}, zero-copy {zero_copy_per_client}, "
            "freight {freight_per_client}."
        ).format_map(facts)
    if "others" in facts:
        yield "Other servers, for each client: {others}.".format_map(facts)


def _buffer(record: Record, facts: Facts) -> Iterator[str]:
    summary = record["summary"]
    first, knee, largest = summary["cases"][0], summary["knee"], summary["largest"]
    speeds = [case["gb_per_cpu_second"] for case in (first, knee, largest)]
    if knee["size_bytes"] == largest["size_bytes"]:
        yield "The largest buffer, {largest}, is the fastest here: {largest_speed} GB per CPU-second.".format_map(facts)
    elif facts["knee_speed"] == facts["best"]:
        yield "A buffer of {knee} is enough: with {best} GB per CPU-second it is the fastest here.".format_map(facts)
    else:
        yield (
            "A buffer of {knee} is enough: with {knee_speed} GB per CPU-second it reaches {share} of the best speed, "
            "{best}."
        ).format_map(facts)
    if is_clearly_less(speeds[0], speeds[1]) and _undisturbed(summary["cases"]):
        yield (
            "A small buffer is slow, because each buffer takes two system calls: {first} gives {first_speed}."
        ).format_map(facts)
    else:
        yield "These numbers do not show that a small buffer is slow: {first} gives {first_speed}.".format_map(facts)
    if knee["size_bytes"] != largest["size_bytes"] and not is_clearly_less(speeds[1], speeds[2]):
        yield (
            "A larger one only costs memory: {largest} gives {largest_speed}, and takes {largest_per_client} for each "
            "client instead of {knee_per_client}."
        ).format_map(facts)


def _stalled(record: Record, facts: Facts) -> Iterator[str]:
    summary = record["summary"]
    effect = summary["window_effect"]
    if effect is None:
        yield "{clients} that stop reading hold {held} in the kernel with {first}.".format_map(facts)
    elif effect >= 2:
        yield (
            "{clients} that stop reading hold {bound} in the kernel with a budget of {budget}, and {free} where the "
            "kernel decides: {effect} as much."
        ).format_map(facts)
        yield (
            "freight limits what the kernel queues for each connection: {bound_per_client} instead of "
            "{free_per_client} for a client that has read {taken} and then stopped."
        ).format_map(facts)
    else:
        yield (
            "These numbers do not show what a budget saves: {clients} that stop reading hold {bound} in the kernel "
            "with a budget of {budget}, and {free} where the kernel decides."
        ).format_map(facts)
    if effect is not None:
        free = summary["cases"][WITHOUT_BUDGET]
        yield (
            "The memory of the process does not show it, because the bytes are in the kernel: the process grew by "
            "{free_process} where the kernel decides, and by {bound_process} with a budget."
            if abs(free["growth_bytes"]["median"]) <= 0.1 * free["kernel_bytes"]["median"]
            else "The process itself grew by {free_process} where the kernel decides, and by {bound_process} with a "
            "budget."
        ).format_map(facts)
    if "others" in facts:
        yield "Other servers that leave the limit to the kernel hold, for each client: {others}.".format_map(facts)


def _crowd(record: Record, facts: Facts) -> Iterator[str]:
    ours = next(iter(record["summary"]["servers"].values()))
    if ours["r_squared"] >= _STRAIGHT:
        yield (
            "One more client costs {per_client} of process memory, from the first to {clients}: the points lie on a "
            "straight line (r² = {r_squared})."
        ).format_map(facts)
    else:
        yield (
            "Up to {clients}, one more costs {per_client} of process memory on average, but the points do not lie on "
            "a straight line (r² = {r_squared})."
        ).format_map(facts)
    yield (
        "The process grew by {growth}. Some seconds after the last client had closed, it had returned {given_back} of "
        "that."
    ).format_map(facts)
    if "others" in facts:
        yield "Other servers, for each client: {others}.".format_map(facts)


def _budget(record: Record, facts: Facts) -> Iterator[str]:
    summary = record["summary"]
    speeds = [case["gb_per_cpu_second"] for case in summary["cases"]]
    grows = all(more["median"] >= 0.9 * less["median"] for less, more in pairwise(speeds))
    yield (
        "With {clients}, the server sends {least_speed} GB per CPU-second from a budget of {least}, and {most_speed} "
        "from {most}."
    ).format_map(facts)
    if grows and is_clearly_less(speeds[0], speeds[-1]) and _undisturbed(summary["cases"]):
        yield "A smaller budget is slower, because smaller windows need more system calls for the same bytes."
    else:
        yield "These numbers do not show that a smaller budget is slower."
    if summary["queue"]:
        yield (
            "{crowd} came at the same time for {slots}: {whole} received the whole file, {lost}. Half of them waited "
            "at most {half}, the last one {last}."
        ).format_map(facts)


def _length(record: Record, facts: Facts) -> Iterator[str]:
    cases = record["summary"]["cases"]
    stated, unstated = cases["length stated"], cases["length not stated"]
    size = record["settings"]["file_bytes"]
    if stated["answered"] == 206 and unstated["answered"] == 200 and unstated["sent_again_bytes"] >= size:
        yield (
            "A download that was cut resumes only if its length was stated: then the missing {stated_sent} were sent, "
            "otherwise all {unstated_sent} again."
        ).format_map(facts)
        yield (
            "A client that does not know where a file ends can neither ask for the rest of it nor tell a complete file "
            "from one that was cut."
        )
    else:
        yield (
            "These numbers do not show what a stated length saves: after the cut {stated_sent} were sent with it, and "
            "{unstated_sent} without it."
        ).format_map(facts)
    yield (
        "After the cut the server answered {stated_status} with a stated length, and {unstated_status} without. "
        "wget showed “{stated_shown}” with a length, and “{unstated_shown}” without."
    ).format_map(facts)


def _path(record: Record, facts: Facts) -> Iterator[str]:
    settings, farthest = record["settings"], farthest_cases(record)
    far, line_rate = farthest[0]["round_trip_seconds"], settings["bytes_per_second"]
    speeds = speeds_of(farthest)
    yield (
        "Over a round trip of {far} one client gets {least_speed} from a budget of {least} and {most_speed} from "
        "{most}; over {near} it gets {near_speed}."
    ).format_map(facts)
    yield (
        "A window is what a server may have in flight before it must wait for an acknowledgement, which comes a round "
        "trip later: so a download gets at most one window in each round trip, and {window} in {far} are "
        "{window_speed}."
    ).format_map(facts)
    yield (
        "A line is full only while its bandwidth-delay product is in flight, which is its rate times its round trip: "
        "{product} for {line} and {far}."
    ).format_map(facts)
    if min(speeds) >= 2 * window_rate_at_farthest(record):
        yield (
            "freight's windows grow with the path: at {far} every budget here gives at least {times} what {window} "
            "would allow, and of {least} the kernel holds {least_kernel} for it."
        ).format_map(facts)
    else:
        yield "These numbers do not show that windows grow with the path."
    if max(speeds) < 0.9 * line_rate and settings["largest_send_buffer_bytes"] < line_rate * far:
        yield (
            "No budget fills the line at {far}, because the host allows no larger send buffer than {send_buffer} "
            "(tcp_wmem)."
        ).format_map(facts)


_SAYERS: Mapping[str, Callable[[Record, Facts], Iterator[str]]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
    "path": _path,
}
