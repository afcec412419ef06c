"""The command line behind ``./scripts/bench``: run scenarios, then regenerate the tables and check the bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from . import bound, latency, multiplexed, report, sharing, siege, space, speed
from .drive import Run, say
from .launch import raise_descriptor_limit

SCENARIOS: dict[str, Callable[[Run], None]] = {
    "throughput": speed.throughput,
    "tls": speed.tls,
    "workers": speed.workers,
    "price": speed.price,
    "ranges": speed.ranges,
    "memory": space.memory,
    "stalled": space.stalled,
    "cold": latency.cold,
    "start": latency.start,
    "budget": bound.budget,
    "many": bound.many,
    "oversold": sharing.oversold,
    "fairness": sharing.fairness,
    "rates": sharing.rates,
    "h2": multiplexed.h2,
    "express": siege.express,
    "attack": siege.attack,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure freight beside other servers.")
    known = [*SCENARIOS, "report", "bars"]
    parser.add_argument("scenario", nargs="*", help=f"any of {', '.join(known)} (default: every scenario)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each scenario (default 5)")
    parser.add_argument("--quick", action="store_true", help="a rehearsal: one short round, results/quick, no tables")
    options = parser.parse_args()
    if unknown := set(options.scenario) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    raise_descriptor_limit()
    wanted = options.scenario or list(SCENARIOS)
    for name in (name for name in wanted if name in SCENARIOS):
        run = Run(name, 1 if options.quick else options.rounds, options.quick)
        say(f"{name}: {SCENARIOS[name].__doc__}")
        SCENARIOS[name](run)
        run.save()
    if options.quick:
        return report.show(report.RESULTS / "quick")
    if wanted != ["bars"]:
        report.regenerate()
    return report.show(report.RESULTS) if "bars" in wanted or not options.scenario else 0


if __name__ == "__main__":
    sys.exit(main())
