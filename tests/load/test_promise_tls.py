"""The promise over HTTPS: process and kernel together keep to ``--memory``, whoever stands still and where."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from certificates import Pair, trusting_all
from gauges import KIB, MB, Gauge
from serving import Served, until

Serve = Callable[..., Served]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")
COUNT, MEMORY = 500, 30 * MB
SPAN, STALL = 2048 * KIB, 1200 * KIB


@pytest.mark.needs("ss")
@pytest.mark.parametrize("crowds", [1, 2])
def test_500_downloads_that_stand_still_run_in_30_mb(site: Path, serve: Serve, pair: Pair, crowds: int) -> None:
    """Then they go on, all is right, and a second crowd finds the process as the first did."""
    server = serve(site, "--memory", "30MB", *pair.flags, *PATIENT, admin=True)
    content = (site / "giant.csv").read_bytes()
    gauge = Gauge(server)
    for _ in range(crowds):
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect(64 * KIB)) for _ in range(COUNT)]
            for number, client in enumerate(clients):
                client.get("/giant.csv", f"Range: bytes={number * 64 * KIB}-{number * 64 * KIB + SPAN - 1}")
            firsts = []
            for number, client in enumerate(clients):
                assert client.head()[0] == 206
                firsts.append(client.take(STALL))
                if number % 25 == 0:
                    gauge.look()
            assert server.gate()["running"] == COUNT
            gauge.settle()
            print(f"500 that stand still by HTTPS hold {gauge.look()} bytes; {gauge}")
            assert gauge.peak <= MEMORY
            assert gauge.peak_process <= COUNT * 40 * KIB
            for number, (first, client) in enumerate(zip(firsts, clients, strict=True)):
                start = number * 64 * KIB
                assert first + client.take(SPAN - STALL) == content[start : start + SPAN]
        until(lambda: server.gate()["running"] == 0, "all have ended")
        until(lambda: gauge.grown() <= 3 << 20, "the process is back within 3 MiB")


@pytest.mark.needs("ss")
def test_a_flood_of_half_handshakes_keeps_to_a_small_budget_and_nobody_out(
    site: Path, serve: Serve, pair: Pair
) -> None:
    """Each has sent all of its ClientHello, for which the server has computed, and answers no more."""
    server = serve(site, "--memory", "20MB", *pair.flags, *PATIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting_all().wrap_bio(incoming, outgoing).do_handshake()
    hello, gauge = outgoing.read(), Gauge(server)
    with ExitStack() as stack:
        for _ in range(400):
            idle = stack.enter_context(socket.create_connection((server.host, server.port), 20))
            idle.sendall(hello)
            gauge.look()
        assert server.get("/small.csv").content == (site / "small.csv").read_bytes()
        gauge.settle()
    print(f"a flood of half handshakes: {gauge}")
    assert gauge.peak <= 20 * MB
