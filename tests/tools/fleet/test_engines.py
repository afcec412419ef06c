"""A fleet behind each engine: files stay with their nodes, a hot one spreads, and a node that dies is not noticed."""

from __future__ import annotations

import os
import re
import select
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet_nodes import NODES, Fleet, socket_from

from support.servers import HUGE_BYTES, Client, wait_until

ENGINES = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("haproxy", "caddy", "envoy")]
HELD = 60


@pytest.fixture
def names(root: Path) -> list[str]:
    """Twelve files of different content."""
    names = [f"file-{number:02}" for number in range(12)]
    for name in names:
        (root / name).write_bytes(name.encode() * 1000)
    return names


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_is_had_from_the_same_node_again_files_are_spread_and_the_client_is_known(
    fleet: Fleet, names: list[str], engine: str
) -> None:
    """The log has the address of the engine's client, whatever headers that client sends."""
    fleet.start_nodes()
    fleet.start_engine(engine)
    for _ in range(4):
        for name in names:
            answer = fleet.get(f"/{name}")
            assert (answer.status, answer.content) == (200, name.encode() * 1000)
    wait_until(lambda: all(fleet.answered(f"/{name}").total() == 4 for name in names), "all answers are in a log")
    answered = [fleet.answered(f"/{name}") for name in names]
    assert sum(max(each.values()) for each in answered) >= 0.9 * 4 * len(names)  # where one lingers it is full
    assert len({max(each, key=each.__getitem__) for each in answered}) > 1

    with Client(*fleet.front, made=socket_from("127.0.0.77")) as client:
        client.get("/none", "X-Forwarded-For: 192.0.2.66", "Forwarded: for=192.0.2.66", "Connection: close")
        assert client.read_response().status == 404
    wait_until(lambda: fleet.answered("/none").total() == 1, "it is in a log")
    (line,) = (line for node in fleet.nodes for line in node.log if '"GET /none"' in line)
    assert line.split()[1] == "127.0.0.77"


@pytest.mark.parametrize("engine", ENGINES)
def test_no_client_notices_that_a_node_has_died(fleet: Fleet, names: list[str], engine: str) -> None:
    """The first requests for its files fail to connect, and go to another node before the first byte."""
    fleet.start_nodes()
    fleet.start_engine(engine)
    fleet.nodes[1].process.kill()
    fleet.nodes[1].wait()
    for name in names * 2:
        answer = fleet.get(f"/{name}")
        assert (answer.status, answer.content) == (200, name.encode() * 1000)


@pytest.mark.parametrize("hot", [(), ("--hot", "/hot.bin")], ids=["by path", "hot set"])
@pytest.mark.parametrize("engine", ENGINES[::2])
def test_a_hot_file_is_had_from_all_nodes(fleet: Fleet, root: Path, engine: str, hot: tuple[str, ...]) -> None:
    """Sixty that want the same file at once: no node has more than 1.4 times the mean, whether that was foreseen.

    Without agents, whose reports send fewer requests to fuller nodes.
    """
    quiet = ("--haproxy-agent", "none") if engine == "haproxy" else ()
    make_huge(root / "hot.bin")
    fleet.start_nodes()
    fleet.start_engine(engine, *hot, *quiet)
    with ExitStack() as held:
        for _ in range(HELD):
            client = held.enter_context(Client(*fleet.front, receive_bytes=64 << 10))
            client.get("/hot.bin")
            assert client.read_head()[0] == 200
        running = [fleet.status(at)["admission"]["running"] for at in range(NODES)]
    assert sum(running) == HELD
    assert max(running) <= 1.4 * HELD / NODES


@pytest.mark.needs("haproxy")
def test_requests_wait_while_nodes_are_full_and_beyond_the_queue_get_retry_after(fleet: Fleet, root: Path) -> None:
    make_huge(root / "big.bin")
    fleet.start_nodes()
    limits = ("--queue-size", "2", "--queue-timeout", "7s")
    fleet.start_engine("haproxy", *limits, change=lambda text: re.sub(r"maxconn \d+", "maxconn 1", text))
    with ExitStack() as held:
        asked = []
        for _ in range(NODES + 2):
            asked.append(held.enter_context(Client(*fleet.front, receive_bytes=64 << 10)))
            asked[-1].get("/big.bin")
        wait_until(lambda: len(answered(asked)) == NODES, "each node has one")
        wait_until(lambda: sum(int(row["qcur"]) for row in fleet.balanced("files")) == 2, "the others wait")
        refused = fleet.get("/big.bin")
        assert (refused.status, refused.fields["retry-after"]) == (503, "7")
        for running in answered(asked):
            running.reset()
        wait_until(lambda: len(answered(asked)) > 0, "one of them has its turn")
        assert answered(asked)[0].read_head()[0] == 200


def make_huge(path: Path) -> None:
    """More than engines and kernels take by themselves."""
    path.touch()
    os.truncate(path, HUGE_BYTES)


def answered(clients: list[Client]) -> list[Client]:
    """Those of whose answer something has come."""
    ready, _, _ = select.select([client.socket for client in clients if client.socket.fileno() >= 0], [], [], 0)
    return [client for client in clients if client.socket in ready]
