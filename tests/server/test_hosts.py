"""A server that listens at several addresses: one port, one budget, and each of them announced."""

from __future__ import annotations

import signal
import socket
import ssl
from pathlib import Path

import pytest

from support.certificates import unverified_context
from support.generations import Generations
from support.servers import Client, Serve, ServerProcess, run_python

TWO = ("127.0.0.1", "127.0.0.2")


def announced(server: ServerProcess, scheme: str = "http") -> None:
    """Wait for the line of the second address."""
    assert server.line.endswith(f" at {scheme}://127.0.0.1:{server.port}/\n")
    assert server.line_with("also at ") == f"freight: also at {scheme}://127.0.0.2:{server.port}/\n"


def assert_both_answer(server: ServerProcess, tls: ssl.SSLContext | None = None) -> None:
    for host in TWO:
        with Client(host, server.port, tls=tls) as client:
            client.get("/", "Range: bytes=0-9")
            assert client.read_response().content == bytes(10)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_both_addresses_are_served_at_one_free_port_and_announced(huge: Path, serve: Serve, workers: str) -> None:
    server = serve(huge, "--host", "127.0.0.2", "--workers", workers)
    announced(server)
    assert_both_answer(server)


def test_an_ipv6_address_beside_an_ipv4_one(huge: Path, serve: Serve) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    server = serve(huge, "--host", "::1")
    assert server.line_with("also at ") == f"freight: also at http://[::1]:{server.port}/\n"
    with Client("::1", server.port) as client:
        client.get("/", "Range: bytes=0-9")
        assert client.read_response().content == bytes(10)


def test_the_connections_of_all_addresses_share_one_budget(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--host", "127.0.0.2", "--max-per-client", "1", admin=True)
    with Client(TWO[0], server.port) as first, Client(TWO[1], server.port) as second:
        for client in (first, second):
            client.get("/", "Range: bytes=0-9")
            client.read_response()
        status = server.status()
        assert status["connections"]["open"] == 2
        assert status["server"]["urls"] == [f"http://{host}:{server.port}/" for host in TWO]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_successor_has_all_addresses(huge: Path, serve: Serve, workers: str) -> None:
    server = serve(huge, "--host", "127.0.0.2", "--workers", workers)
    generations = Generations(server)
    try:
        generations.hand_over()
        assert_both_answer(server)
        assert generations.end() == 0
    finally:
        generations.close()


def test_a_stopped_server_leaves_no_address_open(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--host", "127.0.0.2", "--shutdown-timeout", "1h")
    with server.start_download() as client:
        server.signal(signal.SIGTERM)
        server.wait_for_log("stopping")
        for host in TWO:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, server.port), 20).close()
        client.read_exactly(1000)


def test_each_address_redirects_to_https(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--host", "127.0.0.2", "--tls-self-signed", "--redirect-port", "0")
    announced(server, "https")
    assert_both_answer(server, unverified_context())
    port = server.port_with("redirecting to HTTPS from http://127.0.0.2:")
    for host in TWO:
        with Client(host, port) as client:
            client.get("/")
            assert client.read_response().fields["location"] == f"https://x:{server.port}/"


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        (("127.0.0.1", "127.0.0.1"), "127.0.0.1 is given twice; give it once"),
        (("127.0.0.1", "127.1"), "127.0.0.1 and 127.1 are the same address; give it once"),
        (("0.0.0.0", "127.0.0.1"), "0.0.0.0 includes 127.0.0.1; leave 127.0.0.1 out"),
        (("127.0.0.1", "0.0.0.0"), "0.0.0.0 includes 127.0.0.1; leave 127.0.0.1 out"),
        (("0.0.0.0", "::"), ":: includes 0.0.0.0; leave 0.0.0.0 out"),
        (("::1", "::"), ":: includes ::1; leave ::1 out"),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("settings", "--check")])
def test_addresses_that_overlap_are_an_error(
    tmp_path: Path, command: tuple[str, ...], hosts: tuple[str, str], error: str
) -> None:
    if not socket.has_dualstack_ipv6() and "::" in hosts:
        pytest.skip("this machine has no IPv6")
    words = [word for host in hosts for word in ("--host", host)]
    done = run_python("-m", "freight", command[0], str(tmp_path), *command[1:], *words, "--port", "0")
    assert (done.returncode, done.stderr) == (2, f"freight: --host: {error}\n")
