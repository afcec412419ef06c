"""A real HAProxy goes by what the agent says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from balancer import Balancer, agent_port
from lineages import Lineage, Loop
from serving import HUGE_BYTES, Client, Served, until

pytestmark = pytest.mark.needs("haproxy")

Serve = Callable[..., Served]


@pytest.fixture
def nodes(huge: Path, serve: Serve) -> list[Served]:
    """Three servers of the same file, with 25 slots each."""
    return [serve(huge, "--memory", "1MiB", "--agent", "127.0.0.1:0", "--drain", "1h") for _ in range(3)]


@pytest.fixture
def balancer(nodes: list[Served], tmp_path: Path) -> Iterator[Balancer]:
    """In front of them, knowing of each how many it can carry."""
    ports = [agent_port(node) for node in nodes]
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    with Balancer(tmp_path, list(zip(addresses, ports, strict=True))) as made:
        for name in ("n1", "n2", "n3"):
            until(lambda name=name: made.show(name)["slim"] == "27", f"{name} is known")  # type: ignore[misc]
        yield made


def begin(balancer: Balancer) -> Client:
    """A download through it whose head has come."""
    client = Client("127.0.0.1", balancer.port, receive_bytes=16 * 1024)
    client.get("/huge.bin")
    assert client.head()[0] == 200
    return client


def taken(balancer: Balancer) -> list[int]:
    """How many requests each of the nodes has had through it."""
    return [int(balancer.show(name)["stot"]) for name in ("n1", "n2", "n3")]


def test_who_is_full_is_passed_over_until_there_is_room_again(
    nodes: list[Served], balancer: Balancer, clients: ExitStack
) -> None:
    """Within two seconds, with a check each half: what fills it comes from elsewhere, so only the agent can tell."""
    full = [clients.enter_context(nodes[0].begin()) for _ in range(25)]
    until(lambda: balancer.show("n1")["weight"] == "1", "HAProxy knows that it is full", seconds=2.0)
    before = taken(balancer)
    for _ in range(12):
        clients.enter_context(begin(balancer))
    one, two, three = (now - then for now, then in zip(taken(balancer), before, strict=True))
    assert one <= 1
    assert (two >= 5, three >= 5) == (True, True)
    for client in full:
        client.reset()
    until(lambda: int(balancer.show("n1")["weight"]) >= 95, "HAProxy knows that there is room")


def test_who_drains_has_a_weight_of_0_and_a_new_one_in_its_place_has_its_own_back(
    nodes: list[Served], balancer: Balancer, clients: ExitStack, serve: Serve, huge: Path
) -> None:
    """Without a reload, and without anybody's saying "ready"."""
    agent = balancer.agents[2]
    running = clients.enter_context(nodes[2].begin())
    nodes[2].signal()
    until(lambda: balancer.show("n3")["weight"] == "0", "HAProxy knows that it drains")
    assert balancer.show("n3")["last_agt"] == "via agent : up (draining)"
    before = taken(balancer)
    for _ in range(6):
        clients.enter_context(begin(balancer))
    assert [now - then for now, then in zip(taken(balancer), before, strict=True)] == [3, 3, 0]
    assert running.take(HUGE_BYTES) == bytes(HUGE_BYTES)
    assert nodes[2].wait() == 0
    serve(huge, "--port", str(nodes[2].port), "--memory", "1MiB", "--agent", f"127.0.0.1:{agent}")
    until(lambda: balancer.show("n3")["weight"] == "100", "HAProxy knows that there is one again")


def test_a_hand_over_is_nothing_that_the_balancer_sees(nodes: list[Served], balancer: Balancer) -> None:
    """One connection through it is used again and again, and so are its own to the nodes."""
    lineage = Lineage(nodes[1])
    try:
        with Client("127.0.0.1", balancer.port) as kept:

            def ask(_: int) -> bool:
                kept.get("/huge.bin", "Range: bytes=0-9")
                return kept.answer().content == bytes(10)

            loop = Loop(ask)
            try:
                for _ in range(3):
                    answered = loop.answered
                    lineage.hand_over()
                    until(lambda answered=answered: loop.answered > answered + 50, "it goes on")  # type: ignore[misc]
            finally:
                loop.stop()
            assert loop.failed == []
        # A third each is what equal weights give, and the agents have said what room there was meanwhile.
        names = ("n1", "n2", "n3")

        def shares() -> list[int]:
            before = taken(balancer)
            for _ in range(9):
                with Client("127.0.0.1", balancer.port) as client:
                    client.get("/huge.bin", "Range: bytes=0-9")
                    assert client.answer().content == bytes(10)
            return [now - then for now, then in zip(taken(balancer), before, strict=True)]

        until(lambda: {balancer.show(name)["weight"] for name in names} == {"100"}, "HAProxy knows that all have room")
        until(lambda: shares() == [3, 3, 3], "all have a third")  # a weight may change once more when a heap is trimmed
        assert lineage.end() == 0
    finally:
        lineage.close()


def test_an_operators_word_is_not_taken_back(nodes: list[Served], balancer: Balancer) -> None:
    """Put into maintenance at HAProxy, a node stays there, whatever room it has."""
    balancer.ask("set server nodes/n1 state maint")
    seen = int(balancer.show("n1")["lastchg"])
    until(lambda: int(balancer.show("n1")["lastchg"]) >= seen + 2, "the agent was asked since")
    assert balancer.show("n1")["status"] == "MAINT"
