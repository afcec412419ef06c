"""The scenarios: which servers, which clients, and when memory and CPU time are read."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

from freight.tools.lab.bench import MB, ROUNDS, Bench, MeasuredServer
from freight.tools.lab.servers import CHUNK_BYTES, READ_ALL, ZERO_COPY, Server, chunks, freight
from freight.tools.loadgen import gauge
from freight.tools.loadgen.client import Again, ClientState, Group
from freight.tools.loadgen.generator import REFUSED, LoadProcessLost
from freight.units import parse_size

KIB = 1 << 10
SEGMENT_BYTES = 1448
"""As on Ethernet. With the loopback's segments of 64 KiB, an initial window of ten holds a small file completely."""

LEAN = Group(stall=64 * KIB, receive=64 * KIB, segment=SEGMENT_BYTES)
"""A client that stops reading early and has a small receive buffer, so that the server holds nearly everything."""

ENDS = (ClientState.WHOLE, ClientState.CUT, REFUSED)

_READ_BYTES = 2 * MB  # enough for freight's largest windows


def memory(bench: Bench, server: Server | None = None) -> None:
    """Read memory before, during and after one download at an even pace, of a file that is not in the page cache."""
    size, before, flight, after = (256 * MB, 0.4, 1.2, 0.8) if bench.quick else (1000 * MB, 2.0, 8.0, 4.0)
    file = bench.file(size)
    bench.settings = {"file_bytes": file.stat().st_size, "pace_bytes_per_second": int(size / flight)}
    with bench.serving(server or freight(), file) as measured:
        if measured is None:
            return
        measured.clear()
        gauge.evict(file)

        def cached() -> dict[str, int]:
            return {"cached_bytes": gauge.cached_bytes(file)}

        measured.labels = {"clients": 1}
        measured.read_for(before, "start", cached)
        measured.join(1, Group(pace=int(size / flight), receive=2 << 20))
        measured.read_until(lambda now: now.count(*ENDS) == 1, "flight", cached)
        measured.read_for(after, "after", cached)


def strategies(bench: Bench) -> None:
    """Measure memory with clients that stop in mid-download, then CPU time with clients that read at full speed."""
    size, seconds = 2 * MB, 0.2 if bench.quick else 1.0
    file = bench.file(size)
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds}
    for server in (READ_ALL, chunks(CHUNK_BYTES), ZERO_COPY, freight(), *bench.peers):
        with bench.serving(server, file) as measured:
            for clients in (1, 10, 100, 500) if measured else ():
                assert measured is not None
                if server is READ_ALL and clients * size * 3 > gauge.available_bytes():
                    bench.left_out[f"{server.name}, {clients} clients"] = "this machine has too little memory for it"
                    continue
                measured.labels = {"clients": clients}
                _hold(measured, clients, LEAN)
                measured.clear()
                _flow(measured, clients, seconds, ROUNDS)
                measured.clear()


def buffer(bench: Bench) -> None:
    """Measure a server that copies, with one buffer size after another, and ten clients that read at full speed."""
    file, seconds, clients = bench.file(64 * MB), 0.2 if bench.quick else 2.0, 10
    sizes = [4 * KIB << power for power in range(0, 11, 2 if bench.quick else 1)]
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds, "clients": clients}
    starts, rounds = _starts_and_rounds(bench)
    for start in range(starts):
        for size in sizes:
            with bench.serving(chunks(size), file) as measured:
                if measured:
                    measured.labels = {"clients": clients, "size_bytes": size, "round": start + 1}
                    measured.read_for(0.0, "idle")
                    _flow(measured, clients, seconds, rounds)


def _starts_and_rounds(bench: Bench) -> tuple[int, int]:
    """Return how often a server is started, and how often it is measured each time."""
    return (1, ROUNDS) if bench.quick else (ROUNDS, 1)


def stalled(bench: Bench) -> None:
    """Measure 500 clients that read a little and then nothing, with the host's own segments and queues."""
    file = bench.file(64 * MB)
    largest = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    clients = min(500, gauge.available_bytes() // 3 // (largest + (1 << 20)))
    bench.settings = {"file_bytes": file.stat().st_size, "clients": clients, "taken_bytes": _READ_BYTES}
    if clients < 500:
        bench.left_out["500 clients"] = f"this machine has too little memory for it; {clients} clients ran"
    for server in (freight("20MB"), ZERO_COPY, *bench.peers):
        with bench.serving(server, file) as measured:
            if measured:
                measured.labels = {"clients": clients}
                measured.read_for(0.1, "idle")
                _hold(measured, clients, Group(stall=_READ_BYTES))
                measured.clear()


def crowd(bench: Bench) -> None:
    """Measure a growing number of clients of one server, all in mid-download, and none at the end."""
    file, most = bench.file(64 * MB), resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    counts = (1, 100, 500, 1000, 2000) if bench.quick else (1, 10, 100, 500, 1000, 2000, 3500, 5000, 7500, 10_000)
    bench.settings = {"file_bytes": file.stat().st_size, "taken_bytes": LEAN.stall, "segment_bytes": SEGMENT_BYTES}
    for server in (freight("2GiB"), *bench.peers):
        with bench.serving(server, file) as measured:
            if measured:
                _grow(bench, measured, [count for count in counts if count <= most])
    for count in counts:
        if count > most:
            bench.left_out[f"{count:,} clients"] = f"ulimit -n allows {most + 100} descriptors"


def _grow(bench: Bench, measured: MeasuredServer, counts: Sequence[int]) -> None:
    """Add clients up to each of these counts, as far as the server and the host's socket memory allow."""
    measured.labels = {"clients": 0}
    measured.read_for(0.2, "idle")
    joined = 0
    for count in counts:
        measured.labels = {"clients": count}
        measured.join(count - joined, LEAN)
        try:
            _await_hold(measured, count)
        except LoadProcessLost as why:
            if not joined:
                raise
            bench.left_out[f"{measured.running.server.name}, {count:,} clients"] = str(why)
            break
        joined = count
    measured.labels = {"clients": 0}
    measured.clear()
    measured.read_for(2.5 if bench.quick else 5.0, "after")


def budget(bench: Bench) -> None:
    """Measure 500 clients with one budget after another; then four times as many clients as there are slots."""
    file, seconds, clients = bench.file(64 * MB), 0.3 if bench.quick else 2.0, 500
    budgets = ("20MB", "64MiB", "4GiB") if bench.quick else ("20MB", "64MiB", "128MiB", "256MiB", "1GiB", "4GiB")
    bench.settings = {"file_bytes": file.stat().st_size, "seconds": seconds, "clients": clients}
    starts, rounds = _starts_and_rounds(bench)
    for start in range(starts):
        for memory_text in budgets:
            server = freight(memory_text, size_bytes=parse_size(memory_text))
            with bench.serving(server, file) as measured:
                if measured:
                    measured.labels = {"clients": clients, "size_bytes": server.size_bytes, "round": start + 1}
                    measured.read_for(0.0, "idle")
                    _flow(measured, clients, seconds, rounds)
    _queue(bench)


def _queue(bench: Bench) -> None:
    """Start four times as many clients as there are slots at once; each requests one file."""
    server = freight(
        "20MB", "--queue-size", "10000", "--queue-timeout", "10m", name="freight --memory 20MB, four times its slots"
    )
    file = bench.file((2 if bench.quick else 4) * MB)
    with bench.serving(server, file) as measured:
        if measured is None:
            return
        slots = measured.read_slots()
        clients = 4 * slots
        measured.labels = {"clients": clients, "slots": slots, "file_bytes": file.stat().st_size}
        measured.join(clients, Group())
        done = measured.read_until(lambda now: now.count(*ENDS) == clients, "queue")
        waits = [round(seconds, 4) for seconds in measured.clients.waits_seconds()]
        ends = {str(end): done.count(end) for end in ENDS}
        bench.samples.append(
            {"server": server.name, **measured.labels, "phase": "waited", **ends, "waits_seconds": waits}
        )


def _hold(measured: MeasuredServer, clients: int, like: Group) -> None:
    measured.join(clients, like)
    _await_hold(measured, clients)


def _await_hold(measured: MeasuredServer, clients: int) -> None:
    measured.wait(lambda now: now.count(ClientState.STALLED) == clients, f"{clients} clients in mid-download")
    measured.settle("held")


def _flow(measured: MeasuredServer, clients: int, seconds: float, rounds: int) -> None:
    """Measure the speed in ``rounds``, with the same clients."""
    before = measured.clients.status().taken_bytes
    measured.join(clients, Group(again=Again.AFTER_WHOLE))
    measured.wait(lambda now: now.taken_bytes > before, "the first bytes")
    measured.read_for(seconds / 3, "warm-up")
    first = int(measured.labels.get("round", 1))
    for number in range(first, first + rounds):
        measured.labels = {**measured.labels, "round": number}
        measured.read_for(seconds, "flow")
