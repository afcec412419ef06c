"""A real HAProxy in front of servers with two workers each, which go by an agent that any of them answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from balancer import Balancer, agent_port
from crew_looks import FILE_BYTES
from lineages import Lineage, Loop
from serving import Client, Served, until

pytestmark = pytest.mark.needs("haproxy")

Serve = Callable[..., Served]


def test_a_balancer_sees_how_full_a_server_is_and_no_hand_over(
    serve: Serve, file: Path, tmp_path: Path, found: Callable[[Served], Lineage], clients: ExitStack
) -> None:
    """Told to stop it has a weight of 0 at once, and nobody is refused while the drain is delayed."""
    flags = ("--workers", "2", "--memory", "1MiB", "--drain-delay", "3s", "--drain", "1h", "--agent", "127.0.0.1:0")
    nodes = [serve(file, *flags) for _ in range(2)]
    agents = [agent_port(node) for node in nodes]
    content = file.read_bytes()
    addresses = [(f"127.0.0.1:{node.port}", agent) for node, agent in zip(nodes, agents, strict=True)]
    with Balancer(tmp_path, addresses) as balancer:
        until(lambda: balancer.show("n2")["slim"] == "27", "it is known")

        def ask(_: int) -> bool:
            with Client("127.0.0.1", balancer.port) as client:
                client.get("/huge.csv", "Range: bytes=0-9")
                return client.answer().content == content[:10]

        full = [clients.enter_context(nodes[0].begin()) for _ in range(25)]
        until(lambda: balancer.show("n1")["weight"] == "1", "HAProxy knows that it is full")
        for client in full:
            client.reset()
        until(lambda: int(balancer.show("n1")["weight"]) >= 95, "HAProxy knows that there is room")
        lineage, loop = found(nodes[0]), Loop(ask)
        try:
            for _ in range(2):
                answered = loop.answered
                lineage.hand_over()
                until(lambda answered=answered: loop.answered > answered + 50, "it goes on")  # type: ignore[misc]
            running = clients.enter_context(nodes[1].begin())
            nodes[1].signal()
            until(lambda: balancer.show("n2")["weight"] == "0", "HAProxy knows that it drains")
            assert running.take(FILE_BYTES) == content
            running.socket.close()
            assert nodes[1].wait() == 0
        finally:
            loop.stop()
        assert loop.failed == []
        assert balancer.show("n1")["status"] == "UP"
        os.kill(lineage.pids[-1], signal.SIGTERM)
        until(lambda: balancer.show("n1")["weight"] == "0", "HAProxy knows that this one drains too")
    assert lineage.end() == 0
