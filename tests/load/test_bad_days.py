"""Each queue full, and its reader at a stand: what is held is bounded, and an honest client hardly waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from freight.observe.unread import UNREAD_BYTES
from gauges import KIB, MB, Gauge
from serving import Client, Served, until

Serve = Callable[..., Served]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none", "--max-wait", "10m")
ADDRESSES = 20


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """What is done in it takes no longer. Before these bounds were there it took several times as long."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    print(f"{what}: {took:.3f} s")
    assert took < seconds


def silent(server: Served, port: int, count: int, clients: ExitStack, says: bytes = b"") -> None:
    """So many connections that say no more than this."""
    for _ in range(count):
        made = clients.enter_context(socket.create_connection((server.host, port), 20))
        made.sendall(says)


def crowd(server: Served, count: int, clients: ExitStack, request: bytes, receive: int) -> None:
    """So many clients, of 20 addresses, that have sent a request as far as the server takes it, and read nothing."""
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
                unsent[client] = b""  # it was sent away
        time.sleep(0.01)


def test_a_health_check_is_answered_while_thousands_of_connections_say_nothing(
    site: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(site, admin=True)
    silent(server, server.admin_port, 3900, clients)
    with within(5, "behind 3,900 connections that have just come"):
        assert server.ask_admin("/healthz").status == 200
    with within(1, "ten more while they stand"):
        for _ in range(10):
            assert server.ask_admin("/healthz").status == 200


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "half a word"])
def test_a_handshake_does_not_wait_for_thousands_that_do_not_go_on(
    site: Path, serve: Serve, clients: ExitStack, says: bytes
) -> None:
    server = serve(site, "--tls-self-signed")
    silent(server, server.port, 2000, clients, says)
    with within(4, "behind 2,000 handshakes that stand"):
        assert server.get("/small.csv").status == 200


def test_a_client_is_accepted_while_thousands_have_shut_their_windows(
    site: Path, serve: Serve, clients: ExitStack
) -> None:
    server = serve(site, "--memory", "20MB", *PATIENT)
    crowd(server, 2500, clients, b"GET /giant.csv HTTP/1.1\r\nHost: x\r\n\r\n", 1)
    with within(6, "behind 2,500 clients that take nothing"):  # a line that does not move is shortened once a second
        assert server.get("/small.csv").status == 200


@pytest.mark.needs("ss")
def test_large_requests_that_wait_keep_within_the_memory(site: Path, serve: Serve, clients: ExitStack) -> None:
    """A target of 7 KB and a field of 8 KB each. The process's own, the kernel's, and a look at all of them."""
    server = serve(site, "--memory", "20MB", "--per-client", "1", *PATIENT, admin=True)
    gauge = Gauge(server)
    request = b"GET /giant.csv?" + b"x" * 7000 + b" HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
    crowd(server, 1020, clients, request, 64 * KIB)
    until(lambda: server.gate()["waiting"] + server.gate()["running"] > 900, "nearly all are there")
    for _ in range(20):
        assert len(server.ask_admin("/status").content) < 4 * MB
        gauge.look()
    print(f"1,000 requests of 15 KB that wait: {gauge}")
    assert gauge.peak <= 20 * MB + UNREAD_BYTES  # answers to those who look are not of the clients' memory


def test_looks_that_nobody_takes_are_bounded_in_bytes(site: Path, serve: Serve, clients: ExitStack) -> None:
    """1,000 that wait are in each: 1 MB. 100 viewers ask for it and read nothing."""
    server = serve(site, "--memory", "64MiB", "--per-client", "1", *PATIENT, admin=True)
    crowd(server, 1020, clients, b"GET /giant.csv?" + b"x" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 64 * KIB)
    until(lambda: server.gate()["waiting"] == 1000, "all wait")
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
    print(f"100 looks of 1 MB that nobody takes: {grown} bytes")
    assert grown <= 16 * MB


@pytest.mark.needs("ss")
def test_a_small_budget_is_kept_by_connections_that_come_and_go(site: Path, serve: Serve, clients: ExitStack) -> None:
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
