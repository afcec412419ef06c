"""What ``freight plan`` foretells of memory is what a server and its kernel then hold, within a fifth."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crowds
from crowds import Crowd, Group
from gauges import KIB, Gauge
from netns import Network
from processes import run
from serving import Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--queue", "10000", "--max-wait", "10m")
ONCE_BYTES = 512 << 10  # what the first clients allocate once and for all: stacks of threads, caches, modules
STALL = 1 << 20  # of the body: after some calls of the largest size


def plan(*arguments: str) -> dict[str, Any]:
    """The row that was asked for."""
    planned = run(sys.executable, "-m", "freight", "plan", "--json", *arguments)
    (row,) = [row for row in json.loads(planned.stdout)["rows"] if row["asked"]]
    return dict(row)


def tcp_room_bytes() -> int:
    """How much more memory all of the host's TCP may take before the kernel shortens queues: tcp(7), ``tcp_mem``."""
    pressure = int(Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[1])
    taken = re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    assert taken
    return (pressure - int(taken[1])) * resource.getpagesize()


def stand_still(row: dict[str, Any], least: float, site: Path, network: Network, serve: Serve, gather: Gather) -> int:
    """What is held, in bytes, when the clients of a row all stall in mid-download. All must run.

    It is looked at once it is at ``least`` so much and does not change: a server may be slow to fill thousands.
    """
    count = row["clients"]
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    if tcp_room_bytes() < 2 * row["memory_bytes"]:  # as much again in the clients' receive queues
        pytest.skip("the host's TCP has too little memory left (net.ipv4.tcp_mem)")
    server = serve(site, "--memory", str(row["memory_bytes"]), *PATIENT, place=network.server)
    gauge, crowd = Gauge(server), gather(server, network.client)
    # A bounded receive buffer: what a client's kernel takes while it does not read is not the server's.
    crowd.join(Group(name="all", count=count, targets=("/giant.csv",), stall=STALL, receive=64 * KIB))
    crowd.wait_count("all", "stalled", count, gauge.look)
    until(lambda: gauge.look() >= least, f"{least} bytes are held", crowds.PATIENCE_SECONDS)
    held = gauge.settle()
    assert gauge.peak <= row["memory_bytes"]
    return held


def skip_twice(count: int, network: Network, *, over_veth: bool) -> None:
    """Thousands take long: either network is enough for them."""
    if count == 5000 and (network.server.namespace is not None) is not over_veth:
        pytest.skip("5,000 are measured over the other network")


@pytest.mark.needs("ss")
@pytest.mark.parametrize("count", [50, 500, 5000])
def test_in_the_memory_of_its_plan_a_crowd_runs_and_holds_its_least_windows(
    count: int, site: Path, network: Network, serve: Serve, gather: Gather
) -> None:
    """There is little to lend in the least memory for so many: what each holds is hardly more than the least window.

    The first few hold less than is foretold: they find room in what the process has already.
    """
    skip_twice(count, network, over_veth=False)
    row = plan("--clients", str(count))
    foretold = row["held_least_bytes"]
    least = (0.6 if count < 500 else 0.8) * foretold
    held = stand_still(row, least, site, network, serve, gather)
    print(f"{count} in {row['memory_bytes']}: {held} held, {foretold} foretold")
    assert least <= held <= 1.2 * foretold


@pytest.mark.needs("ss")
@pytest.mark.parametrize(("count", "memory"), [(50, "64MiB"), (500, "64MiB"), (5000, "512MiB")])
def test_in_more_memory_a_crowd_that_stalls_holds_its_least_windows_too(
    count: int, memory: str, site: Path, network: Network, serve: Serve, gather: Gather
) -> None:
    """However much may be lent: it leaves the kernel, as the clients have said that they have room for it."""
    skip_twice(count, network, over_veth=True)
    row = plan("--clients", str(count), "--memory", memory)
    foretold = row["held_least_bytes"]
    held = stand_still(row, 0.5 * foretold, site, network, serve, gather)
    print(f"{count} in {memory}: {held} held, {foretold} foretold")
    assert held <= 1.2 * foretold + ONCE_BYTES
