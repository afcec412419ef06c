"""Scenario: HTTP/2 without and over TLS beside HTTPS, with one client (h2load), certificate and hot file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from subprocess import PIPE, STDOUT
from threading import Timer

from freight.tools.loadgen.gauge import cpu_seconds
from freight.tools.programs import find_program

from .client import TIMEOUT_SECONDS
from .drive import Run, Sample, TurnFailed, interleave
from .launch import HOT, RunningPeer, Site, make_site, run_peer
from .peers import NGINX, SECURE, Peer, freight, http2, https
from .space import multiplexing
from .speed import size, window

CLIENTS = (1, 16, 100)
CONNECTIONS, STREAMS = 10, 100
KINDS: Mapping[str, Callable[[Peer], Peer]] = {
    " h2c": http2,
    " https": https,
    " h2": lambda peer: http2(https(peer)),
}
OPTIONS = ("-m1", "-w24", "-W24", "--warm-up-time=1", "--tls13-ciphers=TLS_AES_256_GCM_SHA384")
"""One request at a time, and windows of 16 MiB, like a client that reads as fast as it can."""

TRAFFIC = re.compile(r"traffic: \S+ \((\d+)\) total")
"""In the output of h2load: the bytes of the window. Its other figures of traffic have those of the warm-up too."""

_CIPHER = re.compile(r"TLS Protocol: (\S+)\nCipher: (\S+)")


def measure_h2load(peer: Peer, place: Site, clients: int, seconds: float) -> Sample:
    """Measure one turn: a connection for each client, with one request after another."""
    with run_peer(peer, place) as server:
        kind = () if peer.h2 else ("--h1",)
        url = f"http{'s' if peer.tls else ''}://{server.network.server.host}:{server.port}/{HOT}"
        marks, said = h2load((*kind, f"-c{clients}", f"-D{seconds:g}", url), server)
    traffic, cipher = TRAFFIC.search(said), _CIPHER.search(said)
    if traffic is None or len(marks) != 2 or not int(traffic[1]) or bool(cipher) != peer.tls:
        raise TurnFailed(f"h2load said {said.strip().splitlines()[-1:]}")
    (begin, before), (end, after) = marks
    if after <= before:
        raise TurnFailed(f"{after - before} CPU-seconds")
    gigabytes, cpu = int(traffic[1]) / 1e9, after - before
    agreed = {"cipher": " ".join(cipher.groups())} if cipher else {}
    return {
        "gb_per_cpu_second": gigabytes / cpu,
        "gb_per_second": gigabytes / (end - begin),
        "cpu_seconds": cpu,
        **agreed,
    }


def h2load(arguments: Sequence[str], server: RunningPeer) -> tuple[list[tuple[float, float]], str]:
    """Run h2load. Return begin and end of its window, each with the server's CPU-seconds until then, and its output.

    h2load counts the bytes in the window, without the second of warm-up. The server is killed at the end.
    """
    command = [find_program("h2load") or "h2load", *OPTIONS, *arguments]
    marks, said = [], []
    with subprocess.Popen(command, stdout=PIPE, stderr=STDOUT, text=True) as process:
        patience = Timer(TIMEOUT_SECONDS, process.kill)
        patience.start()
        for line in process.stdout or ():
            said.append(line)
            if line.startswith("Main benchmark duration is "):
                marks.append((time.monotonic(), cpu_seconds(server.pid)))
                if len(marks) == 2:  # h2load would wait for clients that have not finished TLS by now
                    os.killpg(server.pid, signal.SIGKILL)
        patience.cancel()
    return marks, "".join(said)


def h2(run: Run) -> None:
    """HTTP/2 without TLS and over it, and HTTPS, to 1, 16 and 100 connections; 1,000 slow streams on 10."""
    run.settings = {
        **{"file_bytes": size(run), "warm_seconds": 1, "window_seconds": window(run)},
        **{"client": " ".join(("h2load", *OPTIONS))},
        **{"slow_connections": CONNECTIONS, "slow_streams_each": STREAMS},
    }
    if find_program("h2load") is None:
        run.excluded["all"] = "h2load is not installed"
        return
    with make_site(size(run)) as place:
        order: list[Peer] = []
        many: list[Peer] = []
        for kind, speaking in KINDS.items():
            known = (NGINX, freight("4GiB"), *(SECURE if speaking(NGINX).h2 else ()))
            named = [replace(speaking(peer), name=f"{peer.name}{kind}") for peer in known]
            fit = run.suitable(named, place)
            order += interleave(named[0], fit, {named[1].name}) if speaking(NGINX).h2 else fit
            many += [peer for peer in fit if peer.h2]
        for clients in CLIENTS:
            run.turns(order, str(clients), partial(measure_h2load, place=place, clients=clients, seconds=window(run)))
        measure = partial(multiplexing, place=place, connections=CONNECTIONS, streams=STREAMS)
        run.turns(many, str(CONNECTIONS * STREAMS), measure, rounds=1)
