"""Scenario: one download over lines of the same rate and longer and longer round trips, from several budgets."""

from __future__ import annotations

from pathlib import Path

from freight.lab.bench import MB, ROUNDS, Bench, Station
from freight.lab.client import Manner
from freight.lab.network import line
from freight.lab.servers import freight
from freight.quantities import parse_size

MBIT = 200
"""A third of what one core carries (:mod:`freight.lab.link`), so that the limit is the line, and not that process."""
WINDOW_BYTES = 200 << 10
"""What a server allows that has one fixed size of window for all, and the size of freight's over short paths."""
BUDGETS = ("20MB", "64MiB", "4GiB")

_SEND_BUFFER = Path("/proc/sys/net/ipv4/tcp_wmem")  # tcp(7): least, default and largest size in bytes
_ROUND_TRIPS_MS = (0, 2, 10, 40, 100, 200)
_QUICK_ROUND_TRIPS_MS = (0, 10, 100)
_START_ROUND_TRIPS = 15  # in which TCP has found the speed of the line: it doubles once a round trip


def path(bench: Bench) -> None:
    """Measure the speed of one client with each round trip and each budget. Raises Unfit where no line can be made."""
    with line(0, MBIT):  # where none can be made, that is known before a large file is
        pass
    file, seconds = bench.file((256 if bench.quick else 1000) * MB), 0.3 if bench.quick else 1.0
    bench.settings = {
        **{"file_bytes": file.stat().st_size, "seconds": seconds, "clients": 1},
        **{"bytes_per_second": MBIT * MB // 8, "window_bytes": WINDOW_BYTES},
        "largest_send_buffer_bytes": int(_SEND_BUFFER.read_text().split()[2]),
    }
    for round_trip_ms in _QUICK_ROUND_TRIPS_MS if bench.quick else _ROUND_TRIPS_MS:
        with line(round_trip_ms, MBIT) as ends:
            for memory in BUDGETS:
                server = freight(memory, "--host", "$host", size_bytes=parse_size(memory))
                with bench.serving(server, file, ends) as station:
                    if station:
                        labels = {"round_trip_seconds": round_trip_ms / 1000, "size_bytes": server.size_bytes}
                        station.labels = {"clients": 1, **labels}
                        _download(station, round_trip_ms / 1000, seconds)


def _download(station: Station, round_trip_seconds: float, seconds: float) -> None:
    """Measure a download that is no longer in its slow start."""
    before = station.crowd.look().taken_bytes
    station.crowd.join(1, Manner(again=True))
    begun = station.wait(lambda now: now.taken_bytes > before, "the first bytes")
    start_seconds = max(0.3, _START_ROUND_TRIPS * round_trip_seconds)
    station.wait(lambda now: now.seconds >= begun.seconds + start_seconds, "the end of the slow start")
    for number in range(1, ROUNDS + 1):
        station.labels = {**station.labels, "round": number}
        station.read_for(seconds, "flow")
