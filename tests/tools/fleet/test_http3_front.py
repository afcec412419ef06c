"""HTTP/3, HTTP/2 and HTTP/1.1 by Caddy in front, which speaks to the nodes in clear text."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import quic_client
from fleet_nodes import NODES, Fleet
from programs import digest, make_content, run

from support.certificates import KeyPair, unverified_context
from support.servers import HUGE_BYTES, Client

pytestmark = pytest.mark.needs("caddy", "curl")

SIZE = 5_000_000
CUT = 1_234_567


WIRES = {"--no-http2": "http/1.1", "--http2": "h2c"}


@pytest.fixture(params=WIRES)
def front(request: pytest.FixtureRequest, fleet: Fleet, root: Path, pair: KeyPair) -> Fleet:
    """Caddy with a certificate, whose nodes are spoken to by HTTP/1.1, or by HTTP/2 with prior knowledge."""
    make_content(root / "file.bin", SIZE)
    (root / "huge.bin").touch()
    os.truncate(root / "huge.bin", HUGE_BYTES)
    fleet.start_nodes()
    fleet.start_engine("caddy", "--tls-cert", str(pair.cert), "--tls-key", str(pair.key), request.param, tls=True)
    return fleet


def test_every_version_serves_a_whole_file_and_resumes_it(front: Fleet, root: Path, tmp_path: Path) -> None:
    content = (root / "file.bin").read_bytes()
    for version in ("--http1.1", "--http2"):
        got = tmp_path / f"got{version}"
        curl = ("curl", "-skf", "--noproxy", "*", version, "-w", "%{http_version}", "-o", str(got))
        assert run(*curl, front.url("/file.bin"), within=tmp_path).stdout == {"--http2": b"2"}.get(version, b"1.1")
        assert digest(got) == hashlib.sha256(content).hexdigest()
        got.write_bytes(content[:CUT])
        assert run(*curl, "-C", "-", front.url("/file.bin"), within=tmp_path).returncode == 0
        assert digest(got) == hashlib.sha256(content).hexdigest()
    whole = quic_client.get(*front.front, "/file.bin")
    assert (whole.status, bytes(whole.content)) == (200, content)
    rest = quic_client.get(*front.front, "/file.bin", range=f"bytes={CUT}-", **{"if-range": whole.fields["etag"]})
    assert (rest.status, bytes(rest.content)) == (206, content[CUT:])


def test_the_nodes_get_the_chosen_version_of_http(front: Fleet, request: pytest.FixtureRequest) -> None:
    with Client(*front.front, receive_bytes=64 << 10, tls=unverified_context()) as client:
        client.get("/huge.bin")
        assert client.read_head()[0] == 200
        (running,) = (each for at in range(NODES) for each in front.status(at)["transfers"]["running"])
    assert running["protocol"] == WIRES[request.node.callspec.params["front"]]


def test_a_client_over_tcp_learns_of_http3(front: Fleet) -> None:
    assert "h3=" in front.get("/file.bin").fields["alt-svc"]
