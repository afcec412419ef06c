"""Scenarios of a server under pressure: stalled downloads in every slot, and slow attackers."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .client import Spec
from .drive import ClientProcess, Run, Sample, TurnFailed, run_clients
from .latency import quantile
from .launch import HOT, MIB, RunningPeer, Site, make_site, run_peer, write_random
from .peers import NGINX, Peer, freight

RECEIVE = 65536
SMALL = "small.bin"
SMALL_BYTES = 10_000
PACE = 100.0
GIANTS = 600
"""More than there are slots; the others wait in the queue."""

HONEST = "honest.bin"
HONEST_CLIENTS = 64
DRIPS, SIPS = 5000, 500
ATTACKERS = tuple(f"127.0.66.{number}" for number in range(1, 51))
LAST_SECONDS = 300
"""When the attackers stop by themselves: long after an honest client has given up."""

NOISE_MS = 4.0
"""A p99 below this is the machine's: clients and server share two cores, and a switch takes as long."""


def time_small_file(server: RunningPeer, seconds: float) -> list[float]:
    """Return the milliseconds of each request for a small file, on a new connection each time."""
    with run_clients(Spec("knock", server.port, warm=0.5, seconds=seconds, pace=PACE, names=(SMALL,))) as load:
        return [1000 * taken for _, taken in load.wait("end")["latencies"]]


def quantiles(kind: str, values: Iterable[float]) -> Sample:
    return {f"{kind}_p{share}_ms": quantile(list(values), share / 100) for share in (50, 99)}


def measure_express(peer: Peer, place: Site, seconds: float) -> Sample:
    """Time a small file on an idle server, and while stalled downloads have every slot."""
    with run_peer(peer, place) as server:
        idle = time_small_file(server, seconds)
        spec = Spec(
            "hold", server.port, GIANTS, seconds=60, step=2 * MIB, receive=RECEIVE, content=str(place.root / HOT)
        )
        with run_clients(spec) as giants:
            begun = giants.wait("begin")
            busy = time_small_file(server, seconds)
    counts = {"running": begun["begun"], "requests": len(busy)}
    return {**quantiles("idle", idle), **quantiles("busy", busy), **counts}


def express(run: Run) -> None:
    """A file of 10 KB on new connections at a steady pace, while 600 downloads stall in 500 slots."""
    seconds = 2.0 if run.quick else 5.0
    run.settings = {"giants": GIANTS, "small_bytes": SMALL_BYTES, "requests_per_second": PACE, "seconds": seconds}
    with make_site(64 * MIB) as place:
        (place.root / SMALL).write_bytes(os.urandom(SMALL_BYTES))
        fit = run.suitable([freight("20MB"), NGINX], place)
        run.turns(fit, "600", lambda peer: measure_express(peer, place, seconds))


def measure_honest(server: RunningPeer, seconds: float) -> tuple[float, list[float]]:
    """Return bytes per second of 64 downloading clients, and the milliseconds of a small file beside them."""
    spec = Spec("flood", server.port, HONEST_CLIENTS, warm=0.5, seconds=seconds, names=(HONEST,))
    with run_clients(spec) as load:
        load.wait("begin")
        beside = time_small_file(server, seconds - 1)
        report = load.wait("end")
    if report["failures"]:
        raise TurnFailed(f"{report['failures']} honest downloads were not answered")
    return report["bytes"] / report["seconds"], beside


def stop(attackers: ClientProcess) -> Sample:
    attackers.send_go_ahead()
    return attackers.wait("end")


def measure_siege(peer: Peer, place: Site, seconds: float) -> Sample:
    """Measure honest clients of one server, without and under attack."""
    with run_peer(peer, place) as server:
        calm_rate, calm = measure_honest(server, seconds)
        drip = Spec("drip", server.port, DRIPS, seconds=LAST_SECONDS, sources=ATTACKERS)
        sip = Spec("sip", server.port, SIPS, seconds=LAST_SECONDS, sources=ATTACKERS, receive=RECEIVE)
        with run_clients(drip) as drips, run_clients(sip) as sips:
            drips.wait("begin")
            sips.wait("begin")
            rate, beset = measure_honest(server, seconds)
            ends = [stop(attackers) for attackers in (drips, sips)]
    before, after = quantiles("calm", calm), quantiles("attacked", beset)
    return {
        **{"calm_gb_per_second": calm_rate / 1e9, "attacked_gb_per_second": rate / 1e9},
        **{"kept_throughput": rate / calm_rate},
        **{f"attackers_{name}": sum(end[name] for end in ends) for name in ("standing", "ended", "cpu_seconds")},
        **before,
        **after,
        "p99_ratio": after["attacked_p99_ms"] / max(before["calm_p99_ms"], NOISE_MS),
    }


def siege(run: Run) -> None:
    """64 honest clients and a small file, alone and beside 5,000 heads and 500 readers of a byte per second."""
    seconds = 3.0 if run.quick else 6.0
    run.settings = {
        **{"honest_clients": HONEST_CLIENTS, "honest_bytes": MIB, "small_bytes": SMALL_BYTES, "seconds": seconds},
        **{"byte_a_second_heads": DRIPS, "byte_a_second_readers": SIPS, "noise_ms": NOISE_MS},
    }
    with make_site(64 * MIB) as place:
        (place.root / SMALL).write_bytes(os.urandom(SMALL_BYTES))
        write_random(place.root / HONEST, MIB)
        fit = run.suitable([freight(), NGINX], place)
        run.turns(fit, "64", lambda peer: measure_siege(peer, place, seconds))
