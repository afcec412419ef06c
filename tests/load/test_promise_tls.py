"""Over HTTPS, process and kernel together keep within ``--memory``, wherever clients stall."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.certificates import KeyPair, unverified_context
from support.memory_gauges import KIB, MB, Gauge
from support.servers import Serve, wait_until

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")
COUNT, MEMORY = 500, 30 * MB
SPAN, STALL = 2048 * KIB, 1200 * KIB


@pytest.mark.parametrize("rounds", [1, 2])
def test_500_stalled_downloads_run_in_30_mb(site: Path, serve: Serve, pair: KeyPair, rounds: int) -> None:
    """Then they continue and get the right bytes. A second round finds the process as small as the first."""
    server = serve(site, "--memory", "30MB", *pair.flags, *PATIENT, admin=True)
    content = (site / "giant.csv").read_bytes()
    gauge = Gauge(server)
    for _ in range(rounds):
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect(64 * KIB)) for _ in range(COUNT)]
            for number, client in enumerate(clients):
                client.get("/giant.csv", f"Range: bytes={number * 64 * KIB}-{number * 64 * KIB + SPAN - 1}")
            firsts = []
            for number, client in enumerate(clients):
                assert client.read_head()[0] == 206
                firsts.append(client.read_exactly(STALL))
                if number % 25 == 0:
                    gauge.look()
            assert server.gate()["running"] == COUNT
            gauge.settle()
            print(f"500 stalled downloads over HTTPS hold {gauge.look()} bytes; {gauge}")
            assert gauge.peak <= MEMORY
            assert gauge.peak_process <= COUNT * 40 * KIB
            for number, (first, client) in enumerate(zip(firsts, clients, strict=True)):
                start = number * 64 * KIB
                assert first + client.read_exactly(SPAN - STALL) == content[start : start + SPAN]
        wait_until(lambda: server.gate()["running"] == 0, "all have ended")
        wait_until(lambda: gauge.grown() <= 3 << 20, "the process is back within 3 MiB")


def test_a_flood_of_half_handshakes_keeps_within_a_small_budget_and_blocks_no_client(
    site: Path, serve: Serve, pair: KeyPair
) -> None:
    """Each sends a whole ClientHello, which costs the server computation, and then nothing."""
    server = serve(site, "--memory", "20MB", *pair.flags, *PATIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        unverified_context().wrap_bio(incoming, outgoing).do_handshake()
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
