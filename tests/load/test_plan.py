"""What ``freight plan`` foretells of memory is what a server and its kernel then hold, within a fifth."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crowds import Crowd, Group
from gauges import KIB, Gauge
from serving import Served

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--queue", "10000", "--max-wait", "10m")
STALL = 1200 * KIB  # of the body: further than a newcomer's first mebibyte, after which it may be lent most


def plan(*arguments: str) -> dict[str, Any]:
    """The row that was asked for."""
    run = subprocess.run(
        [sys.executable, "-m", "freight", "plan", "--json", *arguments], capture_output=True, text=True, check=True
    )
    (row,) = [row for row in json.loads(run.stdout)["rows"] if row["asked"]]
    return dict(row)


def stand_still(row: dict[str, Any], site: Path, serve: Callable[..., Served], gather: Callable[..., Crowd]) -> int:
    """What is held, in bytes, when the clients of a row all stand still in mid-download; all of them must run."""
    count = row["clients"]
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    server = serve(site, "--memory", str(row["memory_bytes"]), *PATIENT)
    gauge, crowd = Gauge(server), gather(server)
    # A bounded receive buffer: what a client's kernel takes while it does not read is not the server's.
    crowd.join(Group(name="all", count=count, targets=("/giant.csv",), stall=STALL, receive=64 * KIB))
    crowd.wait_count("all", "stalled", count, gauge.look)
    held = gauge.settle()
    assert gauge.peak <= row["memory_bytes"]
    return held


@pytest.mark.needs("ss")
@pytest.mark.parametrize("count", [50, 500, 5000])
def test_in_the_memory_of_its_plan_a_crowd_runs_and_holds_its_least_windows(
    count: int, site: Path, serve: Callable[..., Served], gather: Callable[..., Crowd]
) -> None:
    """There is little to lend in the least memory for so many: what each holds is the least window."""
    row = plan("--clients", str(count))
    held = stand_still(row, site, serve, gather)
    print(f"{count} in {row['memory_bytes']}: {held} held, {row['held_least_bytes']} foretold")
    assert held == pytest.approx(row["held_least_bytes"], rel=0.2)


@pytest.mark.needs("ss")
@pytest.mark.parametrize(("count", "memory"), [(50, "20MB"), (500, "64MiB"), (5000, "512MiB")])
def test_in_more_memory_a_crowd_holds_what_it_is_lent(
    count: int, memory: str, site: Path, serve: Callable[..., Served], gather: Callable[..., Crowd]
) -> None:
    row = plan("--clients", str(count), "--memory", memory)
    held = stand_still(row, site, serve, gather)
    print(f"{count} in {memory}: {held} held, {row['held_lent_bytes']} foretold")
    assert held == pytest.approx(row["held_lent_bytes"], rel=0.2)
