"""The agent-check port: its answer to a load balancer, whatever that sends."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.observe.haproxy_agent import AgentReport, report_line
from support.load_balancer import BUSY_PERCENT, MANY, agent_port, ask_agent
from support.servers import Client, Serve, run_python, wait_until


@pytest.mark.parametrize(
    ("room", "line"),
    [
        (AgentReport(1.0, 524), "up 100% maxconn:524"),
        (AgentReport(0.999, 524), "up 99% maxconn:524"),
        (AgentReport(0.5, 2), "up 50% maxconn:2"),
        (AgentReport(0.001, 524), "up 1% maxconn:524"),
        (AgentReport(0.0, 524), "up 1% maxconn:524"),
        (AgentReport(0.5, 524, draining=True), "up 0% maxconn:524 #draining"),
        (AgentReport(0.5, 524, exhausted=True), "down #out of descriptors"),
        (AgentReport(0.5, 524, draining=True, exhausted=True), "down #out of descriptors"),
    ],
)
def test_a_line_has_the_part_that_is_free_and_how_many_can_run(room: AgentReport, line: str) -> None:
    """A full server reports 1%, so that requests still go somewhere if all servers are full."""
    assert report_line(room) == line


def test_the_weight_falls_as_downloads_take_the_budget_and_comes_back(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    # No client is ended before all are there, however long that takes.
    patient = ("--idle-timeout", "10m", "--min-rate", "none")
    server = serve(huge, "--memory", "4MiB", "--haproxy-agent", "127.0.0.1:0", *patient)
    port = agent_port(server)
    assert ask_agent(port) == "up 100% maxconn:111\n"
    weights, running = list[int](), list[Client]()
    for _ in range(MANY):
        running.append(clients.enter_context(server.start_download()))
        weights.append(int(ask_agent(port).split()[1].rstrip("%")))
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 80 and 30 < weights[MANY // 2] < 60 and weights[-1] <= BUSY_PERCENT
    for client in running:
        client.reset()
    wait_until(lambda: ask_agent(port) == "up 100% maxconn:111\n", "all of it is free again")


def test_the_line_is_whole_whatever_the_balancer_sends_and_nothing_is_kept_of_it(huge: Path, serve: Serve) -> None:
    """agent-send may send a word. A peer that sends more, resets or reads nothing costs no descriptor."""
    server = serve(huge, "--haproxy-agent", "127.0.0.1:0")
    port = agent_port(server)
    wait_until(lambda: ask_agent(port).startswith("up"), "it answers")
    before = server.descriptors()
    with ExitStack() as silent:
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port), 20) as reset:
                reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ask_agent(port, b"backend/n1\n") == "up 100% maxconn:1826\n"
        wait_until(lambda: server.descriptors() <= before, "none is kept")


def test_it_answers_until_the_last_download_has_ended(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--haproxy-agent", "127.0.0.1:0", "--shutdown-timeout", "1h")
    port = agent_port(server)
    with server.start_download() as client:
        server.signal()
        wait_until(lambda: ask_agent(port).startswith("up 0% "), "it says that it drains")
        assert ask_agent(port).endswith(" #draining\n")
        client.reset()
    assert server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        ask_agent(port)


def test_out_of_descriptors_it_still_says_so(huge: Path, serve: Serve, clients: ExitStack) -> None:
    server = serve(huge, "--haproxy-agent", "127.0.0.1:0", nofile=48)
    port = agent_port(server)
    for _ in range(60):
        client = clients.enter_context(server.connect(receive_bytes=4096))
        client.get("/")
    wait_until(lambda: ask_agent(port) == "down #out of descriptors\n", "it says that it is down")
    clients.close()
    wait_until(lambda: ask_agent(port).startswith("up "), "it is up again")


def test_a_server_without_an_agent_loads_nothing_of_it() -> None:
    """Without a service manager it does not load sd_notify either."""
    script = "import sys; import freight.app; print(*sys.modules)"
    loaded = set(run_python("-c", script).stdout.split())
    assert "freight.runtime.service" in loaded
    assert not {f"freight.server.{name}" for name in ("agent", "notify")} & loaded
