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

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # those that stand still are meant to
GIANT = ("/giant.csv",)
LARGE = 1280 * KIB  # no small answer, and more than all that is on its way
RECEIVE = 64 * KIB  # what a client's kernel takes while it does not read: so that the rest stays the server's


def here(crowd: Crowd, name: str) -> int:
    """How many of a group have asked and have no whole answer yet."""
    return sum(crowd.counts(name)[at] for at in ("asking", "running", "stalled"))


def ended(crowd: Crowd, name: str) -> int:
    """How many requests of a group have come to an end, good or bad."""
    return sum(crowd.counts(name)[end] for end in ("whole", "cut", "503", "408"))


@pytest.mark.needs("ss")
def test_500_downloads_run_in_20_mb(site: Path, network: Network, serve: Serve, gather: Gather) -> None:
    """All stand still in mid-download; then they go on, all is right, and the process is back where it was."""
    server = serve(site, "--memory", "20MB", *PATIENT, admin=True, place=network.server)
    first = Gauge(server)
    crowd = gather(server, network.client)
    # What is allocated once and for all is not a download's: a crowd goes before.
    crowd.join(Group(name="before", count=500, targets=GIANT, stall=64 * KIB, receive=RECEIVE))
    crowd.wait_count("before", "stalled", 500)
    crowd.end("before")
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
    """Slow ones, until all run; each costs the process 6 KiB at most, and together they keep to the budget."""
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    server = serve(site, "--memory", "512MB", *PATIENT, admin=True)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="all", count=count, targets=GIANT, span=256 * KIB, pace=16 * KIB, receive=8 * KIB))
    crowd.wait_count("all", "running", count, gauge.look)
    assert server.gate()["running"] == count
    print(f"10,000 hold {gauge.look() / count / KIB:.1f} KiB each, {gauge.grown() / count / KIB:.1f} in the process")
    crowd.go("all")
    crowd.wait_count("all", "whole", count, gauge.look)
    print(f"10,000: {gauge}")
    assert gauge.peak <= 512 * MB
    assert gauge.peak_process <= count * 6 * KIB


@pytest.mark.needs("ss")
def test_four_times_as_many_as_there_is_room_for_all_get_theirs(site: Path, serve: Serve, gather: Gather) -> None:
    """None is refused, and the budget holds all the while, for those that wait too."""
    server = serve(site, "--memory", "20MB", "--queue", "2000", "--max-wait", "10m", *PATIENT, admin=True)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="all", count=2000, targets=GIANT, span=LARGE, stall=128 * KIB, receive=RECEIVE))
    crowd.wait(lambda: here(crowd, "all") == 2000, "all have asked", gauge.look)
    running = int(server.gate()["running"])
    crowd.wait_count("all", "stalled", running, gauge.look)
    crowd.go("all")
    crowd.wait(lambda: ended(crowd, "all") == 2000, "all have ended", gauge.look)
    print(f"2,000 at once, of which {running} ran: {gauge}")
    assert crowd.counts("all") == {"whole": 2000}
    assert gauge.peak <= 20 * MB


@pytest.mark.needs("ss")
def test_more_clients_than_there_is_room_to_wait_all_get_theirs(site: Path, serve: Serve, gather: Gather) -> None:
    """Their connections alone would be more than the budget: the kernel keeps who cannot be let in yet."""
    server = serve(site, "--memory", "4MB", "--queue", "2000", "--max-wait", "10m", *PATIENT, admin=True)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="all", count=2000, targets=GIANT, span=LARGE, stall=128 * KIB, hold=0.05, receive=RECEIVE))
    crowd.wait(lambda: ended(crowd, "all") == 2000, "all have ended", gauge.look)
    print(f"2,000 in 4 MB: {gauge}")
    assert crowd.counts("all") == {"whole": 2000}
    assert gauge.peak <= 4 * MB


def test_2000_clients_in_a_cage_of_64_mib_end_nothing(tmp_path: Path, cage: Cage, serve: Serve, gather: Gather) -> None:
    """With the default budget; 1,500 of them are slow, and the file is twice as large as the cage, and cold."""
    file = tmp_path / "cold.csv"
    write_sample(file, 128 << 20)
    with file.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server = serve(tmp_path, "--queue", "2000", "--max-wait", "10m", admin=True, within=cage.within)
    crowd = gather(server, root=tmp_path)
    every = {"targets": ("/cold.csv",), "span": LARGE, "receive": RECEIVE}
    crowd.join(Group(name="slow", count=1500, pace=640 * KIB, sources=("127.0.0.2",), **every))
    crowd.wait(lambda: here(crowd, "slow") == 1500, "all slow ones have asked")
    crowd.join(Group(name="fast", count=500, sources=("127.0.0.3",), **every))
    crowd.wait(lambda: ended(crowd, "fast") == 500, "the fast ones have ended")
    slow = crowd.counts("slow")
    print(f"at most {cage.peak() / (1 << 20):.0f} MiB in the cage; of the slow {dict(slow)}")
    assert crowd.counts("fast") == {"whole": 500}
    crowd.wait_count("slow", "whole", slow["whole"] + 100)
    assert ended(crowd, "slow") == crowd.counts("slow")["whole"]
    assert (server.process.poll(), cage.kills()) == (None, 0)
