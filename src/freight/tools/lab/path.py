"""Scenario "path": one download over lines of one rate and several round trips, from several budgets."""

from __future__ import annotations

from pathlib import Path

from freight.tools.lab.bench import MB, ROUNDS, Bench, MeasuredServer
from freight.tools.lab.servers import freight
from freight.tools.loadgen.client import Again, Group
from freight.tools.loadgen.network import Network, long_link
from freight.units import parse_size

MBIT = 200
"""A third of what one core carries (:mod:`freight.tools.loadgen.link`), so that the line is the limit, not the core."""
WINDOW_BYTES = 200 << 10
"""The window of a server with a fixed window for all clients; freight's windows on short paths have this size."""
BUDGETS = ("20MB", "64MiB", "4GiB")

_SEND_BUFFER = Path("/proc/sys/net/ipv4/tcp_wmem")  # tcp(7): least, default and largest size in bytes
_ROUND_TRIPS_MS = (0, 2, 10, 40, 100, 200)
_QUICK_ROUND_TRIPS_MS = (0, 10, 100)
_START_ROUND_TRIPS = 15  # enough for slow start, which doubles the speed in each round trip


def path(bench: Bench) -> None:
    """Measure the speed of one client with each round trip and each budget. Raises Unsupported without a line."""
    with long_link(0, MBIT):  # fail before the large file is made
        pass
    file, seconds = bench.file((256 if bench.quick else 1000) * MB), 0.3 if bench.quick else 1.0
    bench.settings = {
        **{"file_bytes": file.stat().st_size, "seconds": seconds, "clients": 1},
        **{"bytes_per_second": MBIT * MB // 8, "window_bytes": WINDOW_BYTES},
        "largest_send_buffer_bytes": int(_SEND_BUFFER.read_text().split()[2]),
    }
    for round_trip_ms in _QUICK_ROUND_TRIPS_MS if bench.quick else _ROUND_TRIPS_MS:
        with long_link(round_trip_ms, MBIT) as network:
            _measure_budgets(bench, file, network, round_trip_ms / 1000, seconds)


def _measure_budgets(bench: Bench, file: Path, network: Network, round_trip_seconds: float, seconds: float) -> None:
    for memory in BUDGETS:
        server = freight(memory, "--host", "$host", size_bytes=parse_size(memory))
        with bench.serving(server, file, network) as measured:
            if measured:
                labels = {"round_trip_seconds": round_trip_seconds, "size_bytes": server.size_bytes}
                measured.labels = {"clients": 1, **labels}
                _download(measured, round_trip_seconds, seconds)


def _download(measured: MeasuredServer, round_trip_seconds: float, seconds: float) -> None:
    """Measure a download after its slow start."""
    before = measured.clients.status().taken_bytes
    measured.join(1, Group(again=Again.AFTER_WHOLE))
    started = measured.wait(lambda now: now.taken_bytes > before, "the first bytes")
    start_seconds = max(0.3, _START_ROUND_TRIPS * round_trip_seconds)
    measured.wait(lambda now: now.seconds >= started.seconds + start_seconds, "the end of the slow start")
    for number in range(1, ROUNDS + 1):
        measured.labels = {**measured.labels, "round": number}
        measured.read_for(seconds, "flow")
