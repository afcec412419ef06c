"""The scenario ``attack`` and its table: what each known attack does to honest clients of the same address.

The attackers of :mod:`benchmarks.attacks` have their own process. One honest client reads small files at a steady pace,
on new connections and on a persistent one in turn. Two others download a large file as fast as a link of 4 Gbit/s
allows. All have one address, so that a server that slows clients by address slows the honest ones too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from freight.tools.loadgen.gauge import memory_of_tree, send_queues

from . import peers
from .attacks import ATTACKS, Reconnect, http2, tls
from .client import Spec
from .drive import HERE, Run, Sample, TurnFailed, run_clients
from .latency import quantile
from .launch import HOT, MIB, RunningPeer, Site, make_site, run_peer
from .peers import NGINX_BOTH, Peer, freight, https
from .results import Result
from .watch import monitor_peaks

SMALL, SMALL_BYTES = "small.bin", 10_000
PACE = 100.0
DOWNLOADS = 2
RATE = 500_000_000
"""Bytes per second of the downloads together, as over a link of 4 Gbit/s. Without a limit they would use the whole
machine, and each attacker would cost them its own CPU time.
"""

BUDGET, BUDGET_BYTES = "64MB", 64_000_000
CASES: Mapping[str, tuple[int, Reconnect]] = {
    "1": (1, Reconnect.WHEN_ENDED),
    "10": (10, Reconnect.WHEN_ENDED),
    "10, again and again": (10, Reconnect.AFTER_EACH),
}
"""How many connections attack, and when each reconnects."""

LARGE = frozenset(
    (
        *("settings-churn", "priority-update-flood", "zero-windows", "tiny-windows", "window-of-connection"),
        *("window-of-a-stream", "slow-streams", "slow-readers"),
    )
)
"""Attacks on a running response, which must be larger than a window."""

KNOWN = frozenset(
    (
        *("rapid-reset", "made-you-reset-by-window", "made-you-reset-by-data", "made-you-reset-by-increment"),
        *("continuation", "hpack-bomb", "hpack-amplification", "hpack-amplified-path", "settings-flood"),
        *("settings-churn", "ping-flood", "empty-data", "priority-update-flood", "zero-windows", "tiny-windows"),
        *("slow-heads", "slow-bodies", "slow-readers", "connections", "connect-and-close", "half-handshakes"),
    )
)
"""The default attacks; the others are variants of these."""

H2C = frozenset(script.__name__.replace("_", "-") for script in http2.SCRIPTS)
TLS = frozenset(script.__name__.replace("_", "-") for script in tls.SCRIPTS)
P99_MS, KEPT = 50.0, 0.8
"""The limits: the p99 of small files, and throughput divided by that without an attack."""


def measure_honest(server: RunningPeer, place: Site, seconds: float) -> Sample:
    """Measure small files and downloads side by side: milliseconds, bytes per second, and failures."""
    every = Spec("visit", server.port, warm=0.3, seconds=seconds, tls=server.tls)
    flood = replace(every, mode="flood", clients=DOWNLOADS, size=place.size, rate=RATE)
    visit = replace(every, pace=PACE, names=(SMALL,))
    with run_clients(flood) as load, run_clients(visit) as visitors:
        load.wait("begin")
        report, seen = load.wait("end"), visitors.wait("end")
    taken = [1000 * each for _, each in seen["latencies"]]
    failures = dict(seen["failures"])
    if report["failures"]:
        failures["downloads"] = report["failures"]
    return {
        **{"p50_ms": quantile(taken, 0.5), "p99_ms": quantile(taken, 0.99), "requests": len(taken)},
        **{"gb_per_second": report["bytes"] / report["seconds"] / 1e9, "errors": sum(failures.values())},
        **{"failures": failures},
    }


@contextmanager
def run_attack(name: str, server: RunningPeer, case: str, seconds: float) -> Iterator[Callable[[], dict[str, Any]]]:
    """Attack for ``seconds``. Yield a function that waits for the end and returns the attackers' report."""
    connections, reconnect = CASES[case]
    port = server.h2c_port if name in H2C else server.port
    options = ("--connections", str(connections), "--seconds", f"{seconds:g}", "--reconnect", reconnect.name.lower())
    path = f"/{HOT if name in LARGE else SMALL}"
    command = [sys.executable, "-m", "benchmarks.attacks", name, "127.0.0.1", str(port), *options, "--path", path]
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as process:
        try:

            def report() -> dict[str, Any]:
                said = process.communicate(timeout=seconds + 30)[0]
                if process.returncode:
                    raise TurnFailed(f"the attackers ended with {process.returncode}")
                return dict(json.loads(said))

            yield report
        finally:
            process.kill()


def measure_attack(
    peer: Peer, place: Site, name: str, case: str, seconds: float, calms: dict[tuple[str, bool], Sample]
) -> Sample:
    """Measure honest clients of one server without and under attack, and the server's memory meanwhile.

    ``calms`` has the measurements without an attack, one per server for all cases of an attack.
    """
    with run_peer(peer, place) as server, ExitStack() as stack:
        key = (peer.name, peer.tls)
        if key not in calms:
            calms[key] = measure_honest(server, place, seconds)
        else:
            measure_honest(server, place, 0.2)  # what the server allocates once is not the attack's
        calm = calms[key]
        before = memory_of_tree(server.pid).private_dirty

        def held() -> Mapping[str, float]:
            process = memory_of_tree(server.pid).private_dirty
            kernel = sum(send_queues(server.port))
            return {"private_bytes": process, "kernel_bytes": kernel, "growth_bytes": process - before + kernel}

        watch = stack.enter_context(monitor_peaks(held, 0.1))
        report = stack.enter_context(run_attack(name, server, case, seconds + 1.3))
        beset = measure_honest(server, place, seconds)
        attackers = report()
        watch.end()
    return {
        **{f"calm_{key}": value for key, value in calm.items()},
        **{f"attacked_{key}": value for key, value in beset.items()},
        **{"kept_throughput": beset["gb_per_second"] / calm["gb_per_second"]},
        **{"before_bytes": before, **{f"most_{key}": value for key, value in watch.most.items()}},
        **{f"attackers_{key}": value for key, value in attackers.items()},
    }


def attack(run: Run) -> None:
    """The known attacks from 1 and 10 connections, and from 10 that reconnect; honest clients of the same address."""
    seconds = 1.0 if run.quick else 1.5
    names = [name for name in ATTACKS if name in (run.only or KNOWN)]
    run.settings = {
        **{"seconds": seconds, "requests_per_second": PACE, "small_bytes": SMALL_BYTES, "downloads": DOWNLOADS},
        **{"download_bytes_per_second": RATE},
        **{"budget_bytes": BUDGET_BYTES, "attacks": {name: (ATTACKS[name].__doc__ or "").strip() for name in names}},
    }
    wanted = [peer for peer in PEERS if not run.beside or peer.name in run.beside]
    with make_site(64 * MIB) as place:
        (place.root / SMALL).write_bytes(os.urandom(SMALL_BYTES))
        fit = run.suitable(wanted, place)
        for name in names:
            order = [https(peer) for peer in fit] if name in TLS else fit
            calms: dict[tuple[str, bool], Sample] = {}
            for case in CASES:
                measure = partial(measure_attack, place=place, name=name, case=case, seconds=seconds, calms=calms)
                run.turns(order, f"{name} {case}", measure)


PEERS = (freight(BUDGET, name="freight"), NGINX_BOTH, peers.http2(peers.CADDY))
"""The attacked servers. The last one speaks HTTP/2 without TLS too."""


# The table


def figures(sample: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return one server's cells: p99 of small files, throughput divided by that without an attack, errors, memory."""
    if sample is None or "error" in sample:
        return ("-" if sample is None else "failed", "-", "-", "-")
    return (
        f"{sample['attacked_p50_ms']:,.1f} / {sample['attacked_p99_ms']:,.1f}",
        f"{sample['kept_throughput']:.2f}",
        f"{sample['attacked_errors']}",
        f"{sample['most_private_bytes'] / 1e6:,.1f}",
    )


COLUMNS = ("p50 / p99, ms", "x calm", "errors", "MB")


def rows(result: Result) -> Iterator[tuple[str, list[Mapping[str, Any] | None]]]:
    """Yield each case with the worst round of each server, which has the largest p99."""
    for case in result.cases():
        found: list[Mapping[str, Any] | None] = []
        for peer in result.peers:
            samples = [each for each in result.samples if (each["peer"], each["case"]) == (peer, case)]
            failed = [each for each in samples if "error" in each]
            found.append(failed[0] if failed else max(samples, key=lambda each: each["attacked_p99_ms"], default=None))
        yield case, found


def split(case: str) -> tuple[str, str]:
    name, _, connections = case.partition(" ")
    return name, connections


def titles(result: Result) -> Sequence[str]:
    return ("attack", "connections", *(f"{peer}: {title}" for peer in result.peers for title in COLUMNS))


def cells(result: Result) -> list[list[str]]:
    """Return the whole table as text."""
    return [[*split(case), *(cell for sample in found for cell in figures(sample))] for case, found in rows(result)]


def kept(sample: Mapping[str, Any] | None) -> bool:
    """Return whether a server keeps the limits."""
    if sample is None or "error" in sample:
        return sample is None
    return bool(
        sample["attacked_p99_ms"] < P99_MS and sample["kept_throughput"] >= KEPT and not sample["attacked_errors"]
    )


def show(result: Result, console: Console | None = None) -> None:
    """Print the table. Figures beyond the limits are red."""
    table = Table(
        title="Honest clients under attack", caption=f"Left out: {left_out(result)}" if result.excluded else None
    )
    table.add_column("attack")
    table.add_column("connections")
    for peer in result.peers:
        for title in COLUMNS:
            table.add_column(f"{peer}\n{title}", justify="right")
    last = ""
    for case, found in rows(result):
        name, connections = split(case)
        row = [Text(name if name != last else ""), Text(connections)]
        for sample in found:
            row += [Text(cell, style="" if kept(sample) else "red") for cell in figures(sample)]
        table.add_row(*row)
        last = name
    (console or Console(width=max(140, 40 + 50 * len(result.peers)))).print(table)


def left_out(result: Result) -> str:
    """Return the servers that were not measured, with the reasons."""
    return "; ".join(f"{peer} ({why})" for peer, why in result.excluded.items())
