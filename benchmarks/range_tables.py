"""The tables of the scenario ``ranges`` that have no row for each server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .ranges import CONNECTIONS, KINDS, RANGES, REPLAYS, case_name
from .results import Result, median_of

FIGURES = {
    "Requests per CPU-second of the server": "requests_per_cpu_second",
    "Requests per second": "requests_per_second",
}
_READ = (("wall, s", "seconds", 3), ("requests", "requests", 0), ("CPU of the server, s", "cpu_seconds", 3))


def servers_of(result: Result, kind: str) -> list[str]:
    """Return the names of the servers that were measured by a protocol of ``KINDS``."""
    return [name for name in result.peers if next((end for end in KINDS if end and name.endswith(end)), "") == kind]


def rates(result: Result, kind: str, key: str) -> tuple[Sequence[str], list[list[str]]]:
    """Return titles and rows: a row for each size and number of connections, a column for each server."""
    servers = servers_of(result, kind)
    rows = [
        [title, str(connections), *(_rate(result, name, f"nginx{kind}", title, connections, key) for name in servers)]
        for title in RANGES
        for connections in CONNECTIONS
    ]
    return ["range", "connections", *(name.removesuffix(kind) for name in servers)], rows


def _rate(result: Result, peer: str, nginx: str, title: str, connections: int, key: str) -> str:
    """Return a median, and the median of its ratio to nginx: ``5,210 (0.35)``."""
    case = case_name(title, connections)
    value, ratio = median_of(result.values(peer, case, key)), median_of(result.paired(peer, nginx, case, key))
    if value is None:
        return "-"
    return f"{value:,.0f}" if peer == nginx or ratio is None else f"{value:,.0f} ({ratio:.2f})"


def replays(result: Result) -> tuple[Sequence[str], list[list[str]]]:
    """Return titles and rows: a row for each library and server."""
    titles = ["reads", "server", *(word for title, _, _ in _READ for word in (title, "x nginx"))]
    return titles, [
        [kind, peer, *_reads(result, kind, peer)]
        for kind in REPLAYS
        for peer in ("nginx", "freight")
        if result.values(peer, kind, "seconds")
    ]


def _reads(result: Result, kind: str, peer: str) -> Iterator[str]:
    for _, key, digits in _READ:
        value = median_of(result.values(peer, kind, key))
        ratio = median_of(result.paired(peer, "nginx", kind, key))
        yield "-" if value is None else f"{value:,.{digits}f}"
        yield "1" if peer == "nginx" else "-" if ratio is None else f"{ratio:.2f}"
