"""Full queues whose readers have stopped: memory is bounded, and an honest client hardly waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from freight.observe.unread import PENDING_BYTES
from support.memory_gauges import KIB, MB, Gauge
from support.servers import Client, Serve, ServerProcess, wait_until

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--queue-timeout", "10m")
ADDRESSES = 20


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Assert that the block takes less than ``seconds``. Without these limits it would take several times as long."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    print(f"{what}: {took:.3f} s")
    assert took < seconds


def silent(server: ServerProcess, port: int, count: int, clients: ExitStack, says: bytes = b"") -> None:
    """Open ``count`` connections that send ``says`` and then nothing."""
    for _ in range(count):
        made = clients.enter_context(socket.create_connection((server.host, port), 20))
        made.sendall(says)


def crowd(server: ServerProcess, count: int, clients: ExitStack, request: bytes, receive: int) -> None:
    """Open ``count`` connections from 20 addresses that send as much of a request as possible, and read nothing."""
    unsent: dict[socket.socket, bytes] = {}
    for number in range(count):
        client = clients.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.bind((f"127.0.0.{2 + number % ADDRESSES}", 0))
        client.settimeout(20)
        client.connect((server.host, server.port))
        client.setblocking(False)
        unsent[client] = request[client.send(request) :]
    deadline = time.monotonic() + 3
    while any(unsent.values()) and time.monotonic() < deadline:
        for client, rest in unsent.items():
            try:
                unsent[client] = rest[client.send(rest) :] if rest else b""
            except BlockingIOError:
                continue
            except OSError:
                unsent[client] = b""  # the server has closed it
        time.sleep(0.01)


def test_a_health_check_is_answered_despite_thousands_of_silent_connections(
    site: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(site, admin=True)
    silent(server, server.admin_port, 3900, clients)
    with within(5, "after 3,900 new connections"):
        assert server.ask_admin("/healthz").status == 200
    with within(1, "ten more while they are open"):
        for _ in range(10):
            assert server.ask_admin("/healthz").status == 200


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "half a record"])
def test_a_handshake_does_not_wait_for_thousands_that_stall(
    site: Path, serve: Serve, clients: ExitStack, says: bytes
) -> None:
    server = serve(site, "--tls-self-signed")
    silent(server, server.port, 2000, clients, says)
    with within(4, "after 2,000 handshakes that stall"):
        assert server.get("/small.csv").status == 200


def test_a_client_is_accepted_despite_thousands_with_closed_windows(
    site: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(site, "--memory", "20MB", *PATIENT)
    crowd(server, 2500, clients, b"GET /giant.csv HTTP/1.1\r\nHost: x\r\n\r\n", 1)
    with within(6, "after 2,500 clients that read nothing"):  # a queue that does not move is shed once a second
        assert server.get("/small.csv").status == 200


def test_large_queued_requests_keep_within_the_memory(site: Path, serve: Serve, clients: ExitStack) -> None:
    """Each has a target of 7 KB and a field of 8 KB. Process, kernel and snapshots of all requests count."""
    server = serve(site, "--memory", "20MB", "--max-per-client", "1", *PATIENT, admin=True)
    gauge = Gauge(server)
    request = b"GET /giant.csv?" + b"x" * 7000 + b" HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
    crowd(server, 1020, clients, request, 64 * KIB)
    wait_until(lambda: server.gate()["waiting"] + server.gate()["running"] > 900, "nearly all requests have arrived")
    for _ in range(20):
        assert len(server.ask_admin("/status").content) < 4 * MB
        gauge.look()
    print(f"1,000 queued requests of 15 KB: {gauge}")
    assert gauge.peak <= 20 * MB + PENDING_BYTES  # responses of the admin listener are not clients' memory


def test_snapshots_that_no_client_reads_are_limited_in_bytes(site: Path, serve: Serve, clients: ExitStack) -> None:
    """Each lists 1,000 queued requests, in 1 MB. 100 viewers request it and read nothing."""
    server = serve(site, "--memory", "64MiB", "--max-per-client", "1", *PATIENT, admin=True)
    crowd(server, 1020, clients, b"GET /giant.csv?" + b"x" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 64 * KIB)
    wait_until(lambda: server.gate()["waiting"] == 1000, "all are queued")
    assert len(server.ask_admin("/status").content) > MB
    before = server.private_bytes()
    grown = 0
    for _ in range(100):
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        clients.enter_context(Client("127.0.0.1", server.admin_port, named="127.0.0.1", made=made)).get("/status")
    for _ in range(30):
        assert server.ask_admin("/healthz").status == 200
        grown = max(grown, server.private_bytes() - before)
        time.sleep(0.1)
    print(f"100 snapshots of 1 MB that no client reads: {grown} bytes")
    assert grown <= 16 * MB


def test_connections_that_come_and_go_keep_within_a_small_budget(site: Path, serve: Serve, clients: ExitStack) -> None:
    server = serve(site, "--memory", "192KiB")
    assert server.get("/small.csv").status == 200
    gauge = Gauge(server)
    for _ in range(3):
        with ExitStack() as these:
            crowd(server, 1000, these, b"GET /small.csv HTTP/1.1\r\nHost: x\r\n\r\n", 64 * KIB)
            gauge.look()
        assert server.get("/small.csv").status == 200
        gauge.look()
    print(f"3 times 1,000 connections: {gauge}")
    assert gauge.peak <= 192 * KIB
