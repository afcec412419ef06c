"""A real HAProxy in front of servers with two workers each. Any worker answers the agent check."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.generations import Generations, RequestLoop
from support.load_balancer import BUSY_PERCENT, MANY, LoadBalancer, agent_port
from support.servers import Client, Serve, ServerProcess, wait_until
from support.worker_snapshots import FILE_BYTES

pytestmark = pytest.mark.needs("haproxy")


def test_a_balancer_sees_the_free_capacity_and_no_hand_over(
    serve: Serve, file: Path, tmp_path: Path, follow: Callable[[ServerProcess], Generations], clients: ExitStack
) -> None:
    """On SIGTERM the weight is 0 at once, and no request is rejected during the shutdown delay."""
    flags = (
        "--workers",
        "2",
        "--memory",
        "4MiB",
        "--shutdown-delay",
        "3s",
        "--shutdown-timeout",
        "1h",
        "--haproxy-agent",
        "127.0.0.1:0",
        "--idle-timeout",
        "10m",
        "--min-rate",
        "none",
    )
    nodes = [serve(file, *flags) for _ in range(2)]
    agents = [agent_port(node) for node in nodes]
    content = file.read_bytes()
    addresses = [(f"127.0.0.1:{node.port}", agent) for node, agent in zip(nodes, agents, strict=True)]
    with LoadBalancer(tmp_path, addresses) as balancer:
        wait_until(lambda: balancer.server_stats("n2")["slim"] == "111", "it is known")

        def ask(_: int) -> bool:
            with Client("127.0.0.1", balancer.port) as client:
                client.get("/huge.csv", "Range: bytes=0-9")
                return client.read_response().content == content[:10]

        busy = [clients.enter_context(nodes[0].start_download()) for _ in range(MANY)]
        wait_until(lambda: int(balancer.server_stats("n1")["weight"]) <= BUSY_PERCENT, "HAProxy knows that it is busy")
        for client in busy:
            client.reset()
        wait_until(lambda: int(balancer.server_stats("n1")["weight"]) >= 95, "HAProxy has the full weight")
        generations, loop = follow(nodes[0]), RequestLoop(ask)
        try:
            for _ in range(2):
                answered = loop.answered
                generations.hand_over()
                wait_until(lambda answered=answered: loop.answered > answered + 50, "it goes on")  # type: ignore[misc]
            running = clients.enter_context(nodes[1].start_download())
            nodes[1].signal()
            wait_until(lambda: balancer.server_stats("n2")["weight"] == "0", "HAProxy knows that it drains")
            assert running.read_exactly(FILE_BYTES) == content
            running.socket.close()
            assert nodes[1].wait() == 0
        finally:
            loop.stop()
        assert loop.failed == []
        assert balancer.server_stats("n1")["status"] == "UP"
        os.kill(generations.pids[-1], signal.SIGTERM)
        wait_until(lambda: balancer.server_stats("n1")["weight"] == "0", "HAProxy knows that this one drains too")
    assert generations.end() == 0
