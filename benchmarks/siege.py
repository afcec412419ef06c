"""Scenarios of a server beset: by downloads that stand still in every slot, and by connections that mean harm."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .client import Spec
from .drive import Crowd, EventLost, Run, Sample, crowd
from .latency import quantile
from .launch import HOT, MIB, Running, Site, running, site, write_random
from .peers import NGINX, Peer, freight

RECEIVE = 65536
SMALL = "small.bin"
SMALL_BYTES = 10_000
PACE = 100.0
GIANTS = 600
"""More than there are slots for: those without one wait."""

HONEST = "honest.bin"
HONEST_CLIENTS = 64
DRIPS, SIPS = 5000, 500
ATTACKERS = tuple(f"127.0.66.{number}" for number in range(1, 51))
LAST_SECONDS = 300
"""When the attackers would stop by themselves: long after honest work that waits in vain has been given up."""

NOISE_MS = 4.0
"""A p99 below this is the machine's: two cores that clients and server share take as long to change places."""


def small(server: Running, seconds: float) -> list[float]:
    """Milliseconds that a small file took, each time on a connection of its own."""
    with crowd(Spec("knock", server.port, warm=0.5, seconds=seconds, pace=PACE, names=(SMALL,))) as load:
        return [1000 * taken for _, taken in load.wait("end")["latencies"]]


def quantiles(kind: str, values: Iterable[float]) -> Sample:
    return {f"{kind}_p{share}_ms": quantile(list(values), share / 100) for share in (50, 99)}


def stalled(peer: Peer, place: Site, seconds: float) -> Sample:
    """A small file before anybody comes, and while every slot is taken by a download that stands still."""
    with running(peer, place) as server:
        idle = small(server, seconds)
        spec = Spec(
            "hold", server.port, GIANTS, seconds=60, step=2 * MIB, receive=RECEIVE, content=str(place.root / HOT)
        )
        with crowd(spec) as giants:
            begun = giants.wait("begin")
            busy = small(server, seconds)
    counts = {"running": begun["begun"], "requests": len(busy)}
    return {**quantiles("idle", idle), **quantiles("busy", busy), **counts}


def express(run: Run) -> None:
    """A file of 10 KB on fresh connections at a steady pace, while 600 downloads stand still in 500 slots."""
    seconds = 2.0 if run.quick else 5.0
    run.settings = {"giants": GIANTS, "small_bytes": SMALL_BYTES, "requests_per_second": PACE, "seconds": seconds}
    with site(64 * MIB) as place:
        (place.root / SMALL).write_bytes(os.urandom(SMALL_BYTES))
        fit = run.fit([freight("20MB"), NGINX], place)
        run.turns(fit, "600", lambda peer: stalled(peer, place, seconds))


def honest(server: Running, seconds: float) -> tuple[float, list[float]]:
    """Bytes a second of 64 clients that download, and the milliseconds of a small file beside them."""
    spec = Spec("flood", server.port, HONEST_CLIENTS, warm=0.5, seconds=seconds, names=(HONEST,))
    with crowd(spec) as load:
        load.wait("begin")
        beside = small(server, seconds - 1)
        told = load.wait("end")
    if told["failures"]:
        raise EventLost(f"{told['failures']} honest downloads were not answered")
    return told["bytes"] / told["seconds"], beside


def stopped(attackers: Crowd) -> Sample:
    attackers.give_word()
    return attackers.wait("end")


def attacked(peer: Peer, place: Site, seconds: float) -> Sample:
    """The same honest work calm, and under attack, of one server."""
    with running(peer, place) as server:
        calm_rate, calm = honest(server, seconds)
        drip = Spec("drip", server.port, DRIPS, seconds=LAST_SECONDS, sources=ATTACKERS)
        sip = Spec("sip", server.port, SIPS, seconds=LAST_SECONDS, sources=ATTACKERS, receive=RECEIVE)
        with crowd(drip) as drips, crowd(sip) as sips:
            drips.wait("begin")
            sips.wait("begin")
            rate, beset = honest(server, seconds)
            ends = [stopped(attackers) for attackers in (drips, sips)]
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
    """64 honest clients and a small file: calm, and beside 5,000 heads of a byte a second and 500 readers as slow."""
    seconds = 3.0 if run.quick else 6.0
    run.settings = {
        **{"honest_clients": HONEST_CLIENTS, "honest_bytes": MIB, "small_bytes": SMALL_BYTES, "seconds": seconds},
        **{"byte_a_second_heads": DRIPS, "byte_a_second_readers": SIPS, "noise_ms": NOISE_MS},
    }
    with site(64 * MIB) as place:
        (place.root / SMALL).write_bytes(os.urandom(SMALL_BYTES))
        write_random(place.root / HONEST, MIB)
        fit = run.fit([freight(), NGINX], place)
        run.turns(fit, "64", lambda peer: attacked(peer, place, seconds))
