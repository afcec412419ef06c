"""Write the numbers of the memory budget into the pages. usage: costs.py [--check]

A number is between ``<!-- budget:NAME -->`` and ``<!-- /budget -->``; :func:`facts` has the names. With ``--check``,
print which pages are not up to date, and write nothing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from freight.flow import transfers
from freight.memory import budget, costs, division
from freight.tools.fleet.simulate.slots import slots_by_waiting
from freight.tools.plan.capacity import KINDS
from freight.units import parse_size

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "ARCHITECTURE.md", ROOT / "THREAT_MODEL.md", *sorted((ROOT / "docs").rglob("*.md")))
MARK = re.compile(r"(<!-- budget:([\w.]+) -->)(.*?)(<!-- /budget -->)", re.DOTALL)
SIZES = ("1MiB", "20MB", "64MiB", "256MiB", "1GiB")
LARGEST = 4 << 20  # no number depends on the host's largest send queue
WAITING = 1000
"""How many requests wait in the example of docs/how-to/many-clients.md."""


def facts() -> dict[str, str]:
    """Return the text of each number, by its name."""
    connection, waiting = costs.CONNECTION_COST, costs.WAITING_COST
    bytes_of = {
        "connection": connection,
        "connection.waiting": connection + waiting,
        "connection.tls": connection + costs.TLS_COST,
        "waiting": waiting,
        "tls": costs.TLS_COST,
        "handshake": costs.HANDSHAKE_COST,
        "multiplexed": costs.HTTP2_COST,
        "stream": costs.STREAM_COST,
        "window": costs.WINDOW_MIN,
        "fast": costs.FAST_WINDOW,
        "call": division.divide(1 << 30).call_reserve,  # of large memories; a small one has less
        "slot": costs.WINDOW_MIN + connection,
        "least": division.LEAST_MEMORY,
        **{f"kind.{kind}": cost for kind, cost in KINDS.items()},
    }
    divisors = {
        "call.most": division.CALL_DIVISOR,
        "small": division.RESERVE_DIVISOR,
        "handshakes": division.HANDSHAKES_DIVISOR,
        "listing": division.LISTING_DIVISOR,
        "listings": budget.LISTINGS_DIVISOR,
        "ungrown": budget.UNCOUNTED_GROWTH_DIVISOR,
    }
    texts = {name: f"{count / 1024:g} KiB" for name, count in bytes_of.items()}
    texts |= {name: f"1/{divisor}" for name, divisor in divisors.items()}
    texts |= {f"slots.{size}": f"{division.divide(parse_size(size)).slots:,}" for size in SIZES}
    return texts | {
        "far": f"{budget.LONG_PATH_SECONDS * 1000:g} ms",
        "patience": f"{transfers._LOAN_SECONDS:g} s",
        "queue": f"{WAITING:,}",
        "queue.bytes": f"{WAITING * (connection + waiting) / 1e6:.1f} MB",
        "queue.room": f"{slots_by_waiting(parse_size('20MB'), WAITING, LARGEST)[WAITING]:,}",
    }


def filled(page: str, texts: dict[str, str]) -> str:
    """Return the page with each number in its place."""
    return MARK.sub(lambda mark: f"{mark[1]}{texts.get(mark[2], 'unknown')}{mark[4]}", page)


def main(*, check: bool) -> int:
    texts, stale = facts(), 0
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if filled(page, texts) != page:
            stale += 1
            if check:
                print(f"{path.relative_to(ROOT)} has other numbers than the code: ./scripts/costs")
            else:
                path.write_text(filled(page, texts), encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
