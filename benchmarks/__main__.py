"""The command line of ``./scripts/bench``: run scenarios, regenerate the tables, and check the bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from freight.tools.loadgen.child_process import raise_descriptor_limit

from . import (
    bound,
    fields,
    hostile,
    latency,
    listings,
    multiplexed,
    ranges,
    report,
    sharing,
    siege,
    small_windows,
    space,
    speed,
    wan,
)
from .attacks import ATTACKS
from .drive import RESULTS, Run, log
from .results import load

SCENARIOS: dict[str, Callable[[Run], None]] = {
    "throughput": speed.throughput,
    "tls": speed.tls,
    "workers": speed.workers,
    "price": speed.price,
    "wan": wan.wan,
    "ranges": ranges.ranges,
    "memory": space.memory,
    "stalled": space.stalled,
    "cold": latency.cold,
    "start": latency.start,
    "listings": listings.listings,
    "budget": bound.budget,
    "many": bound.many,
    "oversold": sharing.oversold,
    "fairness": sharing.fairness,
    "rates": sharing.rates,
    "h2": multiplexed.h2,
    "windows": small_windows.windows,
    "express": siege.express,
    "siege": siege.siege,
    "attack": hostile.attack,
    "fields": fields.fields,
}

ROUNDS = {"attack": 1, "ranges": 3}  # they have about 150 cases, and 32


KNOWN = (*SCENARIOS, "report", "bars")


def read_command() -> argparse.Namespace:
    """Return the options. Exit with an error if they name what is not there."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure freight beside other servers.")
    parser.add_argument("scenario", nargs="*", help=f"any of {', '.join(KNOWN)} (default: every scenario)")
    parser.add_argument("--rounds", type=int, help="rounds of each scenario (default 5, of ranges 3, of attack 1)")
    parser.add_argument("--quick", action="store_true", help="one short round into results/quick, without tables")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(ATTACKS),
        help="run only this attack (may be repeated); changes no table",
    )
    parser.add_argument(
        "--peers",
        metavar="NAME[,NAME]",
        help=f"attack only these servers: {', '.join(peer.name for peer in hostile.PEERS)}; changes no table",
    )
    options = parser.parse_args()
    options.peers = frozenset(options.peers.split(",")) if options.peers else frozenset()
    if unknown := set(options.scenario) - set(KNOWN):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if strange := options.peers - {peer.name for peer in hostile.PEERS}:
        parser.error(f"no such server: {', '.join(sorted(strange))}")
    return options


def main() -> int:
    options = read_command()
    raise_descriptor_limit()
    wanted = options.scenario or list(SCENARIOS)
    partial = options.quick or bool(options.only) or bool(options.peers)
    for name in (name for name in wanted if name in SCENARIOS):
        rounds = 1 if options.quick else options.rounds or ROUNDS.get(name, 5)
        run = Run(name, rounds, options.quick, frozenset(options.only), options.peers)
        log(f"{name}: {SCENARIOS[name].__doc__}")
        SCENARIOS[name](run)
        run.save()
        if name == "attack":
            hostile.show(load(RESULTS / "quick" if partial else RESULTS)[name])
    if partial:
        return report.show(report.RESULTS / "quick", wanted)
    if wanted != ["bars"]:
        report.regenerate()
    return report.show(report.RESULTS, wanted) if "bars" in wanted or not options.scenario else 0


if __name__ == "__main__":
    sys.exit(main())
