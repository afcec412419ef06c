"""A real HAProxy in front of servers with two workers each. Any worker answers the agent check."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.generations import Generations, RequestLoop
from support.load_balancer import BUSY_PERCENT, MANY, LoadBalancer, agent_port
from support.servers import Client, Serve, ServerProcess, wait_until
from support.worker_snapshots import FILE_BYTES

pytestmark = pytest.mark.needs("haproxy")

_DRAINS = ("--shutdown-delay", "3s", "--shutdown-timeout", "1h")
_PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")


@pytest.fixture
def nodes(serve: Serve, file: Path) -> list[ServerProcess]:
    """Start two servers of the same file. They end no download of a test."""
    options = ("--workers", "2", "--memory", "4MiB", "--haproxy-agent", "127.0.0.1:0")
    return [serve(file, *options, *_DRAINS, *_PATIENT) for _ in range(2)]


@pytest.fixture
def balancer(nodes: list[ServerProcess], tmp_path: Path) -> Iterator[LoadBalancer]:
    """Start HAProxy in front of them. Return when it knows the capacity of each."""
    addresses = [(f"127.0.0.1:{node.port}", agent_port(node)) for node in nodes]
    with LoadBalancer(tmp_path, addresses) as made:
        for name in ("n1", "n2"):
            wait_until(lambda name=name: made.server_stats(name)["slim"] == "111", f"{name} is known")  # type: ignore[misc]
        yield made


@pytest.fixture
def request_loop(balancer: LoadBalancer, file: Path) -> Iterator[RequestLoop]:
    """Send requests through HAProxy, one after another, until the test ends."""
    first = file.read_bytes()[:10]

    def ask(_: int) -> bool:
        with Client("127.0.0.1", balancer.port) as client:
            client.get("/huge.csv", "Range: bytes=0-9")
            return client.read_response().content == first

    loop = RequestLoop(ask)
    yield loop
    loop.stop()


def wait_until_weight_0(balancer: LoadBalancer, name: str) -> None:
    wait_until(lambda: balancer.server_stats(name)["weight"] == "0", f"HAProxy knows that {name} drains")


def test_the_balancer_sees_the_free_capacity(
    nodes: list[ServerProcess], balancer: LoadBalancer, clients: ExitStack
) -> None:
    busy = [clients.enter_context(nodes[0].start_download()) for _ in range(MANY)]
    wait_until(lambda: int(balancer.server_stats("n1")["weight"]) <= BUSY_PERCENT, "HAProxy knows that it is busy")
    for client in busy:
        client.reset()
    wait_until(lambda: int(balancer.server_stats("n1")["weight"]) >= 95, "HAProxy has the full weight")


def test_the_balancer_does_not_notice_a_hand_over(
    nodes: list[ServerProcess],
    balancer: LoadBalancer,
    request_loop: RequestLoop,
    follow: Callable[[ServerProcess], Generations],
) -> None:
    generations = follow(nodes[0])
    for _ in range(2):
        answered = request_loop.answered
        generations.hand_over()
        wait_until(lambda answered=answered: request_loop.answered > answered + 50, "it goes on")  # type: ignore[misc]
    request_loop.stop()
    assert request_loop.failed == []
    assert balancer.server_stats("n1")["status"] == "UP"
    os.kill(generations.pids[-1], signal.SIGTERM)
    wait_until_weight_0(balancer, "n1")
    assert generations.end() == 0


def test_a_draining_node_has_weight_0_at_once_and_rejects_no_request_during_the_shutdown_delay(
    nodes: list[ServerProcess], balancer: LoadBalancer, request_loop: RequestLoop, file: Path, clients: ExitStack
) -> None:
    running = clients.enter_context(nodes[1].start_download())
    nodes[1].signal()
    wait_until_weight_0(balancer, "n2")
    assert running.read_exactly(FILE_BYTES) == file.read_bytes()
    running.socket.close()
    assert nodes[1].wait() == 0
    request_loop.stop()
    assert request_loop.failed == []
