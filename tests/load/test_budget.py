"""The promise: everything that grows with clients stays within ``--memory``, and what was sent is right."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from cages import Cage
from crowds import Crowd, Group
from freight.sample import write_sample
from gauges import KIB, MB, Gauge
from netns import Network
from serving import Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

ADMIN = ("--admin", "127.0.0.1:0")
PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # those that stand still are meant to
GIANT = ("/giant.csv",)
RECEIVE = 64 * KIB  # what a client's kernel takes while it does not read: so that the rest stays the server's


@pytest.mark.needs("ss")
def test_500_downloads_run_in_20_mb(site: Path, network: Network, serve: Serve, gather: Gather) -> None:
    """All stand still in mid-download; then they go on, all is right, and the process is back where it was."""
    server = serve(site, "--memory", "20MB", *ADMIN, *PATIENT, place=network.server)
    first = Gauge(server)
    crowd = gather(server, network.client)
    # What is allocated once and for all is not a download's: a crowd goes before.
    crowd.join(Group(name="before", count=500, targets=GIANT, span=512 * KIB, stall=64 * KIB, receive=RECEIVE))
    crowd.wait_count("before", "stalled", 500)
    crowd.go("before")
    crowd.wait_count("before", "whole", 500)
    until(lambda: server.gate()["running"] == 0, "all have ended")
    warm = Gauge(server)
    crowd.join(Group(name="all", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    crowd.wait_count("all", "stalled", 500)
    assert server.gate()["running"] == 500
    first.settle()
    print(f"500 that stand still hold {first.look()} bytes")
    assert first.look() <= 20 * MB
    crowd.go("all")
    crowd.wait_count("all", "whole", 500)
    until(lambda: warm.grown() <= 1 << 20, "the process is back within 1 MiB")


@pytest.mark.needs("ss")
def test_10000_downloads_at_once_are_right_to_the_byte(site: Path, serve: Serve, gather: Gather) -> None:
    """Each costs at most 40 KiB, the kernel's part included."""
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    server = serve(site, "--memory", "512MB", *ADMIN, *PATIENT)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="all", count=count, targets=GIANT, span=128 * KIB, stall=16 * KIB, receive=8 * KIB))
    crowd.wait_count("all", "stalled", count)
    assert server.gate()["running"] == count
    held = gauge.settle()
    print(f"10,000 hold {held / count / KIB:.1f} KiB each, {gauge.grown() / count / KIB:.1f} of it in the process")
    assert held <= count * 40 * KIB
    crowd.go("all")
    crowd.wait_count("all", "whole", count)


@pytest.mark.needs("ss")
def test_four_times_as_many_as_there_is_room_for_all_get_theirs(site: Path, serve: Serve, gather: Gather) -> None:
    """None is refused, and the budget holds all the while, for those that wait too."""
    server = serve(site, "--memory", "20MB", "--queue", "2000", "--max-wait", "10m", *ADMIN, *PATIENT)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="all", count=2000, targets=GIANT, span=512 * KIB, stall=128 * KIB, receive=RECEIVE))
    crowd.wait(lambda: server.gate()["running"] + server.gate()["waiting"] == 2000, "all have asked", gauge.look)
    assert server.gate()["running"] >= 500
    crowd.go("all")
    crowd.wait(lambda: sum(crowd.counts("all")[end] for end in ("whole", "503", "cut")) == 2000, "ended", gauge.look)
    print(f"2,000 for 500 places: {gauge}")
    assert crowd.counts("all") == {"whole": 2000}
    assert gauge.peak <= 20 * MB


def test_2000_clients_in_a_cage_of_64_mib_end_nothing(tmp_path: Path, cage: Cage, serve: Serve, gather: Gather) -> None:
    """With the default budget; 1,500 of them are slow, and the file is twice as large as the cage, and cold."""
    file = tmp_path / "cold.csv"
    write_sample(file, 128 << 20)
    with file.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server = serve(tmp_path, "--queue", "2000", "--max-wait", "10m", *ADMIN, within=cage.within)
    crowd = gather(server, root=tmp_path)
    every = {"targets": ("/cold.csv",), "span": 256 * KIB, "receive": 16 * KIB}
    crowd.join(Group(name="slow", count=1500, pace=128 * KIB, **every))
    crowd.wait(lambda: server.gate()["waiting"] > 0, "there is no more room")
    crowd.join(Group(name="fast", count=500, **every))
    crowd.wait_count("fast", "whole", 500)
    crowd.wait_count("slow", "whole", 1500)
    print(f"at most {cage.peak() / (1 << 20):.0f} MiB in the cage")
    assert (crowd.counts("fast"), crowd.counts("slow")) == ({"whole": 500}, {"whole": 1500})
    assert (server.process.poll(), cage.kills()) == (None, 0)
