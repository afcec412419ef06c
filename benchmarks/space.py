"""Scenarios of memory: what a running download costs the process, and a stalled one the kernel."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from . import peers
from .client import Spec
from .drive import EventLost, Run, Sample, crowd, wait_still
from .gauge import send_queues, uss_bytes
from .launch import HOT, MIB, Site, running, site
from .peers import NGINX_SHARED, Peer, freight
from .proof import get

ETHERNET_MSS = 1460
RECEIVE = 65536
ENOUGH = 0.99
"""The share of downloads that must run: where descriptors are scarce, two each may leave a few of 10,000 without."""
SETTLE = 2.0


def downloading(peer: Peer, place: Site, clients: int) -> Sample:
    """What ``clients`` slow downloads cost, a connection each."""
    # With the loopback's own segment size, 10,000 clients would hold more of the kernel's memory than TCP may have.
    spec = Spec("slow", 0, clients, seconds=120, step=4096, mss=ETHERNET_MSS, receive=16384, size=place.size)
    return grown(peer, place, spec)


def multiplexing(peer: Peer, place: Site, connections: int, streams: int) -> Sample:
    """What slow downloads by HTTP/2 cost, ``streams`` on each connection."""
    return grown(peer, place, Spec("speak", 0, connections, seconds=120, step=4096, streams=streams))


def grown(peer: Peer, place: Site, spec: Spec) -> Sample:
    """Process memory idle (one answer given), while a crowd downloads (``spec``, its port apart), and after it."""
    clients = spec.clients * spec.streams
    with running(peer, place) as server:
        get(server, {})
        time.sleep(SETTLE / 2)
        idle = uss_bytes(server.pid)
        with crowd(replace(spec, port=server.port, tls=server.tls)) as load:
            begun = load.wait("begin")
            time.sleep(SETTLE)
            during = uss_bytes(server.pid)
        time.sleep(SETTLE)
        after = uss_bytes(server.pid)
    if begun["begun"] < ENOUGH * clients:
        raise EventLost(f"only {begun['begun']} of {clients} downloads began")
    return {
        **{"bytes_per_download": (during - idle) / begun["begun"], "idle_bytes": idle, "during_bytes": during},
        **{"after_bytes": after, "downloads": begun["begun"], "refused": begun["failures"]},
    }


def memory(run: Run) -> None:
    """500 downloads of every peer, and 10,000 of freight and nginx."""
    run.settings = {"file_bytes": 64 * MIB, "segment_bytes": ETHERNET_MSS, "read_bytes_per_second": 4096}
    many = 1000 if run.quick else 10_000
    with site(64 * MIB) as place:
        fit = run.fit([NGINX_SHARED, freight("4GiB"), freight(), *peers.OTHERS], place)
        run.turns(fit, "500", lambda peer: downloading(peer, place, 500))
        first = [peer for peer in fit if peer.name in (NGINX_SHARED.name, "freight 4GiB")]
        run.turns(first, str(many), lambda peer: downloading(peer, place, many))


def pinned(peer: Peer, place: Site, clients: int, step: int) -> Sample:
    """Kernel send memory of clients that take ``step`` bytes and then nothing."""
    # Clients with a receive buffer of their own size would hold most of what TCP may have (tcp_mem) themselves.
    stall = partial(Spec, "stall", clients=clients, seconds=60, step=step, receive=RECEIVE)
    with running(peer, place) as server, crowd(stall(server.port)) as load:
        begun = load.wait("begin")
        total = wait_still(lambda: float(sum(send_queues(server.port))), 15)
        queues = send_queues(server.port)
        process = uss_bytes(server.pid)
    if begun["begun"] < clients:
        raise EventLost(f"only {begun['begun']} of {clients} downloads began")
    return {
        **{"kernel_bytes_per_client": total / begun["begun"], "kernel_bytes_most": max(queues, default=0)},
        **{"kernel_bytes": total, "process_bytes": process, "clients": begun["begun"], "refused": begun["failures"]},
    }


def stalled(run: Run) -> None:
    """500 clients that take 2 MiB and then stop reading."""
    step = 2 * MIB
    run.settings = {"file_bytes": 64 * MIB, "taken_bytes": step, "client_receive_buffer_bytes": RECEIVE, "file": HOT}
    with site(64 * MIB) as place:
        fit = run.fit([freight("20MB"), freight(), NGINX_SHARED, peers.GO_COPY, peers.GO_SERVE, peers.CADDY], place)
        run.turns(fit, "500", lambda peer: pinned(peer, place, 500, step))
