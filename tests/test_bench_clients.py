"""The benchmark's clients: a byte that is not right is told, and a cable leaves nothing behind."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.answer import Answer, Wrong
from benchmarks.client import Spec
from benchmarks.drive import EventLost, crowd
from benchmarks.network import HANDLES, NoNamespaces, inside, veth
from benchmarks.watch import watched

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
        attackers.process.wait()
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
