"""Scenarios of the limit: the memory for clients that stop during a download, and whether they get every byte."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from freight.tools.loadgen.gauge import memory_of_tree, send_queues
from freight.tools.loadgen.network import LOOPBACK, MTU, Network, Unsupported, inside, veth

from . import peers
from .client import Spec
from .drive import Run, Sample, TurnFailed, log, run_clients, wait_settled
from .launch import HOT, MIB, RunningPeer, Site, make_site, run_peer
from .peers import NGINX_SHARED, Peer, freight
from .proof import get
from .space import ETHERNET_MSS, RECEIVE, SETTLE_SECONDS
from .watch import monitor_peaks


def memory_growth(server: RunningPeer, idle: int) -> dict[str, float]:
    """Return the growth of the process, the kernel's send queues, and their sum."""
    with inside(server.network.server.namespace):
        kernel = sum(send_queues(server.port))
    growth = memory_of_tree(server.pid).unique - idle
    return {"kernel_bytes": kernel, "growth_bytes": growth, "together_bytes": kernel + growth}


def measure_stalled(peer: Peer, place: Site, spec: Spec, network: Network = LOOPBACK) -> Sample:
    """Measure clients of mode ``hold``: once all have stalled, at most, and after the last byte."""
    with run_peer(peer, place, network=network) as server:
        get(server, {})
        time.sleep(SETTLE_SECONDS / 2)
        idle = memory_of_tree(server.pid).unique
        aimed = replace(spec, port=server.port)
        with monitor_peaks(partial(memory_growth, server, idle)) as watch, run_clients(aimed, network) as load:
            begun = load.wait("begin")
            wait_settled(lambda: memory_growth(server, idle)["together_bytes"], 15)
            still = memory_growth(server, idle)
            load.send_go_ahead()
            report = load.wait("end")
        time.sleep(SETTLE_SECONDS)
        after = memory_of_tree(server.pid).unique
    if not begun["begun"]:
        raise TurnFailed(f"no download began: {report['errors']}")
    return {
        **{"downloads": begun["begun"], "right": report["right"], "errors": ", ".join(report["errors"])},
        **{"wrong": spec.clients - report["right"], "idle_bytes": idle, "left_bytes": after - idle},
        **still,
        **{f"{name}_per_client": still[f"{name}_bytes"] / begun["begun"] for name in ("kernel", "growth")},
        **watch.figures(),
        "rest_seconds": report["seconds"],
    }


def budget(run: Run) -> None:
    """500 clients stop after 2 MiB and later read the rest, with a budget of 20 MB: over the loopback and a cable."""
    size, step = 8 * MIB, 2 * MIB
    clients = 500
    run.settings = {"file_bytes": size, "taken_bytes": step, "client_receive_buffer_bytes": RECEIVE, "cable_mtu": MTU}
    with make_site(size) as place:
        spec = Spec("hold", 0, clients, seconds=60, step=step, receive=RECEIVE, content=str(place.root / HOT))
        fit = run.suitable([freight("20MB"), NGINX_SHARED, peers.CADDY, peers.GO_COPY], place)
        run.turns(fit, "loopback", partial(measure_stalled, place=place, spec=spec))
        try:
            with veth() as cable:
                run.turns(fit, "veth", partial(measure_stalled, place=place, spec=spec, network=cable))
        except Unsupported as why:
            run.excluded["veth"] = str(why)
            log(f"{run.scenario}: without veth: {why}")


def many(run: Run) -> None:
    """10,000 downloads at once stop after 128 KiB and later read the rest."""
    size, step = MIB, 128 * 1024
    clients = 1000 if run.quick else 10_000
    run.settings = {"file_bytes": size, "taken_bytes": step, "segment_bytes": ETHERNET_MSS}
    with make_site(size) as place:
        spec = Spec("hold", 0, clients, seconds=180, step=step, mss=ETHERNET_MSS, receive=16384)
        fit = run.suitable([freight("512MB"), NGINX_SHARED], place)
        run.turns(
            fit, str(clients), partial(measure_stalled, place=place, spec=replace(spec, content=str(place.root / HOT)))
        )
