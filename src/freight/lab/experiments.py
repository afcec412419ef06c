"""What each scenario does: which servers, which clients, and when it is read. The summaries derive numbers from it."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from freight.lab import gauge
from freight.lab.bench import MB, ROUNDS, Bench, Station
from freight.lab.client import At, Manner
from freight.lab.crowd import Lost
from freight.lab.servers import CHUNK_BYTES, READ_ALL, ZERO_COPY, Server, chunks, freight
from freight.quantities import parse_size

KIB = 1 << 10
SEGMENT_BYTES = 1448
"""As on Ethernet. The loopback's own segments are 64 KiB, and a first window of ten would take a small file whole."""

LEAN = Manner(stall=64 * KIB, receive=64 * KIB, segment=SEGMENT_BYTES)
"""It stops reading early, and its own kernel takes little, so nearly all that is held is held by the server."""

_PROVEN_BYTES = 2 * MB  # freight lends large windows only to clients that have read a few hundred kilobytes


def memory(bench: Bench, server: Server | None = None) -> None:
    """One file that is on disk only, one client at an even pace: before, during and after."""
    size, before, flight, after = (256 * MB, 0.4, 1.2, 0.8) if bench.quick else (1000 * MB, 2.0, 8.0, 4.0)
    file = bench.file(size)
    bench.settings = {"file_bytes": file.stat().st_size, "pace_bytes_per_second": int(size / flight)}
    with bench.serving(server or freight(), file) as station:
        if station is None:
            return
        station.clear()
        _evict(file)

        def cached() -> dict[str, int]:
            return {"cached_bytes": gauge.cached_bytes(file)}

        station.labels = {"clients": 1}
        station.read_for(before, "start", cached)
        station.crowd.join(1, Manner(pace=int(size / flight), receive=2 << 20))
        station.read_until(lambda now: now.count(At.WHOLE, At.CUT, At.REFUSED) == 1, "flight", cached)
        station.read_for(after, "after", cached)


def _evict(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())  # only what is on disk can leave the cache
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def strategies(bench: Bench) -> None:
    """Clients that stop in mid-download, for memory; then clients that read all they can, for CPU time."""
    size, seconds = 2 * MB, 0.2 if bench.quick else 1.0
    file = bench.file(size)
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds}
    for server in (READ_ALL, chunks(CHUNK_BYTES), ZERO_COPY, freight(), *bench.peers):
        with bench.serving(server, file) as station:
            for clients in (1, 10, 100, 500) if station else ():
                assert station is not None
                if server is READ_ALL and clients * size * 3 > gauge.available_bytes():
                    bench.left_out[f"{server.name}, {clients} clients"] = "there is too little memory to do it safely"
                    continue
                station.labels = {"clients": clients}
                _hold(station, clients, LEAN)
                station.clear()
                _flow(station, clients, seconds, ROUNDS)
                station.clear()


def buffer(bench: Bench) -> None:
    """Ten clients read all they can from a server that copies, with one size of buffer after another."""
    file, seconds, clients = bench.file(64 * MB), 0.2 if bench.quick else 2.0, 10
    sizes = [4 * KIB << power for power in range(0, 11, 2 if bench.quick else 1)]
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds, "clients": clients}
    starts, rounds = _starts_and_rounds(bench)
    for start in range(starts):
        for size in sizes:
            with bench.serving(chunks(size), file) as station:
                if station:
                    station.labels = {"clients": clients, "size_bytes": size, "round": start + 1}
                    station.read_for(0.0, "idle")
                    _flow(station, clients, seconds, rounds)


def _starts_and_rounds(bench: Bench) -> tuple[int, int]:
    """How often a server is started, and how often it is measured each time: a quick run starts each server once."""
    return (1, ROUNDS) if bench.quick else (ROUNDS, 1)


def stalled(bench: Bench) -> None:
    """500 clients that read a little and then nothing, with the host's own segments and queues."""
    file = bench.file(64 * MB)
    largest = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    clients = min(500, gauge.available_bytes() // 3 // (largest + (1 << 20)))
    bench.settings = {"file_bytes": file.stat().st_size, "clients": clients, "taken_bytes": _PROVEN_BYTES}
    if clients < 500:
        bench.left_out["500 clients"] = f"there is too little memory to do it safely; {clients} did it"
    for server in (freight("20MB"), ZERO_COPY, *bench.peers):
        with bench.serving(server, file) as station:
            if station:
                station.labels = {"clients": clients}
                station.read_for(0.1, "idle")
                _hold(station, clients, Manner(stall=_PROVEN_BYTES))
                station.clear()


def crowd(bench: Bench) -> None:
    """More and more clients of the same server, all in mid-download, and none at the end."""
    file, room = bench.file(64 * MB), resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    counts = (1, 100, 500, 1000, 2000) if bench.quick else (1, 10, 100, 500, 1000, 2000, 3500, 5000, 7500, 10_000)
    bench.settings = {"file_bytes": file.stat().st_size, "taken_bytes": LEAN.stall, "segment_bytes": SEGMENT_BYTES}
    for server in (freight("2GiB"), *bench.peers):
        with bench.serving(server, file) as station:
            if station:
                _grow(bench, station, [count for count in counts if count <= room])
                for count in counts:
                    if count > room:
                        bench.left_out[f"{count:,} clients"] = f"ulimit -n allows {room + 100} descriptors"


def _grow(bench: Bench, station: Station, counts: Sequence[int]) -> None:
    """Go through these counts, as far as the server and the host's memory for sockets allow."""
    station.labels = {"clients": 0}
    station.read_for(0.2, "idle")
    there = 0
    for count in counts:
        station.labels = {"clients": count}
        station.crowd.join(count - there, LEAN)
        try:
            _await_hold(station, count)
        except Lost as why:
            if not there:
                raise
            bench.left_out[f"{station.process.server.name}, {count:,} clients"] = str(why)
            break
        there = count
    station.labels = {"clients": 0}
    station.clear()
    station.read_for(2.5 if bench.quick else 5.0, "after")


def budget(bench: Bench) -> None:
    """500 clients with one budget after another; then four times as many clients as there are slots."""
    file, seconds, clients = bench.file(64 * MB), 0.3 if bench.quick else 2.0, 500
    budgets = ("20MB", "64MiB", "4GiB") if bench.quick else ("20MB", "64MiB", "128MiB", "256MiB", "1GiB", "4GiB")
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds, "clients": clients}
    starts, rounds = _starts_and_rounds(bench)
    for start in range(starts):
        for memory_text in budgets:
            server = freight(memory_text, size_bytes=parse_size(memory_text))
            with bench.serving(server, file) as station:
                if station:
                    station.labels = {"clients": clients, "size_bytes": server.size_bytes, "round": start + 1}
                    station.read_for(0.0, "idle")
                    _flow(station, clients, seconds, rounds)
    _queue(bench)


def _queue(bench: Bench) -> None:
    """Four times as many clients as there are slots, all at once; each wants one file."""
    server = freight(
        "20MB", "--queue", "10000", "--max-wait", "10m", name="freight --memory 20MB, four times its slots"
    )
    file = bench.file((2 if bench.quick else 4) * MB)
    with bench.serving(server, file) as station:
        if station is None:
            return
        slots = station.ask_slots()
        clients = 4 * slots
        station.labels = {"clients": clients, "slots": slots, "file_bytes": file.stat().st_size}
        station.crowd.join(clients, Manner())
        done = station.read_until(lambda now: now.count(At.WHOLE, At.CUT, At.REFUSED) == clients, "queue")
        waits = [round(seconds, 4) for seconds in station.crowd.waits_seconds()]
        ends = {at.value: done.count(at) for at in (At.WHOLE, At.CUT, At.REFUSED)}
        bench.samples.append(
            {"server": server.name, **station.labels, "phase": "waited", **ends, "waits_seconds": waits}
        )


def _hold(station: Station, clients: int, manner: Manner) -> None:
    station.crowd.join(clients, manner)
    _await_hold(station, clients)


def _await_hold(station: Station, clients: int) -> None:
    station.wait(lambda now: now.count(At.STALLED) == clients, f"{clients} clients in mid-download")
    station.settle("held")


def _flow(station: Station, clients: int, seconds: float, rounds: int) -> None:
    """Measure the speed this often, one measurement after another, with the same clients."""
    before = station.crowd.look().taken_bytes
    station.crowd.join(clients, Manner(again=True))
    station.wait(lambda now: now.taken_bytes > before, "the first bytes")
    station.read_for(seconds / 3, "warm-up")
    first = int(station.labels.get("round", 1))
    for number in range(first, first + rounds):
        station.labels = {**station.labels, "round": number}
        station.read_for(seconds, "flow")
