"""Writes the numbers of the memory budget into the pages. usage: costs.py [--check]

A number stands between ``<!-- budget:NAME -->`` and ``<!-- /budget -->``; :func:`facts` has the names. With ``--check``
nothing is written, and pages that are not up to date are named.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from freight.fleet.simulate.room import room_of
from freight.flow import budget, costs, transfer
from freight.flow.budget import Budget
from freight.plan.reckon import KINDS
from freight.quantities import parse_size

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "ARCHITECTURE.md", ROOT / "THREAT_MODEL.md", *sorted((ROOT / "docs").rglob("*.md")))
MARK = re.compile(r"(<!-- budget:([\w.]+) -->)(.*?)(<!-- /budget -->)", re.DOTALL)
SIZES = ("1MiB", "20MB", "64MiB", "256MiB", "1GiB")
LARGEST = 4 << 20  # no number depends on the host's largest send queue
WAITING = 1000
"""How many requests wait in the example of docs/how-to/many-clients.md."""


def facts() -> dict[str, str]:
    """Each number by its name, as it is read."""
    connection, waiting = costs.CONNECTION_COST, costs.WAITING_COST
    bytes_of = {
        "connection": connection,
        "connection.waiting": connection + waiting,
        "connection.tls": connection + costs.TLS_COST,
        "waiting": waiting,
        "tls": costs.TLS_COST,
        "handshake": costs.HANDSHAKE_COST,
        "multiplexed": costs.MULTIPLEX_COST,
        "stream": costs.STREAM_COST,
        "window": budget.WINDOW_MIN,
        "fast": budget.FAST_WINDOW,
        "call": budget.FAST_WINDOW - budget.WINDOW_MIN,
        "slot": budget.WINDOW_MIN + connection,
        "least": budget.LEAST_MEMORY,
        **{f"kind.{kind}": besides for kind, besides in KINDS.items()},
    }
    shares = {
        "call.most": budget._CALL_SHARE,
        "small": budget.DOOR_SHARE,
        "handshakes": budget.HANDSHAKE_SHARE,
        "listing": budget.PRODUCER_SHARE,
        "listings": budget.PRODUCERS_SHARE,
        "ungrown": budget.UNGROWN_SHARE,
    }
    told = {name: f"{count / 1024:g} KiB" for name, count in bytes_of.items()}
    told |= {name: f"1/{share}" for name, share in shares.items()}
    told |= {f"slots.{size}": f"{Budget(parse_size(size), LARGEST).slots:,}" for size in SIZES}
    return told | {
        "far": f"{budget.FAR_SECONDS * 1000:g} ms",
        "patience": f"{transfer._LENT_SECONDS:g} s",
        "queue": f"{WAITING:,}",
        "queue.bytes": f"{WAITING * (connection + waiting) / 1e6:.1f} MB",
        "queue.room": f"{room_of(parse_size('20MB'), WAITING, LARGEST)[WAITING]:,}",
    }


def filled(page: str, told: dict[str, str]) -> str:
    """The page with each number in its place."""
    return MARK.sub(lambda mark: f"{mark[1]}{told.get(mark[2], 'unknown')}{mark[4]}", page)


def main(*, check: bool) -> int:
    told, stale = facts(), 0
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if filled(page, told) != page:
            stale += 1
            if check:
                print(f"{path.relative_to(ROOT)} has other numbers than the code: ./scripts/costs")
            else:
                path.write_text(filled(page, told), encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
