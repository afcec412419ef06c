"""PURE. The table beside each figure: ``TABLES[name](record)``, of a scenario's part of results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from freight.lab.wording import figures, memory
from freight.quantities import format_size

Record = Mapping[str, Any]
Table = list[list[str]]  # the first row is its head


def _memory(record: Record) -> Table:
    moments = record["summary"]["moments"]
    names = ("uss_bytes", "pss_bytes", "kernel_bytes", "cached_bytes")
    rows = [[phase, *(_range(at[name], memory) for name in names)] for phase, at in moments.items()]
    return [["moment", "process, USS", "process, PSS", "kernel's send queue", "page cache"], *rows]


def _strategies(record: Record) -> Table:
    rows = [
        [
            *(case["server"], f"{case['clients']:,}", _range(case["uss_bytes"], memory)),
            *(
                _range(case["kernel_bytes"], memory),
                figures(case["cpu_seconds_per_gb"]),
                figures(case["gb_per_second"]),
            ),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["server", "clients", "process", "kernel", "CPU-seconds a GB", "GB/s"], *rows]


def _buffer(record: Record) -> Table:
    rows = [
        [
            *(format_size(case["size_bytes"]), _range(case["gb_per_cpu_second"], figures)),
            *(_range(case["gb_per_second"], figures), _range(case["process_bytes_per_client"], memory)),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["buffer", "GB a CPU-second", "GB/s", "process, a client"], *rows]


def _stalled(record: Record) -> Table:
    rows = [
        [
            *(
                name,
                f"{case['clients']:,}",
                _range(case["kernel_bytes"], memory),
                memory(case["kernel_bytes_per_client"]),
            ),
            *(_range(case["growth_bytes"], memory), memory(case["process_bytes_per_client"])),
        ]
        for name, case in record["summary"]["cases"].items()
    ]
    return [["server", "clients", "kernel", "kernel, a client", "process, above idle", "process, a client"], *rows]


def _crowd(record: Record) -> Table:
    rows = [
        [name, f"{point['clients']:,}", _range(point["uss_bytes"], memory), _range(point["kernel_bytes"], memory)]
        for name, of in record["summary"]["servers"].items()
        for point in of["points"]
    ]
    return [["server", "clients", "process", "kernel"], *rows]


def _budget(record: Record) -> Table:
    rows = [
        [
            *(format_size(case["size_bytes"]), _range(case["gb_per_cpu_second"], figures)),
            *(_range(case["gb_per_second"], figures), _range(case["kernel_bytes"], memory)),
        ]
        for case in record["summary"]["cases"]
    ]
    return [["--memory", "GB a CPU-second", "GB/s", "kernel, at most"], *rows]


def _length(record: Record) -> Table:
    rows = [
        [
            *(name, memory(case["kept_bytes"]), case["asked"], str(case["answered"]), memory(case["sent_again_bytes"])),
            "yes" if case["whole_and_right"] else "NO",
        ]
        for name, case in record["summary"]["cases"].items()
    ]
    return [["answers", "kept", "asked for", "status", "sent", "every byte right"], *rows]


def _range(spread: Mapping[str, float], said: Callable[[float], str]) -> str:
    """The median, and in brackets the least and the most where they differ from it."""
    middle, least, most = (said(spread[name]) for name in ("median", "least", "most"))
    return middle if least == most else f"{middle} ({least} to {most})"


TABLES: Mapping[str, Callable[[Record], Table]] = {
    "memory": _memory,
    "strategies": _strategies,
    "buffer": _buffer,
    "stalled": _stalled,
    "crowd": _crowd,
    "budget": _budget,
    "length": _length,
}
