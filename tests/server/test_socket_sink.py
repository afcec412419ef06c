"""What the kernel reports of a connection: its send queue, its path and the peer's receive window."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from freight.memory.budget import LONG_PATH_SECONDS
from freight.server.socket_sink import SocketSink

PATIENCE_SECONDS = 10
BUFFER = 32 * 1024

Pair = tuple[SocketSink, socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a sink, its socket, and a peer with a small receive buffer that reads nothing by itself."""
    clock: Any = None
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        peer.connect(listening.getsockname())
        own, _ = listening.accept()
        with own:
            own.setblocking(False)
            yield SocketSink(own, clock), own, peer


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_a_peer_offers_goes_down_while_it_does_not_read_and_comes_back_when_it_does(pair: Pair) -> None:
    sink, own, peer = pair
    begin = sink.path_info()[2]
    assert 0 < begin <= 2 * BUFFER
    with suppress(BlockingIOError):
        while True:
            own.send(bytes(1024))
    until(lambda: sink.path_info()[2] < begin // 4)
    assert sink.queued_bytes() > 0
    while sink.queued_bytes():
        peer.recv(1 << 20)
    until(lambda: sink.path_info()[2] >= begin // 2)


def test_what_a_peer_offers_at_first_leaves_the_kernel_though_it_reads_nothing(pair: Pair) -> None:
    sink, own, _ = pair
    offered = sink.path_info()[2] * 99 // 100  # the kernel's memory is a little more than the bytes
    assert own.send(bytes(offered)) == offered
    until(lambda: sink.queued_bytes() == 0)


def test_a_near_peer_is_near_however_late_it_acknowledges(pair: Pair) -> None:
    """The round trips of a peer that seldom reads take many milliseconds, which its path does not."""
    sink, own, peer = pair
    for _ in range(5):
        with suppress(BlockingIOError):
            while True:
                own.send(bytes(1024))
        late = time.monotonic() + 0.02
        until(lambda late=late: time.monotonic() > late)
        while sink.queued_bytes():
            peer.recv(1 << 20)
    round_trip, takes, _ = sink.path_info()
    assert 0 < round_trip < LONG_PATH_SECONDS
    assert takes > 0
