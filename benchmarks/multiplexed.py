"""HTTP/2 beside HTTP/1.1, in clear text and over TLS: the same servers, client (h2load), certificate and hot file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from . import peers
from .drive import EventLost, Run, Sample
from .gauge import cpu_seconds
from .launch import HOT, MIB, Site, running, site
from .peers import NGINX, Peer, freight, nginx

CLIENTS = (1, 16, 100)
H2C, H2, TLS = " h2c", " h2", " https"
H2C_HOST = "127.0.0.2"  # this nginx speaks either on one address, so it has another for HTTP/2
NGINX_H2C = nginx(f"nginx{H2C}", "access_log off;", f"server {{ listen {H2C_HOST}:$port http2; root $root; }}")
NGINX_H2 = nginx(
    f"nginx{H2}",
    "access_log off;",
    f"server {{ listen {H2C_HOST}:$port ssl http2; root $root; {peers.NGINX_TLS} }}",
)
_TRAFFIC = re.compile(r"traffic: \S+ \((\d+)\) total")
_TIME = re.compile(r"finished in ([0-9.]+)(ms|s)")


def loaded(peer: Peer, place: Site, clients: int, seconds: float) -> Sample:
    """One turn: as many connections as clients, each with one request after another."""
    with running(peer, place) as server:
        host = H2C_HOST if peer in (NGINX_H2C, NGINX_H2) else "127.0.0.1"
        kind = () if peer.name.endswith((H2C, H2)) else ("--h1",)
        url = f"http{'s' if peer.name.endswith((H2, TLS)) else ''}://{host}:{server.port}/{HOT}"
        before = cpu_seconds(server.pid)
        said = h2load((*kind, f"-c{clients}", "-m1", f"-D{seconds:g}", "-w24", "-W24", url))
        cpu = cpu_seconds(server.pid) - before
    traffic, took = _TRAFFIC.search(said), _TIME.search(said)
    if traffic is None or took is None or cpu <= 0 or not int(traffic[1]):
        raise EventLost(f"h2load said {said.strip().splitlines()[-1:]}")
    gigabytes = int(traffic[1]) / 1e9
    wall = float(took[1]) / (1000 if took[2] == "ms" else 1)
    return {"gb_per_cpu_second": gigabytes / cpu, "gb_per_second": gigabytes / wall, "cpu_seconds": cpu}


def h2load(arguments: Sequence[str]) -> str:
    """What it said. Windows of 16 MiB are of a client that takes all it can."""
    done = subprocess.run(
        [peers.program("h2load") or "h2load", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


def h2(run: Run) -> None:
    """HTTP/2 and HTTP/1.1, freight and nginx: bytes per CPU-second to 1, 16 and 100 connections, also over TLS."""
    seconds = 1.0 if run.quick else 3.0
    size = (128 if run.quick else 1024) * MIB
    run.settings = {"file_bytes": size, "window_seconds": seconds, "client": "h2load -m1 -w24 -W24"}
    if peers.program("h2load") is None:
        run.excluded["all"] = "h2load is not installed"
        return
    with site(size) as place:
        ours = {kind: freight("4GiB", name=f"freight 4GiB{kind}") for kind in ("", H2C, TLS, H2)}
        ours |= {kind: peers.https(ours[kind]) for kind in (TLS, H2)}
        secure = replace(peers.https(NGINX), name=f"nginx{TLS}")
        fit = run.fit([NGINX, NGINX_H2C, secure, NGINX_H2, *ours.values()], place)
        # Each beside its own kind, before and after.
        pairs = zip((NGINX, NGINX_H2C, secure, NGINX_H2), ours.values(), strict=True)
        order = [peer for theirs, our in pairs for peer in (theirs, our, theirs) if peer in fit]
        for clients in CLIENTS:
            run.turns(order, str(clients), partial(loaded, place=place, clients=clients, seconds=seconds))
