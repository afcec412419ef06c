"""Print the downloads that run on a freight server now, once a second, from /status of its admin listener.

    python examples/watch.py http://127.0.0.1:9080 [SECONDS]

One line for the server, and one for each download, the slowest first. It ends after SECONDS, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any
from urllib.request import urlopen

MAX_DOWNLOADS = 20


def read_status(base: str) -> dict[str, Any]:
    """Read /status: docs/reference/admin.md explains the fields."""
    with urlopen(f"{base}/status", timeout=10) as response:
        status: dict[str, Any] = json.load(response)
    return status


def lines(status: dict[str, Any]) -> list[str]:
    """Format a status for people."""
    gate, memory = status["admission"], status["memory"]
    used = memory["process_bytes"] - memory["baseline_bytes"] + memory["kernel_send_bytes"]
    share = 100 * used / memory["budget_bytes"]
    shown = [f"{gate['running']} run, {gate['waiting']} wait, {share:.0f}% of the budget is in use"]
    for each in sorted(status["transfers"]["running"], key=lambda each: each["rate"])[:MAX_DOWNLOADS]:
        part = "" if each["total_bytes"] is None else f" {100 * each['sent'] / max(1, each['total_bytes']):.0f}%"
        rate = f"{each['rate'] / 1e6:.1f} MB/s"
        shown.append(f"  {each['client']} {each['target']}{part} {rate}, waits for the {each['blocked_on']}")
    return shown


def main(base: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        print("\n".join(lines(read_status(base))), flush=True)
        if time.monotonic() >= until:
            return
        time.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the downloads that run on a freight server, once a second.")
    parser.add_argument("url", metavar="URL", help="the admin listener, such as http://127.0.0.1:9080")
    parser.add_argument("seconds", metavar="SECONDS", nargs="?", type=float, default=float("inf"), help="then it ends")
    given = parser.parse_args()
    try:
        main(given.url.rstrip("/"), given.seconds)
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:  # no server, or a response without a status
        sys.exit(f"{parser.prog}: {given.url}: {error}")
