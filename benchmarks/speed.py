"""Scenarios of speed: bytes per second and per CPU-second of machine and server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from freight.tools.loadgen.gauge import cpu_seconds, cpu_times, send_queues

from . import peers
from .client import Spec
from .drive import Run, Sample, TurnFailed, interleave, run_clients
from .launch import MIB, RunningPeer, Site, make_site, run_peer
from .peers import NGINX, Peer, freight, https
from .space import downloading
from .watch import monitor_peaks

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


def measure_throughput(peer: Peer, place: Site, clients: int, seconds: float) -> Sample:
    """Measure one turn: ``clients`` read the same hot file again and again, as fast as they can."""
    with run_peer(peer, place) as server:
        return flood_running_peer(server, clients, seconds, place.size)


def flood_running_peer(server: RunningPeer, clients: int, seconds: float, whole: int = 0) -> Sample:
    with run_clients(Spec("flood", server.port, clients, seconds=seconds, size=whole, tls=server.tls)) as load:
        load.wait("begin")
        before, all_before = cpu_seconds(server.pid), cpu_times()["cpu"].active
        report = load.wait("end")
        cpu, of_all = cpu_seconds(server.pid) - before, cpu_times()["cpu"].active - all_before
    if report["failures"] or cpu <= 0:
        raise TurnFailed(f"{report['failures']} wrong responses, {cpu} CPU-seconds")
    gigabytes = report["bytes"] / 1e9
    return {
        **{"gb_per_cpu_second": gigabytes / cpu, "gb_per_second": gigabytes / report["seconds"]},
        # The depth of a send queue decides which process is charged for sending its bytes. Softirqs are charged to no
        # process. The machine's time includes everything, and other programs too.
        "gb_per_cpu_second_of_the_machine": gigabytes / of_all,
        **{
            "gb_per_cpu_second_both_ends": gigabytes / (cpu + report["cpu_seconds"]),
            "client_cpu_seconds": report["cpu_seconds"],
        },
        **{"cpu_seconds": cpu, "bytes": report["bytes"], "seconds": report["seconds"]},
        **({"cipher": report["cipher"]} if server.tls else {}),
    }


def throughput(run: Run) -> None:
    """Every peer at 1, 64 and 500 clients, with nginx before and after each freight."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)}
    with make_site(size(run)) as place:
        fit = run.suitable([NGINX, freight("4GiB"), freight(), *peers.OTHERS], place)
        order = interleave(NGINX, fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for clients in CLIENTS:
            run.turns(
                order, str(clients), partial(measure_throughput, place=place, clients=clients, seconds=window(run))
            )


def tls(run: Run) -> None:
    """HTTPS with one certificate and suite at 1, 16 and 100 clients, nginx before and after; 1,000 slow downloads."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run), "slow_clients": SLOW}
    with make_site(size(run)) as place:
        known = (NGINX, freight("4GiB"), freight(), *peers.SECURE)
        fit = run.suitable([https(peer) for peer in known], place)
        order = interleave(fit[0], fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for clients in TLS_CLIENTS:
            run.turns(
                order, str(clients), partial(measure_throughput, place=place, clients=clients, seconds=window(run))
            )
        run.turns(fit, str(SLOW), lambda peer: downloading(peer, place, SLOW), rounds=1)


def workers(run: Run) -> None:
    """HTTPS with 16 clients by one worker and by two: bytes per second, and per CPU-second of machine and server."""
    run.settings = {"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)}
    with make_site(size(run)) as place:
        fit = run.suitable(
            [https(freight("4GiB", "--workers", str(count), name=f"freight {count}")) for count in (1, 2)], place
        )
        run.turns(fit, "16", partial(measure_throughput, place=place, clients=16, seconds=window(run)))


def measure_beside_stalled(peer: Peer, place: Site, clients: int, stalled: int, seconds: float) -> Sample:
    """Measure throughput beside ``stalled`` other clients, and the largest sum of all send queues meanwhile."""
    with run_peer(peer, place) as server, ExitStack() as others:
        if stalled:
            still = Spec("stall", server.port, stalled, seconds=60, step=TAKEN, receive=RECEIVE)
            others.enter_context(run_clients(still)).wait("begin")
        with monitor_peaks(lambda: {"kernel_bytes": sum(send_queues(server.port))}) as watch:
            sample = flood_running_peer(server, clients, seconds)
    sample |= watch.figures()
    budget = BUDGETS.get(peer.name.removeprefix("freight "))
    return sample | ({"share_of_budget": sample["most_kernel_bytes"] / budget} if budget else {})


def price(run: Run) -> None:
    """The cost of a smaller budget, also beside stalled clients: freight with each budget, nginx before and after."""
    run.settings = {
        **{"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)},
        **{"stalled_clients": STALLED, "stalled_after_bytes": TAKEN, "stalled_receive_buffer_bytes": RECEIVE},
    }
    with make_site(size(run)) as place:
        fit = run.suitable([NGINX, *(freight(budget) for budget in BUDGETS)], place)
        order = interleave(NGINX, fit, {peer.name for peer in fit if peer.name.startswith("freight")})
        for stalled, beside in ((0, ""), (STALLED, f" + {STALLED} stalled")):
            for clients in CLIENTS[1:]:
                turn = partial(
                    measure_beside_stalled, place=place, clients=clients, stalled=stalled, seconds=window(run)
                )
                run.turns(order, f"{clients}{beside}", turn)
