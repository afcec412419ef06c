"""Scenarios of memory: what a running download costs the process, and what a stalled one costs the kernel."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from freight.tools.loadgen.gauge import memory_of_tree, send_queues

from . import peers
from .client import Spec
from .drive import Run, Sample, TurnFailed, run_clients, wait_settled
from .launch import HOT, MIB, Site, make_site, run_peer
from .peers import NGINX_SHARED, Peer, freight
from .proof import get

ETHERNET_MSS = 1460
RECEIVE = 65536
REQUIRED_SHARE = 0.99
"""The share of downloads that must run. A server with two descriptors per download may lack a few for 10,000."""
SETTLE_SECONDS = 2.0


def downloading(peer: Peer, place: Site, clients: int) -> Sample:
    """Measure slow downloads with a connection each."""
    # With the loopback's segment size, 10,000 clients would need more kernel memory than TCP may use.
    spec = Spec("slow", 0, clients, seconds=120, step=4096, mss=ETHERNET_MSS, receive=16384, size=place.size)
    return measure_growth(peer, place, spec)


def multiplexing(peer: Peer, place: Site, connections: int, streams: int) -> Sample:
    """Measure slow downloads over HTTP/2, ``streams`` on each connection."""
    return measure_growth(peer, place, Spec("speak", 0, connections, seconds=120, step=4096, streams=streams))


def measure_growth(peer: Peer, place: Site, spec: Spec) -> Sample:
    """Measure process memory after one response, while clients download, and after them. ``spec`` lacks its port."""
    clients = spec.clients * spec.streams
    with run_peer(peer, place) as server:
        get(server, {})
        time.sleep(SETTLE_SECONDS / 2)
        idle = memory_of_tree(server.pid).unique
        with run_clients(replace(spec, port=server.port, tls=server.tls)) as load:
            begun = load.wait("begin")
            time.sleep(SETTLE_SECONDS)
            during = memory_of_tree(server.pid).unique
        time.sleep(SETTLE_SECONDS)
        after = memory_of_tree(server.pid).unique
    if begun["begun"] < REQUIRED_SHARE * clients:
        raise TurnFailed(f"only {begun['begun']} of {clients} downloads began")
    return {
        **{"bytes_per_download": (during - idle) / begun["begun"], "idle_bytes": idle, "during_bytes": during},
        **{"after_bytes": after, "downloads": begun["begun"], "refused": begun["failures"]},
    }


def memory(run: Run) -> None:
    """500 downloads of every peer, and 10,000 of freight and nginx."""
    run.settings = {"file_bytes": 64 * MIB, "segment_bytes": ETHERNET_MSS, "read_bytes_per_second": 4096}
    many = 1000 if run.quick else 10_000
    with make_site(64 * MIB) as place:
        fit = run.suitable([NGINX_SHARED, freight("4GiB"), freight(), *peers.OTHERS], place)
        run.turns(fit, "500", lambda peer: downloading(peer, place, 500))
        first = [peer for peer in fit if peer.name in (NGINX_SHARED.name, "freight 4GiB")]
        run.turns(first, str(many), lambda peer: downloading(peer, place, many))


def measure_send_queues(peer: Peer, place: Site, clients: int, step: int) -> Sample:
    """Measure the kernel's send queues for clients that read ``step`` bytes and then nothing."""
    # With default receive buffers, the clients themselves would hold most of the memory that TCP may use (tcp_mem).
    stall = partial(Spec, "stall", clients=clients, seconds=60, step=step, receive=RECEIVE)
    with run_peer(peer, place) as server, run_clients(stall(server.port)) as load:
        begun = load.wait("begin")
        total = wait_settled(lambda: float(sum(send_queues(server.port))), 15)
        queues = send_queues(server.port)
        process = memory_of_tree(server.pid).unique
    if begun["begun"] < clients:
        raise TurnFailed(f"only {begun['begun']} of {clients} downloads began")
    return {
        **{"kernel_bytes_per_client": total / begun["begun"], "kernel_bytes_most": max(queues, default=0)},
        **{"kernel_bytes": total, "process_bytes": process, "clients": begun["begun"], "refused": begun["failures"]},
    }


def stalled(run: Run) -> None:
    """500 clients that take 2 MiB and then stop reading."""
    step = 2 * MIB
    run.settings = {"file_bytes": 64 * MIB, "taken_bytes": step, "client_receive_buffer_bytes": RECEIVE, "file": HOT}
    with make_site(64 * MIB) as place:
        fit = run.suitable(
            [freight("20MB"), freight(), NGINX_SHARED, peers.GO_COPY, peers.GO_SERVE, peers.CADDY], place
        )
        run.turns(fit, "500", lambda peer: measure_send_queues(peer, place, 500, step))
