"""Long lines: how fast downloads are where the round trip limits them, and what that takes of the budget."""

from __future__ import annotations

from functools import partial

from . import peers
from .client import Spec
from .drive import EventLost, Run, Sample, crowd, interleave, say
from .gauge import send_queues
from .launch import MIB, Site, running, site
from .network import Line, Network, NoNamespaces, connected
from .peers import NGINX, Peer, freight
from .watch import watched

LINES = (Line(20, 1000), Line(20, 100), Line(100, 100), Line(100, 400), Line(100, 400, 0.001))
CLIENTS = (1, 20, 100)
BUDGETS = ("20MB", "64MiB", "4GiB")
ROUNDS = 2


def case(line: Line, clients: int) -> str:
    """What a line with so many clients is called in the results."""
    return f"{clients} over {line}"


def crossed(peer: Peer, place: Site, network: Network, clients: int, seconds: float) -> Sample:
    """One turn: ``clients`` take a hot file as fast as they can, from their first packet on."""
    with running(peer, place, network=network) as server:

        def kernel() -> dict[str, float]:
            return {"kernel_bytes": sum(send_queues(server.port, network.server))}

        spec = Spec("flood", server.port, clients, warm=0.0, seconds=seconds)
        with watched(kernel) as watch, crowd(spec, network) as load:
            load.wait("begin")
            told = load.wait("end")
    if told["failures"]:
        raise EventLost(f"{told['failures']} wrong answers")
    return {
        **{"mb_per_second": told["bytes"] / 1e6 / told["seconds"], "bytes": told["bytes"]},
        **{"seconds": told["seconds"], **watch.figures()},
    }


def wan(run: Run) -> None:
    """1, 20 and 100 clients over lines of 20 and 100 ms: freight with three budgets beside nginx and Caddy."""
    seconds = 3.0 if run.quick else 10.0
    clients, lines = (CLIENTS[:2], LINES[3:4]) if run.quick else (CLIENTS, LINES)
    run.settings = {"window_seconds": seconds, "file_bytes": 1024 * MIB}
    with site(1024 * MIB) as place:
        fit = run.fit([NGINX, *(freight(budget) for budget in BUDGETS), peers.CADDY], place)
        order = interleave(NGINX, fit, ())
        for line in lines:
            try:
                with connected(line) as network:
                    for count in clients:
                        turn = partial(crossed, place=place, network=network, clients=count, seconds=seconds)
                        run.turns(order, case(line, count), turn, rounds=min(run.rounds, ROUNDS))
            except NoNamespaces as why:
                run.excluded["long lines"] = str(why)
                say(f"{run.scenario}: without long lines: {why}")
                return
