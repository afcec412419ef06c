"""Scenarios of latency: the first byte after a start, and hot ranges while a disk is busy."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from freight.tools.loadgen.gauge import cached_bytes, evict, memory_of_tree

from . import peers
from .client import Spec
from .drive import Run, Sample, TurnFailed, run_clients
from .launch import HOT, MIB, Site, make_site, run_peer, write_random
from .peers import NGINX, NGINX_DEFAULT, Peer, freight

COLD_FILES = 32
PACE = 100.0  # requests per second; more than the server can handle would measure the client's own queue
PASSES = 4
"""How often a turn downloads the cold files, at most. Each takes about a second."""


def measure_start(peer: Peer, place: Site) -> Sample:
    """Measure the time from the command to the first byte of a response, and process memory a second later."""
    start = time.monotonic()
    with run_peer(peer, place, ready=False) as server:
        while time.monotonic() < start + 10:
            try:
                with socket.create_connection(("127.0.0.1", server.port), 5) as link:
                    link.sendall(f"HEAD /{HOT} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                    first = link.recv(1)
                break
            except ConnectionRefusedError:
                time.sleep(0.001)
        else:
            raise TurnFailed("the server did not listen within 10 s")
        seconds = time.monotonic() - start
        if not first:
            raise TurnFailed("the connection ended without a response")
        time.sleep(1)
        return {"first_byte_seconds": seconds, "idle_bytes": memory_of_tree(server.pid).unique}


def start(run: Run) -> None:
    """The time from the command to the first byte."""
    run.settings = {"file_bytes": 16 * MIB}
    run.rounds = max(run.rounds, 2 if run.quick else 10)
    with make_site(16 * MIB) as place:
        fit = run.suitable([freight(), NGINX, peers.AIOHTTP, peers.CADDY, peers.STARLETTE, peers.GRANIAN], place)
        run.turns(fit, "1", lambda peer: measure_start(peer, place))


def evict_and_check(path: Path) -> float:
    """Evict a file from the page cache. Return the share of it that is still there."""
    evict(path)
    return cached_bytes(path) / path.stat().st_size


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def quantiles_ms(**seconds: list[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds of each kind of times: ``idle_p50_ms``."""
    return {
        f"{kind}_p{share}_ms": 1000 * quantile(values, share / 100)
        for kind, values in seconds.items()
        for share in (50, 99)
    }


def measure_cold(peer: Peer, place: Site, names: tuple[str, ...], seconds: float) -> Sample:
    """Time hot ranges at a steady pace, alone and during downloads of all cold files, repeated for enough requests."""
    busy: list[float] = []
    cold_bytes, resident, passes = 0.0, 0.0, 0
    with run_peer(peer, place) as server:
        calm = Spec("steady", server.port, warm=0.3, seconds=seconds, size=place.size, pace=PACE)
        with run_clients(calm) as hot:
            alone = [taken for _, taken in hot.wait("end")["latencies"]]
        while len(busy) < len(alone) and passes < PASSES:
            passes += 1
            resident = max(resident, *(evict_and_check(place.root / name) for name in names))
            report, latencies = download_cold_files(server.port, place, names)
            busy += [taken for since, taken in latencies if report["begin"] <= since <= report["end"]]
            cold_bytes += report["bytes"]
    if resident > 0.01 or not busy:
        raise TurnFailed(f"the files were not cold: {resident:.0%} was still in the page cache")
    figures = quantiles_ms(idle=alone, loaded=busy)
    ratio = figures["loaded_p99_ms"] / figures["idle_p99_ms"]
    counts = {"requests": len(busy), "passes": passes, "cold_bytes": cold_bytes, "resident_share": resident}
    return {**figures, "p99_ratio": ratio, **counts}


def download_cold_files(
    port: int, place: Site, names: tuple[str, ...]
) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """Download all cold files at once. Return their last event, and (start, seconds) of hot ranges meanwhile."""
    steady = Spec("steady", port, warm=0.0, seconds=4.0, size=place.size, pace=PACE)
    flood = Spec("flood", port, COLD_FILES, warm=0.0, seconds=4.0, names=names, once=True)
    with run_clients(steady) as hot, run_clients(flood) as load:
        load.wait("begin")
        report = load.wait("end")
        return report, hot.wait("end")["latencies"]


def cold(run: Run) -> None:
    """32 downloads of files that are not in the page cache, and one client that requests hot ranges."""
    each = (16 if run.quick else 64) * MIB
    seconds = 1.0 if run.quick else 4.0
    run.settings = {
        "cold_files": COLD_FILES,
        "cold_file_bytes": each,
        "requests_per_second": PACE,
        "range_bytes": 65536,
    }
    with make_site(64 * MIB) as place:
        names = tuple(f"cold-{number}.bin" for number in range(COLD_FILES))
        for name in names:
            write_random(place.root / name, each)
        fit = run.suitable([freight(), NGINX_DEFAULT], place)
        run.turns(fit, "32", lambda peer: measure_cold(peer, place, names, seconds))
