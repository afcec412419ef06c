"""HTTP/2 over cleartext beside HTTP/1.1: the same server, the same client program (h2load), the same hot file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import partial

from . import peers
from .drive import EventLost, Run, Sample, interleave
from .gauge import cpu_seconds
from .launch import HOT, MIB, Site, running, site
from .peers import NGINX, Peer, freight, nginx

CLIENTS = (1, 16, 100)
H2 = " h2c"
NGINX_H2_HOST = "127.0.0.2"  # this nginx speaks either on one address, so it has another for HTTP/2
NGINX_H2 = nginx(f"nginx{H2}", "access_log off;", f"server {{ listen {NGINX_H2_HOST}:$port http2; root $root; }}")
_TRAFFIC = re.compile(r"traffic: \S+ \((\d+)\) total")
_TIME = re.compile(r"finished in ([0-9.]+)(ms|s)")


def loaded(peer: Peer, place: Site, clients: int, seconds: float) -> Sample:
    """One turn: as many connections as clients, each with one request after another."""
    with running(peer, place) as server:
        host = NGINX_H2_HOST if peer is NGINX_H2 else "127.0.0.1"
        kind = () if peer.name.endswith(H2) else ("--h1",)
        url = f"http://{host}:{server.port}/{HOT}"
        before = cpu_seconds(server.pid)
        said = h2load((*kind, f"-c{clients}", "-m1", f"-D{seconds:g}", "-w24", "-W24", url))
        cpu = cpu_seconds(server.pid) - before
    traffic, took = _TRAFFIC.search(said), _TIME.search(said)
    if traffic is None or took is None or cpu <= 0:
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
    """HTTP/2 over cleartext and HTTP/1.1, freight and nginx: bytes per CPU-second to 1, 16 and 100 connections."""
    seconds = 1.0 if run.quick else 3.0
    size = (128 if run.quick else 1024) * MIB
    run.settings = {"file_bytes": size, "window_seconds": seconds, "client": "h2load -m1 -w24 -W24"}
    if peers.program("h2load") is None:
        run.excluded["all"] = "h2load is not installed"
        return
    with site(size) as place:
        ours = [freight("4GiB"), freight("4GiB", name=f"freight 4GiB{H2}")]
        fit = run.fit([NGINX, NGINX_H2, *ours], place)
        order = interleave(NGINX_H2, fit, {ours[1].name})
        for clients in CLIENTS:
            run.turns(order, str(clients), partial(loaded, place=place, clients=clients, seconds=seconds))
