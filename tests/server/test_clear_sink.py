"""What the kernel says of a connection: what it holds for it, and what its peer has room for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from freight.flow.budget import FAR_SECONDS
from freight.server.sink import ClearSink

PATIENCE_SECONDS = 10
BUFFER = 32 * 1024

Pair = tuple[ClearSink, socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A sink, its socket, and a peer with a small receive buffer that reads nothing by itself."""
    clock: Any = None
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        peer.connect(listening.getsockname())
        own, _ = listening.accept()
        with own:
            own.setblocking(False)
            yield ClearSink(own, clock), own, peer


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_a_peer_offers_goes_down_while_it_does_not_read_and_comes_back_when_it_does(pair: Pair) -> None:
    sink, own, peer = pair
    begin = sink.path()[2]
    assert 0 < begin <= 2 * BUFFER
    with suppress(BlockingIOError):
        while True:
            own.send(bytes(1024))
    until(lambda: sink.path()[2] < begin // 4)
    assert sink.held() > 0
    while sink.held():
        peer.recv(1 << 20)
    until(lambda: sink.path()[2] >= begin // 2)


def test_what_a_peer_offers_at_first_leaves_the_kernel_though_it_reads_nothing(pair: Pair) -> None:
    sink, own, _ = pair
    offered = sink.path()[2] * 99 // 100  # the kernel's memory is a little more than the bytes
    assert own.send(bytes(offered)) == offered
    until(lambda: sink.held() == 0)


def test_a_near_peer_is_near_however_late_it_acknowledges(pair: Pair) -> None:
    """A peer that reads a little now and then has round trips of many milliseconds, which are not its path's."""
    sink, own, peer = pair
    for _ in range(5):
        with suppress(BlockingIOError):
            while True:
                own.send(bytes(1024))
        late = time.monotonic() + 0.02
        until(lambda late=late: time.monotonic() > late)
        while sink.held():
            peer.recv(1 << 20)
    round_trip, takes, _ = sink.path()
    assert 0 < round_trip < FAR_SECONDS
    assert takes > 0
