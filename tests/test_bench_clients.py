"""The benchmark's clients: a byte that is not right is told, all offer one suite, and a cable leaves nothing behind."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.answer import Answer, Wrong
from benchmarks.client import Spec
from benchmarks.drive import EventLost, crowd
from benchmarks.launch import HOT, MIB, Site, Unfit, running, site
from benchmarks.network import HANDLES, NoNamespaces, inside, veth
from benchmarks.peers import NGINX, NGINX_BOTH, Peer, freight, http2, https
from benchmarks.proof import check, compare, get
from benchmarks.watch import watched

from certificates import Pair

CONTENT = bytes(range(256)) * 3
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 768\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"10\r\n" + CONTENT[:16] + b"\r\n2f0;of=more\r\n" + CONTENT[16:] + b"\r\n0\r\n\r\n"


def fed(data: bytes, step: int) -> Answer:
    answer = Answer(CONTENT)
    for at in range(0, len(data), step):
        answer.feed(data[at : at + step])
    return answer


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("data", [LENGTH + CONTENT, CHUNKS], ids=["length", "chunks"])
def test_an_answer_is_whole_when_every_byte_of_the_file_has_come_however_it_is_cut(data: bytes, step: int) -> None:
    assert fed(data, step).whole
    assert not fed(data[:-8], step).whole


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
def test_what_is_not_the_file_is_wrong(data: bytes, step: int) -> None:
    with pytest.raises(Wrong):
        fed(data, step)


def test_what_a_crowd_is_told_arrives_as_it_was_said() -> None:
    spec = Spec("flood", 80, 3, sources=("127.0.0.2", "127.0.0.3"), address="192.0.2.1", once=True)
    assert Spec.read(spec.json()) == spec


def test_a_crowd_that_breaks_off_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with crowd(Spec("flood", port)) as clients, pytest.raises(EventLost, match="Connection refused"):
        clients.wait("begin")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that lets in as few as the kernel can be told, and answers none of them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("mode", ["drip", "sip"])
def test_attackers_wait_for_nobody_and_stop_at_a_word(silent: int, mode: str) -> None:
    with crowd(Spec(mode, silent, 20, seconds=600)) as attackers:
        attackers.wait("begin")
        attackers.give_word()
        assert 0 < attackers.wait("end")["standing"] < 20


def test_a_word_to_who_has_ended_already_is_no_mistake(silent: int) -> None:
    with crowd(Spec("drip", silent, warm=0, seconds=1.5)) as attackers:
        attackers.wait("begin")
        attackers.process.wait(20)
        attackers.give_word()
        assert attackers.wait("end")["standing"] == 1


def test_a_watch_keeps_the_largest_reading_of_each_figure() -> None:
    readings = iter([{"a": 1.0, "b": 9.0}, {"a": 5.0, "b": 2.0}, {"a": 3.0, "b": 3.0}])
    seen = threading.Event()

    def read() -> dict[str, float]:
        reading = next(readings, None)
        if reading is None:
            seen.set()
        return reading or {}

    with watched(read, interval=0.0) as watch:
        assert seen.wait(10)
    figures = watch.figures()
    assert (figures["most_a"], figures["most_b"]) == (5.0, 9.0)
    assert figures["readings_per_second"] > 0


def test_a_cable_joins_two_namespaces_and_nothing_of_it_is_left() -> None:
    own = os.readlink("/proc/thread-self/ns/net")
    try:
        with veth() as cable:
            with inside(cable.server):
                assert os.readlink("/proc/thread-self/ns/net") != own
                listening = socket.create_server((cable.address, 0))
            with listening, inside(cable.clients), socket.create_connection(listening.getsockname(), 10) as link:
                assert link.getpeername()[0] == cable.address
    except NoNamespaces as why:
        pytest.skip(f"no namespaces: {why}")
    assert os.readlink("/proc/thread-self/ns/net") == own
    assert not [name for name in (cable.server, cable.clients) if (HANDLES / name).exists()]


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with site(2 * MIB) as made:
        yield made


SPOKEN = [freight(), https(freight()), http2(freight()), http2(https(freight()))]
STDLIB = Peer("stdlib", "python:http", ("$python", "-m", "http.server", "$port", "-b", "$address", "-d", "$root"))


@pytest.mark.parametrize("peer", SPOKEN, ids=["http", "https", "h2c", "h2"])
def test_who_answers_with_the_file_is_fit_whatever_it_speaks(place: Site, peer: Peer) -> None:
    check(peer, place)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("peer", [NGINX, NGINX_BOTH], ids=["one port", "two ports"])
@pytest.mark.parametrize(
    "adapt", [lambda peer: peer, https, lambda peer: http2(https(peer))], ids=["http", "https", "h2"]
)
def test_nginx_takes_its_configuration_whatever_it_speaks(
    place: Site, peer: Peer, adapt: Callable[[Peer], Peer]
) -> None:
    check(adapt(peer), place)


@pytest.mark.parametrize("peer", SPOKEN, ids=["http", "https", "h2c", "h2"])
def test_who_answers_with_anything_else_is_not(place: Site, peer: Peer, tmp_path: Path) -> None:
    other = tmp_path / HOT
    other.write_bytes((place.root / HOT).read_bytes()[:-1] + b"?")
    with running(peer, place) as server:
        end = get(server, {"range": f"bytes={place.size - MIB}-"})
    with pytest.raises(Unfit, match="not the file's"):
        compare(end, Site(tmp_path, tmp_path, place.size), place.size - MIB)


def test_who_does_not_speak_http2_is_unfit_and_that_is_the_reason(place: Site) -> None:
    with pytest.raises(Unfit, match="did not answer by HTTP/2"):
        check(http2(STDLIB), place)


@pytest.mark.parametrize("peer", SPOKEN[2:], ids=["h2c", "h2"])
def test_slow_streams_all_begin_each_connection_with_as_many_as_it_was_told(place: Site, peer: Peer) -> None:
    with running(peer, place) as server, crowd(Spec("speak", server.port, 2, streams=3, tls=server.tls)) as slow:
        assert slow.wait("begin") == {"event": "begin", "begun": 6, "failures": 0}


def test_clients_offer_one_suite_so_that_every_server_enciphers_alike(pair: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        crowd(Spec("flood", listening.getsockname()[1], warm=0, seconds=0.1, size=1, tls=True)) as clients,
    ):
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as link:
            offered = [name for name, version, _ in link.shared_ciphers() or () if version == "TLSv1.3"]
            assert offered == ["TLS_AES_256_GCM_SHA384"]
            link.recv(4096)
            assert clients.wait("begin") and clients.wait("end")["cipher"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"
