"""A server and its kernel hold the memory that ``freight plan`` predicts, within a fifth."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freight.tools.loadgen.network import Network
from support import load_generator
from support.load_generator import CheckedLoad, Group
from support.memory_gauges import KIB, Gauge
from support.processes import run
from support.servers import Serve, wait_until

StartLoad = Callable[..., CheckedLoad]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--queue-size", "10000", "--queue-timeout", "10m")
ONCE_BYTES = 512 << 10  # allocated once, by the first clients: thread stacks, caches, modules
STALL = 1 << 20  # of the body: after some calls of the largest size


def plan(*arguments: str) -> dict[str, Any]:
    """Return the row of ``freight plan`` that the arguments ask for."""
    planned = run(sys.executable, "-m", "freight", "plan", "--json", *arguments)
    (row,) = [row for row in json.loads(planned.stdout)["rows"] if row["asked"]]
    return dict(row)


def tcp_free_bytes() -> int:
    """Return how much more memory the host's TCP may take before the kernel cuts queues (tcp_mem in tcp(7))."""
    pressure = int(Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[1])
    used = re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    assert used
    return (pressure - int(used[1])) * resource.getpagesize()


def held_when_stalled(
    row: dict[str, Any], least: float, site: Path, network: Network, serve: Serve, start_load: StartLoad
) -> int:
    """Return how many bytes are held when all clients of a row stall during their downloads. All must run.

    Measure when it is at least ``least`` and does not change, as filling thousands of queues takes time.
    """
    count = row["clients"]
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    if tcp_free_bytes() < 2 * row["memory_bytes"]:  # the clients' receive queues hold as much again
        pytest.skip("the host's TCP has too little memory left (net.ipv4.tcp_mem)")
    server = serve(site, "--memory", str(row["memory_bytes"]), *PATIENT, place=network.server)
    gauge, crowd = Gauge(server), start_load(server, network.client)
    # With a small receive buffer, the client's kernel takes little while the client does not read.
    crowd.join(Group(name="all", count=count, targets=("/giant.csv",), stall=STALL, receive=64 * KIB))
    crowd.wait_count("all", "stalled", count, gauge.look)
    wait_until(lambda: gauge.look() >= least, f"{least} bytes are held", load_generator.TIMEOUT_SECONDS)
    held = gauge.settle()
    assert gauge.peak <= row["memory_bytes"]
    return held


def skip_twice(count: int, network: Network, *, over_veth: bool) -> None:
    """Skip the largest count on one of the networks, as it takes long."""
    if count == 5000 and (network.server.namespace is not None) is not over_veth:
        pytest.skip("5,000 are measured over the other network")


@pytest.mark.parametrize("count", [50, 500, 5000])
def test_the_planned_memory_lets_all_clients_run_with_their_least_windows(
    count: int, site: Path, network: Network, serve: Serve, start_load: StartLoad
) -> None:
    """The least memory for so many clients leaves little to lend, so each holds hardly more than the least window.

    The first few hold less than predicted, because they use memory that the process has already.
    """
    skip_twice(count, network, over_veth=False)
    row = plan("--clients", str(count))
    predicted = row["held_least_bytes"]
    least = (0.6 if count < 500 else 0.8) * predicted
    held = held_when_stalled(row, least, site, network, serve, start_load)
    print(f"{count} in {row['memory_bytes']}: {held} held, {predicted} predicted")
    assert least <= held <= 1.2 * predicted


@pytest.mark.parametrize(("count", "memory"), [(50, "64MiB"), (500, "64MiB"), (5000, "512MiB")])
def test_in_more_memory_stalled_clients_hold_their_least_windows_too(
    count: int, memory: str, site: Path, network: Network, serve: Serve, start_load: StartLoad
) -> None:
    """Loans leave the kernel even if clients stall, because their receive windows have space for them."""
    skip_twice(count, network, over_veth=True)
    row = plan("--clients", str(count), "--memory", memory)
    predicted = row["held_least_bytes"]
    held = held_when_stalled(row, 0.5 * predicted, site, network, serve, start_load)
    print(f"{count} in {memory}: {held} held, {predicted} predicted")
    assert held <= 1.2 * predicted + ONCE_BYTES
