"""Clients that want nothing but the server's patience."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crowds import Crowd, Group
from freight.sample import verify
from gauges import KIB, MB, Gauge
from serving import Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]


@pytest.mark.needs("ss")
def test_slow_heads_and_slow_readers_neither_stop_an_honest_client_nor_take_memory(
    site: Path, serve: Serve, gather: Gather
) -> None:
    """1,000 send a byte of a head now and then, and come again; 200 read next to nothing, until they are let go."""
    server = serve(site, "--memory", "20MB", "--min-rate", "8KiB/s", "--idle-timeout", "3s", admin=True)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="heads", count=1000, targets=("/small.csv",), drip=1.0, again=True))
    crowd.join(Group(name="readers", count=100, targets=("/giant.csv",), pace=1, receive=4 * KIB))
    # These never stand still: it is for the rate that they are let go.
    crowd.join(Group(name="crawlers", count=100, targets=("/giant.csv",), pace=1500, receive=4 * KIB))
    crowd.wait(lambda: crowd.counts("readers")["running"] > 0, "the slow readers have begun", gauge.look)
    size = 4 << 20
    for number in range(10):
        answer = server.get("/giant.csv", f"Range: bytes={number * size}-{(number + 1) * size - 1}")
        assert answer.status == 206 and verify(answer.content, number * size)
        gauge.look()
    crowd.wait_count("readers", "cut", 100, gauge.look)
    crowd.wait_count("crawlers", "cut", 100, gauge.look)
    crowd.wait_count("heads", "408", 1000, gauge.look)
    assert server.get("/small.csv").status == 200
    print(f"1,000 slow heads and 200 slow readers: {gauge}")
    assert gauge.peak <= 20 * MB
    until(lambda: server.gate()["running"] == 0, "no place is held")
