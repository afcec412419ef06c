"""A real HAProxy follows the agent's answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.generations import Generations, RequestLoop
from support.load_balancer import BUSY_PERCENT, MANY, LoadBalancer, agent_port
from support.ports import free_port
from support.servers import HUGE_BYTES, Client, Serve, ServerProcess, wait_until

pytestmark = pytest.mark.needs("haproxy")


@pytest.fixture
def nodes(huge: Path, serve: Serve) -> list[ServerProcess]:
    """Start three servers of the same file, with 111 slots each at most. They end no download of a test."""
    patient = ("--shutdown-timeout", "1h", "--idle-timeout", "10m", "--min-rate", "none")
    options = ("--memory", "4MiB", *patient)
    return [
        serve(huge, *options, "--port", str(free_port()), "--haproxy-agent", f"127.0.0.1:{free_port()}")
        for _ in range(3)
    ]


@pytest.fixture
def balancer(nodes: list[ServerProcess], tmp_path: Path) -> Iterator[LoadBalancer]:
    """Start HAProxy in front of them. Return when it knows the capacity of each."""
    ports = [agent_port(node) for node in nodes]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    with LoadBalancer(tmp_path, list(zip(addresses, ports, strict=True))) as made:
        for name in ("n1", "n2", "n3"):
            wait_until(lambda name=name: made.server_stats(name)["slim"] == "111", f"{name} is known")  # type: ignore[misc]
        yield made


def begin(balancer: LoadBalancer) -> Client:
    """Start a download through HAProxy. Return when its head has arrived."""
    client = Client("127.0.0.1", balancer.port, receive_bytes=16 * 1024)
    client.get("/huge.bin")
    assert client.read_head()[0] == 200
    return client


def taken(balancer: LoadBalancer) -> list[int]:
    """Return how many requests HAProxy has sent to each node."""
    return [int(balancer.server_stats(name)["stot"]) for name in ("n1", "n2", "n3")]


def test_a_busy_node_gets_few_requests_until_it_has_slots_again(
    nodes: list[ServerProcess], balancer: LoadBalancer, clients: ExitStack
) -> None:
    """HAProxy reacts to one of its checks, two a second. Only the agent reports the load from elsewhere."""
    busy = [clients.enter_context(nodes[0].start_download()) for _ in range(MANY)]
    wait_until(lambda: int(balancer.server_stats("n1")["weight"]) <= BUSY_PERCENT, "HAProxy knows that it is busy")
    before = taken(balancer)
    for _ in range(12):
        clients.enter_context(begin(balancer))
    one, two, three = (now - then for now, then in zip(taken(balancer), before, strict=True))
    assert one <= 2
    assert (two >= 5, three >= 5) == (True, True)
    for client in busy:
        client.reset()
    wait_until(lambda: int(balancer.server_stats("n1")["weight"]) >= 95, "HAProxy knows that there is room")


def test_a_draining_node_has_weight_0_and_its_successor_the_old_weight(
    nodes: list[ServerProcess], balancer: LoadBalancer, clients: ExitStack, serve: Serve, huge: Path
) -> None:
    """No reload and no "ready" from an operator is needed."""
    agent = balancer.agents[2]
    running = clients.enter_context(nodes[2].start_download())
    nodes[2].signal()
    wait_until(lambda: balancer.server_stats("n3")["weight"] == "0", "HAProxy knows that it drains")
    assert balancer.server_stats("n3")["last_agt"] == "via agent : up (draining)"
    before = taken(balancer)
    for _ in range(6):
        clients.enter_context(begin(balancer))
    assert [now - then for now, then in zip(taken(balancer), before, strict=True)] == [3, 3, 0]
    assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    assert nodes[2].wait() == 0
    serve(huge, "--port", str(nodes[2].port), "--memory", "4MiB", "--haproxy-agent", f"127.0.0.1:{agent}")
    wait_until(lambda: balancer.server_stats("n3")["weight"] == "100", "HAProxy knows that there is one again")


def test_the_balancer_does_not_notice_a_hand_over(nodes: list[ServerProcess], balancer: LoadBalancer) -> None:
    """The client keeps one connection to HAProxy, which keeps its own to the nodes."""
    generations = Generations(nodes[1])
    try:
        with Client("127.0.0.1", balancer.port) as kept:

            def ask(_: int) -> bool:
                kept.get("/huge.bin", "Range: bytes=0-9")
                return kept.read_response().content == bytes(10)

            loop = RequestLoop(ask)
            try:
                for _ in range(3):
                    answered = loop.answered
                    generations.hand_over()
                    wait_until(lambda answered=answered: loop.answered > answered + 50, "it goes on")  # type: ignore[misc]
            finally:
                loop.stop()
            assert loop.failed == []
        # Equal weights give a third each; the agents have reported other ones meanwhile.
        names = ("n1", "n2", "n3")

        def shares() -> list[int]:
            before = taken(balancer)
            for _ in range(9):
                with Client("127.0.0.1", balancer.port) as client:
                    client.get("/huge.bin", "Range: bytes=0-9")
                    assert client.read_response().content == bytes(10)
            return [now - then for now, then in zip(taken(balancer), before, strict=True)]

        wait_until(
            lambda: {balancer.server_stats(name)["weight"] for name in names} == {"100"},
            "HAProxy knows that all have room",
        )
        wait_until(
            lambda: shares() == [3, 3, 3], "all have a third"
        )  # a weight may change once more when a heap is trimmed
        assert generations.end() == 0
    finally:
        generations.close()


def test_a_node_in_maintenance_stays_there(nodes: list[ServerProcess], balancer: LoadBalancer) -> None:
    """The operator has put it there, and the agent does not change that."""
    balancer.run_command("set server nodes/n1 state maint")
    seen = int(balancer.server_stats("n1")["lastchg"])
    wait_until(lambda: int(balancer.server_stats("n1")["lastchg"]) >= seen + 2, "the agent was asked since")
    assert balancer.server_stats("n1")["status"] == "MAINT"
