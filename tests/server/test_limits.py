"""What is bounded whatever clients do: descriptors, the process's memory, and kernel memory for stalled clients."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from freight.memory.costs import WINDOW_MIN
from freight.tools.loadgen.gauge import evict
from support.many_files import make_files
from support.memory_gauges import KIB, MB, SETTLED_READINGS, Gauge, send_queues
from support.servers import Client, Serve, ServerProcess, wait_until

PATIENT = (
    "--idle-timeout",
    "10m",
    "--min-rate",
    "none",
    "--queue-timeout",
    "10m",
)  # so that stalled clients are not aborted


def settled(server: ServerProcess, count: int) -> list[int]:
    """Return the sockets' memory, once there are ``count`` and it no longer changes."""
    readings: list[list[int]] = []

    def same() -> bool:
        readings.append(send_queues(server))
        last = readings[-SETTLED_READINGS:]
        return len(readings[-1]) == count and last == [readings[-1]] * SETTLED_READINGS

    wait_until(same, f"{count} send queues have settled")
    return readings[-1]


def stall(server: ServerProcess, clients: ExitStack, target: str = "/") -> Client:
    """Return a client that sends a request and reads nothing. Its kernel takes more than a window."""
    client = clients.enter_context(server.connect(64 * KIB))
    client.get(target)
    return client


def test_out_of_descriptors_it_serves_those_it_has_and_accepts_the_rest_later(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(huge, nofile=41)  # with 20 connections one is left for the file
    connections = [clients.enter_context(server.connect()) for _ in range(60)]
    server.wait_for_log("cannot accept")
    for client in connections[:10]:  # served, or asked to retry, as there is no descriptor for the file
        client.get("/", "Range: bytes=0-9")
        assert client.read_response().status in (206, 503)
    for client in connections[:40]:
        client.socket.close()
    for client in connections[40:]:
        client.get("/", "Range: bytes=0-9")
        assert client.read_response().content == bytes(10)
    assert len([line for line in server.log if "cannot accept" in line]) == 1


def test_a_download_costs_little_of_the_processs_own_memory_and_gives_it_back(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """It costs at most 6 KiB; 4.1 KiB were measured. The memory of TCP is the kernel's."""
    count, warm = 600, 20
    server = serve(huge, *PATIENT)
    with ExitStack() as warming:  # what is allocated once is no download's
        for _ in range(warm):
            stall(server, warming).read_head()
    server.wait_for_log("GET /", count=warm)
    before = server.private_bytes()
    for _ in range(count):
        assert stall(server, clients).read_head()[0] == 200
    assert server.private_bytes() <= before + count * 6 * KIB
    clients.close()
    server.wait_for_log("GET /", count=warm + count)
    wait_until(lambda: server.private_bytes() <= before + count * KIB, "memory went back")


def test_stalled_clients_pin_the_least_window_each_when_they_are_many(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """20 MB are enough for 500 downloads, with a window of kernel memory each, in any order."""
    server = serve(huge, "--memory", "20MB", *PATIENT)
    for _ in range(500):
        stall(server, clients)
    held = settled(server, 500)
    assert sum(held) / len(held) <= WINDOW_MIN


def test_clients_that_stall_one_after_another_pin_no_more_than_the_budget(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """Each was fast and had loans, which leave the kernel when it stalls."""
    server = serve(huge, "--memory", "4MB", *PATIENT)
    gauge = Gauge(server)
    for _ in range(90):
        client = clients.enter_context(server.connect(receive_bytes=256 * KIB))
        client.get("/")
        assert client.read_head()[0] == 200
        client.read_exactly(1 << 20)
        gauge.look()
    assert sum(settled(server, 90)) <= 90 * WINDOW_MIN
    assert max(gauge.look(), gauge.peak) <= 4 * MB


def test_files_small_enough_for_a_send_queue_count_too(tmp_path: Path, serve: Serve, clients: ExitStack) -> None:
    """The kernel takes such a body at once, and holds it while the client does not read."""
    count = 24
    (tmp_path / "small.bin").write_bytes(bytes(2_000_000))
    server = serve(tmp_path, "--memory", "1MiB", *PATIENT)
    for _ in range(count):
        stall(server, clients, "/small.bin").read_head()
    assert sum(settled(server, count)) <= count * WINDOW_MIN


def test_clients_that_stall_in_a_listing_pin_no_more_than_the_budget(
    tmp_path: Path, serve: Serve, clients: ExitStack
) -> None:
    """Each listing has 3 MB."""
    count = 12
    make_files(tmp_path, [f"{number:0100d}" for number in range(20_000)])
    server = serve(tmp_path, "--memory", "1MiB", *PATIENT, admin=True)
    gauge = Gauge(server)
    for _ in range(count):
        stall(server, clients)
    gate = server.status_when(
        lambda found: found["admission"]["running"] + found["admission"]["waiting"] == count, "all have asked"
    )["admission"]
    running = gate["running"]

    def stalled() -> bool:
        gauge.look()
        return sum(queued > 0 for queued in send_queues(server)) >= running

    wait_until(stalled, "all that run are held up by their clients")
    gauge.settle()
    assert running > 1
    assert gauge.peak <= 1 << 20


def test_out_of_descriptors_a_cold_download_is_finished_and_the_shortage_is_logged_once(
    tmp_path: Path, serve: Serve, clients: ExitStack
) -> None:
    content = os.urandom(1 << 20) * 16
    (tmp_path / "cold.bin").write_bytes(content)
    server = serve(tmp_path, nofile=40)
    evict(tmp_path / "cold.bin")
    with server.start_download("/cold.bin") as client:
        for _ in range(80):
            clients.enter_context(server.connect())
        server.wait_for_log("cannot accept")
        assert client.read_exactly(len(content)) == content
        clients.close()  # the server accepts those that wait, again and again without a descriptor
        assert server.get("/cold.bin", "Range: bytes=0-9").status == 206
    server.wait_for_log("/cold.bin", "complete")
    server.wait_for_log("accepted without delay again")
    assert len([line for line in server.log if " warning " in line]) == 2, server.log
