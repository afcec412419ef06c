"""Scenarios of the bound: what clients that stop in mid-download cost in all, and whether they get every byte."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from . import peers
from .client import Spec
from .drive import EventLost, Run, Sample, crowd, say, wait_still
from .gauge import send_queues, uss_bytes
from .launch import HOT, MIB, Running, Site, running, site
from .network import LOOPBACK, MTU, Network, NoNamespaces, veth
from .peers import NGINX_SHARED, Peer, freight
from .proof import get
from .space import ETHERNET_MSS, RECEIVE, SETTLE
from .watch import watched


def costs(server: Running, idle: int) -> dict[str, float]:
    """What grew with the clients: the process, the kernel's send queues, their sum."""
    kernel = sum(send_queues(server.port, server.network.server))
    growth = uss_bytes(server.pid) - idle
    return {"kernel_bytes": kernel, "growth_bytes": growth, "together_bytes": kernel + growth}


def held(peer: Peer, place: Site, spec: Spec, network: Network = LOOPBACK) -> Sample:
    """Costs of a crowd that holds (``spec``, its port apart) when all stand still, at most, and after its last byte."""
    with running(peer, place, network=network) as server:
        get(server, {})
        time.sleep(SETTLE / 2)
        idle = uss_bytes(server.pid)
        aimed = replace(spec, port=server.port)
        with watched(partial(costs, server, idle)) as watch, crowd(aimed, network) as load:
            begun = load.wait("begin")
            wait_still(lambda: costs(server, idle)["together_bytes"], 15)
            still = costs(server, idle)
            load.give_word()
            told = load.wait("end")
        time.sleep(SETTLE)
        after = uss_bytes(server.pid)
    if not begun["begun"]:
        raise EventLost(f"no download began: {told['errors']}")
    return {
        **{"downloads": begun["begun"], "right": told["right"], "errors": ", ".join(told["errors"])},
        **{"wrong": spec.clients - told["right"], "idle_bytes": idle, "left_bytes": after - idle},
        **still,
        **{f"{name}_per_client": still[f"{name}_bytes"] / begun["begun"] for name in ("kernel", "growth")},
        **watch.figures(),
        "rest_seconds": told["seconds"],
    }


def budget(run: Run) -> None:
    """500 clients that stop after 2 MiB, then take the rest, beside a budget of 20 MB: on loopback and on a cable."""
    size, step = 8 * MIB, 2 * MIB
    clients = 500
    run.settings = {"file_bytes": size, "taken_bytes": step, "client_receive_buffer_bytes": RECEIVE, "cable_mtu": MTU}
    with site(size) as place:
        spec = Spec("hold", 0, clients, seconds=60, step=step, receive=RECEIVE, content=str(place.root / HOT))
        fit = run.fit([freight("20MB"), NGINX_SHARED, peers.CADDY, peers.GO_COPY], place)
        run.turns(fit, "loopback", partial(held, place=place, spec=spec))
        try:
            with veth() as cable:
                run.turns(fit, "veth", partial(held, place=place, spec=spec, network=cable))
        except NoNamespaces as why:
            run.excluded["veth"] = str(why)
            say(f"{run.scenario}: without veth: {why}")


def many(run: Run) -> None:
    """10,000 downloads at once that stop after 128 KiB, then take the rest."""
    size, step = MIB, 128 * 1024
    clients = 1000 if run.quick else 10_000
    run.settings = {"file_bytes": size, "taken_bytes": step, "segment_bytes": ETHERNET_MSS}
    with site(size) as place:
        spec = Spec("hold", 0, clients, seconds=180, step=step, mss=ETHERNET_MSS, receive=16384)
        fit = run.fit([freight("512MB"), NGINX_SHARED], place)
        run.turns(fit, str(clients), partial(held, place=place, spec=replace(spec, content=str(place.root / HOT))))
