"""The benchmark's clients report wrong bytes, and all offer one cipher suite."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.client import Spec
from benchmarks.drive import TurnFailed, run_clients
from benchmarks.launch import HOT, MIB, PeerFailed, Site, make_site, run_peer
from benchmarks.peers import NGINX, NGINX_BOTH, Peer, freight, http2, https
from benchmarks.proof import check, compare, get
from benchmarks.response import ComparedResponse, WrongResponse
from benchmarks.watch import monitor_peaks

from support.certificates import KeyPair
from support.ports import free_port

CONTENT = bytes(range(256)) * 3
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 768\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"10\r\n" + CONTENT[:16] + b"\r\n2f0;of=more\r\n" + CONTENT[16:] + b"\r\n0\r\n\r\n"


def fed(data: bytes, step: int) -> ComparedResponse:
    answer = ComparedResponse(CONTENT)
    for at in range(0, len(data), step):
        answer.feed(data[at : at + step])
    return answer


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("data", [LENGTH + CONTENT, CHUNKS], ids=["length", "chunks"])
def test_a_response_is_complete_when_every_byte_of_the_file_has_arrived(data: bytes, step: int) -> None:
    assert fed(data, step).is_complete
    assert not fed(data[:-8], step).is_complete


@pytest.mark.parametrize(
    "data",
    [
        LENGTH + CONTENT[:-1] + b"x",
        LENGTH + CONTENT + b"x",
        OK + b"content-length: 767\r\n\r\n" + CONTENT,
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 768\r\n\r\n" + CONTENT,
        CHUNKS.replace(CONTENT[32:40], b"12345678", 1),
        CHUNKED + b"x" * 5000,
    ],
    ids=["last byte", "one too many", "length", "status", "in a chunk", "no chunk"],
)
@pytest.mark.parametrize("step", [1, 10_000])
def test_a_response_that_differs_from_the_file_is_wrong(data: bytes, step: int) -> None:
    with pytest.raises(WrongResponse):
        fed(data, step)


def test_a_spec_survives_its_json() -> None:
    spec = Spec("flood", 80, 3, sources=("127.0.0.2", "127.0.0.3"), address="192.0.2.1", once=True)
    assert Spec.read(spec.json()) == spec


def test_clients_that_end_early_report_why() -> None:
    with run_clients(Spec("flood", free_port())) as clients, pytest.raises(TurnFailed, match="Connection refused"):
        clients.wait("begin")


@pytest.fixture
def silent() -> Iterator[int]:
    """Return the port of a server that accepts nothing, with the smallest backlog."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("mode", ["drip", "sip"])
def test_attackers_do_not_block_and_stop_on_input(silent: int, mode: str) -> None:
    with run_clients(Spec(mode, silent, 20, seconds=600)) as attackers:
        attackers.wait("begin")
        attackers.send_go_ahead()
        assert 0 < attackers.wait("end")["standing"] < 20


def test_input_for_a_process_that_has_ended_is_no_error(silent: int) -> None:
    with run_clients(Spec("drip", silent, warm=0, seconds=1.5)) as attackers:
        attackers.wait("begin")
        attackers.process.wait(20)
        attackers.send_go_ahead()
        assert attackers.wait("end")["standing"] == 1


def test_a_monitor_keeps_the_largest_reading_of_each_figure() -> None:
    readings = iter([{"a": 1.0, "b": 9.0}, {"a": 5.0, "b": 2.0}, {"a": 3.0, "b": 3.0}])
    seen = threading.Event()

    def read() -> dict[str, float]:
        reading = next(readings, None)
        if reading is None:
            seen.set()
        return reading or {}

    with monitor_peaks(read, interval=0.0) as watch:
        assert seen.wait(10)
    figures = watch.figures()
    assert (figures["most_a"], figures["most_b"]) == (5.0, 9.0)
    assert figures["readings_per_second"] > 0


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with make_site(2 * MIB) as made:
        yield made


SPOKEN = [freight(), https(freight()), http2(freight()), http2(https(freight()))]
STDLIB = Peer("stdlib", "python:http", ("$python", "-m", "http.server", "$port", "-b", "$address", "-d", "$root"))


@pytest.mark.parametrize("peer", SPOKEN, ids=["http", "https", "h2c", "h2"])
def test_a_peer_that_sends_the_file_is_suitable_with_every_protocol(place: Site, peer: Peer) -> None:
    check(peer, place)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("peer", [NGINX, NGINX_BOTH], ids=["one port", "two ports"])
@pytest.mark.parametrize(
    "adapt", [lambda peer: peer, https, lambda peer: http2(https(peer))], ids=["http", "https", "h2"]
)
def test_nginx_accepts_its_configuration_for_every_protocol(
    place: Site, peer: Peer, adapt: Callable[[Peer], Peer]
) -> None:
    check(adapt(peer), place)


@pytest.mark.parametrize("peer", SPOKEN, ids=["http", "https", "h2c", "h2"])
def test_a_peer_that_sends_other_bytes_fails(place: Site, peer: Peer, tmp_path: Path) -> None:
    content = (place.root / HOT).read_bytes()
    (tmp_path / HOT).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with run_peer(peer, place) as server:
        end = get(server, {"range": f"bytes={place.size - MIB}-"})
    with pytest.raises(PeerFailed, match="not the file's"):
        compare(end, Site(tmp_path, tmp_path, place.size), place.size - MIB)


def test_a_peer_without_http2_fails_with_that_reason(place: Site) -> None:
    with pytest.raises(PeerFailed, match="did not answer by HTTP/2"):
        check(http2(STDLIB), place)


@pytest.mark.parametrize("peer", SPOKEN[2:], ids=["h2c", "h2"])
def test_all_slow_streams_begin_with_as_many_per_connection_as_specified(place: Site, peer: Peer) -> None:
    with run_peer(peer, place) as server, run_clients(Spec("speak", server.port, 2, streams=3, tls=server.tls)) as slow:
        assert slow.wait("begin") == {"event": "begin", "begun": 6, "failures": 0}


def test_clients_offer_one_suite_so_that_every_server_encrypts_alike(pair: KeyPair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        run_clients(Spec("flood", listening.getsockname()[1], warm=0, seconds=0.1, size=1, tls=True)) as clients,
    ):
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as link:
            offered = [name for name, version, _ in link.shared_ciphers() or () if version == "TLSv1.3"]
            assert offered == ["TLS_AES_256_GCM_SHA384"]
            link.recv(4096)
            assert clients.wait("begin") and clients.wait("end")["cipher"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"
