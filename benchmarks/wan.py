"""Scenario of long links: the speed of downloads that the round trip limits, and how much budget it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from freight.tools.loadgen.gauge import send_queues
from freight.tools.loadgen.network import Network, Unsupported, inside, long_link

from . import peers
from .client import Spec
from .drive import Run, Sample, TurnFailed, interleave, log, run_clients
from .launch import MIB, Site, make_site, run_peer
from .peers import NGINX, Peer, freight
from .watch import monitor_peaks


@dataclass(frozen=True, slots=True)
class LongLink:
    """A long link: its round trip in milliseconds, its rate in Mbit/s, and the fraction of lost packets."""

    round_trip_ms: float
    mbit: float
    loss: float = 0.0

    def __str__(self) -> str:
        lost = f", {self.loss:.1%} lost" if self.loss else ""
        return f"{self.round_trip_ms:g} ms, {self.mbit:g} Mbit/s{lost}"


LINES = (LongLink(20, 1000), LongLink(20, 100), LongLink(100, 100), LongLink(100, 400), LongLink(100, 400, 0.001))
CLIENTS = (1, 20, 100)
BUDGETS = ("20MB", "64MiB", "4GiB")
ROUNDS = 2


def case_name(line: LongLink, clients: int) -> str:
    """Return the case's name in the results."""
    return f"{clients} over {line}"


def measure_over_link(peer: Peer, place: Site, network: Network, clients: int, seconds: float) -> Sample:
    """Measure one turn: ``clients`` read a hot file as fast as they can, from their first packet on."""
    with run_peer(peer, place, network=network) as server:

        def kernel() -> dict[str, float]:
            with inside(network.server.namespace):
                return {"kernel_bytes": sum(send_queues(server.port))}

        spec = Spec("flood", server.port, clients, warm=0.0, seconds=seconds)
        with monitor_peaks(kernel) as watch, run_clients(spec, network) as load:
            load.wait("begin")
            report = load.wait("end")
    if report["failures"]:
        raise TurnFailed(f"{report['failures']} wrong responses")
    return {
        **{"mb_per_second": report["bytes"] / 1e6 / report["seconds"], "bytes": report["bytes"]},
        **{"seconds": report["seconds"], **watch.figures()},
    }


def wan(run: Run) -> None:
    """1, 20 and 100 clients over lines of 20 and 100 ms: freight with three budgets beside nginx and Caddy."""
    seconds = 3.0 if run.quick else 10.0
    clients, lines = (CLIENTS[:2], LINES[3:4]) if run.quick else (CLIENTS, LINES)
    run.settings = {"window_seconds": seconds, "file_bytes": 1024 * MIB}
    with make_site(1024 * MIB) as place:
        fit = run.suitable([NGINX, *(freight(budget) for budget in BUDGETS), peers.CADDY], place)
        order = interleave(NGINX, fit, ())
        try:
            for line in lines:
                with long_link(line.round_trip_ms, line.mbit, line.loss) as network:
                    for count in clients:
                        turn = partial(measure_over_link, place=place, network=network, clients=count, seconds=seconds)
                        run.turns(order, case_name(line, count), turn, rounds=min(run.rounds, ROUNDS))
        except Unsupported as why:
            run.excluded["long lines"] = str(why)
            log(f"{run.scenario}: without long lines: {why}")
