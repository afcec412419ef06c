"""Everything that grows with clients stays within ``--memory``, and every byte sent is right."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.tools.loadgen.network import Network
from freight.tools.sample import write_sample
from support.cgroups import Cgroup
from support.load_generator import CheckedLoad, Group
from support.memory_gauges import KIB, MB, Gauge
from support.servers import Serve, wait_until

StartLoad = Callable[..., CheckedLoad]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # clients stall on purpose
GIANT = ("/giant.csv",)
LARGE = 1280 * KIB  # no small response, and more than can be in flight
WATCHED_BYTES = 512  # of a connection whose request comes later, until a second of its download has passed
ONCE_BYTES = 512 * KIB  # allocated once, by the first clients: thread stacks, caches, modules
RECEIVE = 64 * KIB  # the client's kernel takes no more while the client does not read


def unfinished(load: CheckedLoad, name: str) -> int:
    """Return how many of a group have sent a request that has not completed."""
    return load.count(name, "asking", "running", "stalled")


def ended(load: CheckedLoad, name: str) -> int:
    """Return how many requests of a group have ended, well or not."""
    return load.count(name, "whole", "cut", "503", "408")


def test_500_downloads_run_in_20_mb(site: Path, network: Network, serve: Serve, start_load: StartLoad) -> None:
    """All stall during the download. Then they continue, all bytes are right, and the process is as small as before."""
    server = serve(site, "--memory", "20MB", *PATIENT, admin=True, place=network.server)
    first = Gauge(server)
    load = start_load(server, network.client)
    # The first downloads allocate what is needed once, so that it does not count.
    load.join(Group(name="before", count=500, targets=GIANT, stall=64 * KIB, receive=RECEIVE))
    load.wait_count("before", "stalled", 500)
    load.end("before")
    wait_until(lambda: server.gate()["running"] == 0, "all have ended")
    warm = Gauge(server)
    load.join(Group(name="all", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    load.wait_count("all", "stalled", 500)
    assert server.gate()["running"] == 500
    first.settle()
    print(f"500 stalled downloads hold {first.look()} bytes")
    assert first.look() <= 20 * MB
    load.go("all")
    load.wait_count("all", "whole", 500)
    wait_until(lambda: warm.grown() <= 1 << 20, "the process is back within 1 MiB")


def test_10000_downloads_at_once_get_the_right_bytes(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """They are slow until all run. Each costs the process 6 KiB, and all keep within the budget.

    Beside other programs some of the requests come after their connections were accepted, which costs 0.5 KiB more.
    """
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    server = serve(site, "--memory", "512MB", *PATIENT, admin=True)
    gauge, load = Gauge(server), start_load(server)
    # So slow that the first one still runs when the last one begins, however long that takes.
    load.join(Group(name="all", count=count, targets=GIANT, span=256 * KIB, pace=4 * KIB, receive=8 * KIB))
    load.wait_count("all", "running", count, gauge.look)
    assert server.gate()["running"] == count
    print(f"10,000 hold {gauge.look() / count / KIB:.1f} KiB each, {gauge.grown() / count / KIB:.1f} in the process")
    load.go("all")
    load.wait_count("all", "whole", count, gauge.look)
    print(f"10,000: {gauge}")
    assert gauge.peak <= 512 * MB
    assert gauge.peak_process <= ONCE_BYTES + count * (6 * KIB + WATCHED_BYTES)


def test_four_times_as_many_clients_as_slots_all_complete(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """None is rejected, and queued requests are within the budget too."""
    server = serve(site, "--memory", "20MB", "--queue-size", "2000", "--queue-timeout", "10m", *PATIENT, admin=True)
    gauge, load = Gauge(server), start_load(server)
    load.join(Group(name="all", count=2000, targets=GIANT, span=LARGE, stall=128 * KIB, receive=RECEIVE))
    load.wait(lambda: unfinished(load, "all") == 2000, "all have asked", gauge.look)
    running = int(server.gate()["running"])
    load.wait_count("all", "stalled", running, gauge.look)
    load.go("all")
    load.wait(lambda: ended(load, "all") == 2000, "all have ended", gauge.look)
    print(f"2,000 at once, of which {running} ran: {gauge}")
    assert load.counts("all") == {"whole": 2000}
    assert gauge.peak <= 20 * MB


def test_more_clients_than_can_queue_all_complete(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """Their connections alone would exceed the budget. Those that are not accepted yet wait in the kernel's backlog."""
    server = serve(site, "--memory", "4MB", "--queue-size", "2000", "--queue-timeout", "10m", *PATIENT, admin=True)
    gauge, load = Gauge(server), start_load(server)
    load.join(Group(name="all", count=2000, targets=GIANT, span=LARGE, stall=128 * KIB, hold=0.05, receive=RECEIVE))
    load.wait(lambda: ended(load, "all") == 2000, "all have ended", gauge.look)
    print(f"2,000 in 4 MB: {gauge}")
    assert load.counts("all") == {"whole": 2000}
    assert gauge.peak <= 4 * MB


def test_2000_clients_in_a_control_group_of_64_mib_are_served(
    tmp_path: Path, cgroup: Cgroup, serve: Serve, start_load: StartLoad
) -> None:
    """With the default budget. 1,500 clients are slow. The file is cold, and twice as large as the control group."""
    file = tmp_path / "cold.csv"
    write_sample(file, 128 << 20)
    with file.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server = serve(tmp_path, "--queue-size", "2000", "--queue-timeout", "10m", admin=True, within=cgroup.command_prefix)
    load = start_load(server, root=tmp_path)
    every = {"targets": ("/cold.csv",), "span": LARGE, "receive": RECEIVE}
    load.join(Group(name="slow", count=1500, pace=640 * KIB, sources=("127.0.0.2",), **every))
    load.wait(lambda: unfinished(load, "slow") + ended(load, "slow") == 1500, "all slow ones have asked")
    load.join(Group(name="fast", count=500, sources=("127.0.0.3",), **every))
    load.wait(lambda: ended(load, "fast") == 500, "the fast ones have ended")
    slow = load.counts("slow")
    print(f"at most {cgroup.peak_bytes() / (1 << 20):.0f} MiB in the control group; of the slow {dict(slow)}")
    assert load.counts("fast") == {"whole": 500}
    load.wait_count("slow", "whole", min(1500, slow["whole"] + 100))
    assert {end for end, count in load.counts("slow").items() if count} <= {"asking", "running", "whole"}
    assert (server.process.poll(), cgroup.oom_kills()) == (None, 0)
