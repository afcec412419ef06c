"""Link-local addresses of IPv6, which mean something only with their zone: ``fe80::1%eth0`` (RFC 4007)."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from freight.tools.loadgen.network import Network, Unsupported, inside, veth
from support import processes
from support.servers import Serve, ServerProcess, run_python

OURS, THEIRS = "fe80::1234", "fe80::5678"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Return two network namespaces that are joined by an interface called ``cable``."""
    try:
        with veth() as made:
            for place, address in ((made.server, OURS), (made.client, THEIRS)):
                with inside(place.namespace):
                    # Without nodad, an address cannot be used for a second.
                    words = ["ip", "address", "add", f"{address}/64", "dev", "cable", "nodad"]
                    if processes.run(*words).returncode:
                        raise Unsupported("IPv6 is disabled")
            yield made
    except Unsupported as error:
        pytest.skip(str(error))


def ask(network: Network, port: int, host: str) -> bytes:
    """Return the answer to a request with this Host."""
    with (
        inside(network.client.namespace),
        socket.socket(socket.AF_INET6) as connected,
    ):
        connected.settimeout(20)
        zone = socket.if_nametoindex("cable")
        connected.bind((THEIRS, 0, 0, zone))
        connected.connect((OURS, port, 0, zone))
        connected.sendall(f"GET /a.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connected.recv(1 << 16):
            answer += data
        return answer


@pytest.fixture
def server(network: Network, serve: Serve, tmp_path: Path) -> ServerProcess:
    (tmp_path / "a.txt").write_text("hello\n")
    return serve(tmp_path, "--log-format", "json", host=f"{OURS}%cable", place=network.server)


@pytest.mark.needs("ip")
@pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "[fe80::1%eth0]:80", "[fe80::1234%25cable]:8080"])
def test_a_server_at_a_link_local_address_answers_and_logs_the_zone_of_its_client(
    network: Network, server: ServerProcess, host: str
) -> None:
    """The zone in Host is the client's own name of its interface (RFC 6874 section 1)."""
    answer = ask(network, server.port, host)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nhello\n")
    assert json.loads(server.wait_for_log("a.txt"))["client"] == f"{THEIRS}%cable"


@pytest.mark.needs("ip")
def test_the_start_line_has_the_zone_as_in_a_url(server: ServerProcess) -> None:
    """RFC 6874 section 2: its "%" is percent-encoded."""
    assert server.line.endswith(f" at http://[{OURS}%25cable]:{server.port}/\n")


@pytest.mark.needs("ip")
@pytest.mark.needs("curl")
def test_curl_uses_the_url_of_the_start_line(network: Network, server: ServerProcess) -> None:
    with inside(network.client.namespace):
        done = processes.run("curl", "-sg", server.line.rsplit(" ", 1)[1].strip() + "a.txt")
    assert done.stdout == "hello\n"


@pytest.mark.needs("ip")
def test_a_trusted_proxy_may_be_link_local(network: Network, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    server = serve(tmp_path, "--trusted-proxy", "fe80::/10", host=f"{OURS}%cable", place=network.server)
    with inside(network.client.namespace), socket.create_connection((f"{OURS}%cable", server.port), 20) as proxy:
        proxy.sendall(b"GET /a.txt HTTP/1.0\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n")
        assert proxy.recv(100).startswith(b"HTTP/1.1 200 ")
    assert " 192.0.2.66 " in server.wait_for_log("a.txt")


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("fe80::1234%nowhere", "freight: --host: 'fe80::1234%nowhere': this machine has no interface 'nowhere'"),
        ("fe80::1234", "freight: --host: fe80::1234 is link-local and needs its interface; write fe80::1234%eth0"),
    ],
)
def test_a_missing_zone_is_explained(tmp_path: Path, host: str, error: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    done: subprocess.CompletedProcess[str] = run_python("-m", "freight", "serve", str(tmp_path), "--host", host)
    assert (done.returncode, done.stderr.strip()) == (2, error)
