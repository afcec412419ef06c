"""Scenarios of speed: bytes a second, and a CPU-second of the machine and of the server; requests a CPU-second."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from . import peers
from .client import Spec
from .drive import EventLost, Run, Sample, crowd, interleave
from .gauge import cpu_seconds, machine_cpu_seconds, send_queues
from .launch import MIB, Running, Site, running, site
from .peers import NGINX, Peer, freight, https
from .space import downloading
from .watch import watched

CLIENTS = (1, 64, 500)
TLS_CLIENTS, SLOW = (1, 16, 100), 1000
BUDGETS: Mapping[str, int] = {
    **{"20MB": 20_000_000, "64MiB": 64 * MIB, "128MiB": 128 * MIB},
    **{"256MiB": 256 * MIB, "1GiB": 1024 * MIB, "4GiB": 4096 * MIB},
}
STALLED = 100
TAKEN = 2 * MIB
RECEIVE = 65536


def size(run: Run) -> int:
    return (128 if run.quick else 1024) * MIB


def window(run: Run) -> float:
    return 1.0 if run.quick else 2.0


def flooded(peer: Peer, place: Site, clients: int, seconds: float) -> Sample:
    """One turn: ``clients`` take the same hot file over and over as fast as they can."""
    with running(peer, place) as server:
        return poured(server, clients, seconds, place.size)


def poured(server: Running, clients: int, seconds: float, whole: int = 0) -> Sample:
    with crowd(Spec("flood", server.port, clients, seconds=seconds, size=whole, tls=server.tls)) as load:
        load.wait("begin")
        before, all_before = cpu_seconds(server.pid), machine_cpu_seconds()
        told = load.wait("end")
        cpu, of_all = cpu_seconds(server.pid) - before, machine_cpu_seconds() - all_before
    if told["failures"] or cpu <= 0:
        raise EventLost(f"{told['failures']} wrong answers, {cpu} CPU-seconds")
    gigabytes = told["bytes"] / 1e9
    return {
        **{"gb_per_cpu_second": gigabytes / cpu, "gb_per_second": gigabytes / told["seconds"]},
        # Who sends a queued byte, and is charged for it, depends on the depth of the queue. Both ends together leave
        # out softirqs, which no process is charged for. The machine's time has all, and whatever else it did.
        "gb_per_cpu_second_of_the_machine": gigabytes / of_all,
        **{
            "gb_per_cpu_second_both_ends": gigabytes / (cpu + told["cpu_seconds"]),
            "client_cpu_seconds": told["cpu_seconds"],
        },
        **{"cpu_seconds": cpu, "bytes": told["bytes"], "seconds": told["seconds"]},
        **({"cipher": told["cipher"]} if server.tls else {}),
    }


def throughput(run: Run) -> None:
    """Every peer at 1, 64 and 500 clients, with nginx before and after each freight."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)}
    with site(size(run)) as place:
        fit = run.fit([NGINX, freight("4GiB"), freight(), *peers.OTHERS], place)
        order = interleave(NGINX, fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for clients in CLIENTS:
            run.turns(order, str(clients), partial(flooded, place=place, clients=clients, seconds=window(run)))


def tls(run: Run) -> None:
    """HTTPS with one certificate and suite at 1, 16 and 100 clients, nginx before and after; 1,000 slow downloads."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run), "slow_clients": SLOW}
    with site(size(run)) as place:
        known = (NGINX, freight("4GiB"), freight(), *peers.SECURE)
        fit = run.fit([https(peer) for peer in known], place)
        order = interleave(fit[0], fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for clients in TLS_CLIENTS:
            run.turns(order, str(clients), partial(flooded, place=place, clients=clients, seconds=window(run)))
        run.turns(fit, str(SLOW), lambda peer: downloading(peer, place, SLOW), rounds=1)


def workers(run: Run) -> None:
    """HTTPS at 16 clients by one worker and by two: bytes a second, and a CPU-second of machine and server."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)}
    with site(size(run)) as place:
        fit = run.fit(
            [https(freight("4GiB", "--workers", str(count), name=f"freight {count}")) for count in (1, 2)], place
        )
        run.turns(fit, "16", partial(flooded, place=place, clients=16, seconds=window(run)))


def priced(peer: Peer, place: Site, clients: int, stalled: int, seconds: float) -> Sample:
    """A flood while ``stalled`` others stand still, and the most that all send queues held together meanwhile."""
    with running(peer, place) as server, ExitStack() as others:
        if stalled:
            still = Spec("stall", server.port, stalled, seconds=60, step=TAKEN, receive=RECEIVE)
            others.enter_context(crowd(still)).wait("begin")
        with watched(lambda: {"kernel_bytes": sum(send_queues(server.port))}) as watch:
            sample = poured(server, clients, seconds)
    sample |= watch.figures()
    budget = BUDGETS.get(peer.name.removeprefix("freight "))
    return sample | ({"share_of_budget": sample["most_kernel_bytes"] / budget} if budget else {})


def price(run: Run) -> None:
    """What a smaller budget costs, also beside clients that stall: freight at every budget, nginx before and after."""
    run.settings = {
        **{"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)},
        **{"stalled_clients": STALLED, "stalled_after_bytes": TAKEN, "stalled_receive_buffer_bytes": RECEIVE},
    }
    with site(size(run)) as place:
        fit = run.fit([NGINX, *(freight(budget) for budget in BUDGETS)], place)
        order = interleave(NGINX, fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for stalled, beside in ((0, ""), (STALLED, f" + {STALLED} stalled")):
            for clients in CLIENTS[1:]:
                turn = partial(priced, place=place, clients=clients, stalled=stalled, seconds=window(run))
                run.turns(order, f"{clients}{beside}", turn)


def asked(peer: Peer, place: Site, seconds: float) -> Sample:
    with running(peer, place) as server:
        spec = Spec("ranges", server.port, 16, seconds=seconds, step=65536, size=place.size)
        with crowd(spec) as load:
            load.wait("begin")
            before = cpu_seconds(server.pid)
            told = load.wait("end")
            cpu = cpu_seconds(server.pid) - before
    count = told["requests"]
    return {
        **{"requests_per_cpu_second": count / cpu, "requests_per_second": count / told["seconds"]},
        **{"cpu_seconds": cpu, "requests": count, "seconds": told["seconds"]},
    }


def ranges(run: Run) -> None:
    """64 KiB ranges at random offsets on 16 kept-alive connections."""
    run.settings = {"file_bytes": size(run), "range_bytes": 65536, "connections": 16, "window_seconds": window(run)}
    with site(size(run)) as place:
        fit = run.fit([NGINX, freight(), peers.AIOHTTP], place)
        run.turns(fit, "16", lambda peer: asked(peer, place, window(run)))
