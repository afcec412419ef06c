"""What is bounded whatever clients do: descriptors, the process's memory, and the kernel's for those that stall."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.flow.budget import WINDOW_MIN
from gauges import KIB, MB, Gauge, send_queues
from serving import Client, Served, until

Serve = Callable[..., Served]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--max-wait", "10m")  # those that stall are meant to


def settled(server: Served, count: int) -> list[int]:
    """The same, once there are ``count`` and what they hold does not change any more."""
    looks: list[list[int]] = [[], [-1]]

    def same() -> bool:
        looks.append(send_queues(server))
        return len(looks[-1]) == count and looks[-1] == looks[-2] == looks[-3]

    until(same, f"{count} send queues have settled")
    return looks[-1]


def stall(server: Served, clients: ExitStack, target: str = "/") -> Client:
    """A client that asks, and reads nothing; its kernel takes more than a window."""
    client = clients.enter_context(server.connect(64 * KIB))
    client.get(target)
    return client


def test_out_of_descriptors_it_serves_those_it_has_and_accepts_the_rest_later(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(huge, nofile=40)
    crowd = [clients.enter_context(server.connect()) for _ in range(60)]
    server.await_log("cannot accept")
    for client in crowd[:10]:  # those it has are served, or told to come again: there is no descriptor for their file
        client.get("/", "Range: bytes=0-9")
        assert client.answer().status in (206, 503)
    for client in crowd[:40]:
        client.socket.close()
    for client in crowd[40:]:
        client.get("/", "Range: bytes=0-9")
        assert client.answer().content == bytes(10)
    assert len([line for line in server.log if "cannot accept" in line]) == 1


def test_a_download_costs_little_of_the_processs_own_memory_and_gives_it_back(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """6 KiB at most: 4.1 have been measured, and what TCP and TLS hold is not the process's."""
    count, warm = 600, 20
    server = serve(huge, *PATIENT)
    with ExitStack() as warming:  # what is allocated once and for all is not a download's
        for _ in range(warm):
            stall(server, warming).head()
    server.await_log("GET /", count=warm)
    before = server.private_bytes()
    for _ in range(count):
        assert stall(server, clients).head()[0] == 200
    assert server.private_bytes() <= before + count * 6 * KIB
    clients.close()
    server.await_log("GET /", count=warm + count)
    until(lambda: server.private_bytes() <= before + count * KIB, "memory went back")


@pytest.mark.needs("ss")
def test_stalled_clients_pin_the_least_window_each_when_they_are_many(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """20 MB carry 500 downloads: a window of the kernel's memory each, whoever came first."""
    server = serve(huge, "--memory", "20MB", *PATIENT)
    for _ in range(500):
        stall(server, clients)
    held = settled(server, 500)
    assert sum(held) / len(held) <= WINDOW_MIN


@pytest.mark.needs("ss")
def test_clients_that_stall_one_after_another_pin_no_more_than_the_budget(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """Each has been fast, and had large windows: what it was lent leaves the kernel when it stalls."""
    server = serve(huge, "--memory", "4MB", *PATIENT)
    gauge = Gauge(server)
    for _ in range(90):
        client = clients.enter_context(server.connect(receive_bytes=256 * KIB))
        client.get("/")
        assert client.head()[0] == 200
        client.take(1 << 20)
        gauge.look()
    assert sum(settled(server, 90)) <= 90 * WINDOW_MIN
    assert max(gauge.look(), gauge.peak) <= 4 * MB


@pytest.mark.needs("ss")
def test_files_small_enough_for_a_send_queue_count_too(tmp_path: Path, serve: Serve, clients: ExitStack) -> None:
    """The kernel takes such a body at once; while the client does not read it, it is there all the same."""
    count = 24
    (tmp_path / "small.bin").write_bytes(bytes(2_000_000))
    server = serve(tmp_path, "--memory", "1MiB", *PATIENT)
    for _ in range(count):
        stall(server, clients, "/small.bin").head()
    assert sum(settled(server, count)) <= count * WINDOW_MIN


@pytest.mark.needs("ss")
def test_clients_that_stall_in_a_listing_pin_no_more_than_the_budget(
    tmp_path: Path, serve: Serve, clients: ExitStack
) -> None:
    """Each is of 3 MB."""
    count = 12
    for number in range(20_000):
        (tmp_path / f"{number:0100d}").touch()
    server = serve(tmp_path, "--memory", "1MiB", *PATIENT, admin=True)
    gauge = Gauge(server)
    for _ in range(count):
        stall(server, clients)
    until(lambda: server.gate()["running"] + server.gate()["waiting"] == count, "all have asked")
    running = server.gate()["running"]

    def stalled() -> bool:
        gauge.look()
        return sum(queued > 0 for queued in send_queues(server)) >= running

    until(stalled, "all that run are held up by their clients")
    gauge.settle()
    assert running > 1
    assert gauge.peak <= 1 << 20
