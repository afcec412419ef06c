"""What is bounded whatever clients do: descriptors, the process's memory, and the kernel's for those that stall."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gauges import send_queues
from serving import Client, Served, until

Serve = Callable[..., Served]

WINDOW_MIN = 32 * 1024
SLACK = 16 * 1024  # what the kernel may hold of a client beyond its window: docs/design, the second invariant


def settled(server: Served, count: int) -> list[int]:
    """The same, once there are ``count`` and what they hold does not change any more."""
    looks: list[list[int]] = [[], [-1]]

    def same() -> bool:
        looks.append(send_queues(server))
        return len(looks[-1]) == count and looks[-1] == looks[-2] == looks[-3]

    until(same, f"{count} send queues have settled")
    return looks[-1]


def stall(server: Served, clients: ExitStack, target: str = "/") -> Client:
    """A client that asks, and reads nothing."""
    client = clients.enter_context(server.connect(receive_bytes=4096))
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
    count = 300
    server = serve(huge)
    with ExitStack() as warming:  # what is allocated once and for all is not a download's
        for _ in range(count):
            stall(server, warming).head()
    server.await_log("GET /", count=count)
    before = server.private_bytes()
    crowd = [stall(server, clients) for _ in range(count)]
    for client in crowd:
        assert client.head()[0] == 200
    assert server.private_bytes() <= before + count * 16 * 1024
    clients.close()
    server.await_log("GET /", count=2 * count)
    until(lambda: server.private_bytes() <= before + (1 << 20), "memory went back", seconds=5)


@pytest.mark.needs("ss")
def test_stalled_clients_pin_the_least_window_each_when_they_are_many(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """20 MB carry 500 downloads: at most 36 KiB of the kernel's memory each, whoever came first."""
    server = serve(huge, "--memory", "20MB")
    for _ in range(500):
        stall(server, clients)
    held = settled(server, 500)
    assert sum(held) / len(held) <= WINDOW_MIN + 4 * 1024


@pytest.mark.needs("ss")
def test_clients_that_stall_one_after_another_pin_no_more_than_the_budget(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """The first had the whole budget for itself; it must not keep it when others come."""
    count, memory = 30, 20_000_000
    server = serve(huge, "--memory", str(memory))
    for _ in range(count):
        stall(server, clients).head()
    assert sum(settled(server, count)) <= memory + count * SLACK


@pytest.mark.needs("ss")
def test_files_small_enough_for_a_send_queue_count_too(tmp_path: Path, serve: Serve, clients: ExitStack) -> None:
    """The kernel takes such a body at once; while the client does not read it, it is there all the same."""
    count, memory = 50, 20_000_000
    (tmp_path / "small.bin").write_bytes(bytes(2_000_000))
    server = serve(tmp_path, "--memory", str(memory))
    for _ in range(count):
        stall(server, clients, "/small.bin").head()
    assert sum(settled(server, count)) <= memory + count * SLACK


@pytest.mark.needs("ss")
def test_clients_that_stall_in_a_listing_pin_no_more_than_the_budget(
    tmp_path: Path, serve: Serve, clients: ExitStack
) -> None:
    count, memory = 12, 20_000_000
    for number in range(20_000):
        (tmp_path / f"{number:0100d}").touch()
    server = serve(tmp_path, "--memory", str(memory))
    crowd = [stall(server, clients) for _ in range(count)]
    for client in crowd[:2]:  # so many producers have room; the others wait in line
        client.head()
    assert sum(settled(server, count)) <= memory + count * SLACK
