"""Scenario: HTTP/2 over TLS to a client with windows of 64 KiB, as Node's are by default."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

from freight.tools.loadgen.gauge import cpu_seconds
from freight.tools.programs import find_program

from .client import TIMEOUT_SECONDS
from .drive import Run, Sample, TurnFailed
from .launch import HOT, Site, make_site, run_peer
from .peers import NGINX, Peer, freight, http2, https
from .speed import size

_SCRIPT = Path(__file__).parent / "programs" / "http2_get.js"


def measure_node(peer: Peer, place: Site) -> Sample:
    """Measure one turn: the hot file, read a second time. At the first, a server may load what it needs."""
    with run_peer(peer, place) as server:
        url = f"https://{server.network.server.host}:{server.port}/{HOT}"
        read(url)
        before = cpu_seconds(server.pid)
        count, seconds = read(url)
        cpu = cpu_seconds(server.pid) - before
    if cpu <= 0:
        raise TurnFailed(f"{cpu} CPU-seconds")
    return {"gb_per_cpu_second": count / 1e9 / cpu, "gb_per_second": count / 1e9 / seconds, "cpu_seconds": cpu}


def read(url: str) -> tuple[int, float]:
    """Return the bytes that Node.js has read, and the seconds that it took."""
    done = subprocess.run(
        [find_program("node") or "node", str(_SCRIPT), url],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise TurnFailed(f"node said {done.stderr.strip().splitlines()[-1:]}")
    count, seconds = done.stdout.split()
    return int(count), float(seconds)


def windows(run: Run) -> None:
    """HTTP/2 over TLS to one client with windows of 64 KiB (Node's default)."""
    run.settings = {"file_bytes": size(run), "client": "node, http2.connect"}
    if find_program("node") is None:
        run.excluded["all"] = "node is not installed"
        return
    with make_site(size(run)) as place:
        known = [replace(http2(https(peer)), name=f"{peer.name} h2") for peer in (NGINX, freight("64MiB"))]
        fit = run.suitable(known, place)
        run.turns(fit, "1", partial(measure_node, place=place))
