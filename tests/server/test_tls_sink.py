"""The sink of a TLS connection sends the right bytes, whatever the kernel takes of them and whatever is asked next."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.flow.send_window import CALL_SIZES
from freight.server.tls.certificate import load
from freight.server.tls.sockets import TlsLayer, TlsSink
from support.certificates import KeyPair, unverified_context
from support.clocks import ManualClock
from support.servers import TIMEOUT_SECONDS

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
FILE_BYTES = 3 << 20
EVERY = settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCRIPT: dict[str, st.SearchStrategy[Any]] = {
    "receive": st.integers(8192, 40_000),
    "send": st.integers(2048, 60_000),
    "marks": st.lists(st.sampled_from([None, None, None, 4096, 192 * 1024]), min_size=1, max_size=4),
    "counts": st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
    "reads": st.lists(st.integers(2000, 70_000), min_size=1, max_size=6),
}
"""The buffers of the two kernels, the send buffers that are set in turn, and how much is offered and read at a time."""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    content = os.urandom(FILE_BYTES)
    (tmp_path / "file.bin").write_bytes(content)
    fd = os.open(tmp_path / "file.bin", os.O_RDONLY)
    yield fd, content
    os.close(fd)


@contextmanager
def connected(
    pair: KeyPair, version: ssl.TLSVersion, receive: int, send: int
) -> Iterator[tuple[TlsSink, socket.socket]]:
    """A sink after its handshake, and the client's end, with bounded kernel buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        peer.settimeout(TIMEOUT_SECONDS)
        peer.connect(listening.getsockname())
        accepted, _ = listening.accept()
        accepted.settimeout(TIMEOUT_SECONDS)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
        tls = TlsLayer(lambda: load(pair.cert, pair.key))
        with tls.wrap(accepted) as ours:
            shaking = threading.Thread(target=ours.do_handshake, daemon=True)
            shaking.start()
            theirs = unverified_context(version).wrap_socket(peer)
            shaking.join(TIMEOUT_SECONDS)
            ours.setblocking(False)
            theirs.settimeout(5)
            with theirs:
                yield tls.sink(ours, ManualClock()), theirs


def received(peer: socket.socket, most: int, *, wait: bool) -> bytes:
    """Receive what has come in whole records. Part of a record leaves the kernel too: the rest may need its space.

    ``wait``: nothing could be sent, so wait for bytes first.
    """
    if wait:
        select.select([peer], [], [], 0.01)
    try:
        return peer.recv(most)
    except ssl.SSLWantReadError:
        return b""


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@given(data=st.binary(min_size=1, max_size=40_000), **SCRIPT)
@EVERY
def test_what_arrives_is_what_was_asked_for_in_its_order(
    pair: KeyPair,
    file: tuple[int, bytes],
    version: ssl.TLSVersion,
    receive: int,
    send: int,
    marks: list[int | None],
    counts: list[int],
    reads: list[int],
    data: bytes,
) -> None:
    """After BlockingIOError a sender may offer fewer, or more, of the same bytes."""
    fd, content = file
    got, goal, position, turn = bytearray(), data + content[:250_000], 0, 0
    with connected(pair, version, receive, send) as (sink, peer):
        peer.setblocking(False)
        while len(got) < len(goal):
            turn += 1
            mark = marks[turn % len(marks)]
            sink.set_send_buffer(mark)
            if mark is None:  # the only bound is then the kernel's: a small one, so that records are cut
                sink._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
            count, before = counts[turn % len(counts)], position
            try:
                if position < len(data):
                    position += sink.send(data[position:], more=True)
                elif position < len(goal):
                    start = position - len(data)
                    position += sink.sendfile(fd, start, min(count, len(goal) - position))
                    assert position <= len(goal)
            except BlockingIOError:
                pass
            assert sink.accepted_bytes == position and 0 <= sink.acknowledged() <= position
            got += received(peer, reads[turn % len(reads)], wait=position == before)
        assert bytes(got) == goal


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@given(**SCRIPT)
@EVERY
def test_what_is_written_arrives_though_something_else_is_offered_next(
    pair: KeyPair,
    version: ssl.TLSVersion,
    receive: int,
    send: int,
    marks: list[int | None],
    counts: list[int],
    reads: list[int],
) -> None:
    """Streams of HTTP/2 do so: another stream has the next turn. The sink keeps nothing back without saying so."""
    got, said, turn = bytearray(), bytearray(), 0
    with connected(pair, version, receive, send) as (sink, peer):
        peer.setblocking(False)
        while len(said) < 200_000 or len(got) < len(said):
            turn += 1
            mark = marks[turn % len(marks)]
            sink.set_send_buffer(mark)
            if mark is None:
                sink._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
            data = os.urandom(counts[turn % len(counts)]) if len(said) < 200_000 else b""
            before = len(said)
            try:
                said += data[: sink.write(data, more=False)]
            except BlockingIOError:
                pass
            assert (
                sink.accepted_bytes + sink.pending_bytes == len(said)
                and 0 <= sink.acknowledged() <= sink.accepted_bytes
            )
            got += received(peer, reads[turn % len(reads)], wait=len(said) == before)
        assert got == said and not sink.pending_bytes


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize("count", CALL_SIZES)
def test_a_call_takes_no_more_kernel_memory_than_the_sender_counts(
    pair: KeyPair, file: tuple[int, bytes], version: ssl.TLSVersion, count: int
) -> None:
    """Records and the kernel's bookkeeping together: a fortieth, and 2 KiB.

    Not with a tiny receive buffer, for which the kernel makes many small packets, of clear text too.
    """
    with connected(pair, version, 64 * 1024, 22 * 1024) as (sink, _):
        sink.set_send_buffer(22 * 1024)
        taken = 0
        while taken < count:
            taken += sink.sendfile(file[0], taken, count - taken)
        assert sink.queued_bytes() <= count + count // 40 + 2048


def test_no_record_is_cut_for_a_stalled_client(pair: KeyPair, file: tuple[int, bytes]) -> None:
    """Its rest would take 16 KiB in OpenSSL: a bounded call is accepted whole; a literal without space is not begun."""
    with connected(pair, VERSIONS[1], 2048, 22 * 1024) as (sink, _):
        sink.set_send_buffer(22 * 1024)
        assert sink.sendfile(file[0], 0, CALL_SIZES[0]) == CALL_SIZES[0]
        with pytest.raises(BlockingIOError):
            sink.send(b"x" * 100, more=False)
        assert sink.pending_bytes == 0


def test_the_acknowledged_bytes_never_decrease_and_come_to_all(pair: KeyPair, file: tuple[int, bytes]) -> None:
    with connected(pair, VERSIONS[1], 4096, 60_000) as (sink, peer):
        sink.set_send_buffer(60 * 1024)
        seen, got, sent = 0, 0, 0
        while got < 300_000:
            try:
                sent += sink.sendfile(file[0], sent, 300_000 - sent) if sent < 300_000 else 0
            except BlockingIOError:
                pass
            assert seen <= (seen := sink.acknowledged()) <= sink.accepted_bytes
            got += len(peer.recv(5000))
        assert sink.acknowledged() == 300_000


def test_a_file_that_has_become_shorter_gives_nothing(pair: KeyPair, file: tuple[int, bytes]) -> None:
    with connected(pair, VERSIONS[1], 4096, 60_000) as (sink, _):
        assert sink.sendfile(file[0], FILE_BYTES, 1000) == 0


def test_nothing_is_sent_once_both_ends_have_ended_tls(pair: KeyPair) -> None:
    """The socket is a plain one then."""
    with connected(pair, VERSIONS[1], 4096, 60_000) as (sink, peer):
        peer.setblocking(False)
        with suppress(ssl.SSLWantReadError):
            peer.unwrap()
        select.select([sink], [], [], TIMEOUT_SECONDS)
        sink.finish()
        accepted = sink.accepted_bytes
        for send in (partial(sink.send, b"x", False), partial(sink.write, b"x", False)):
            with pytest.raises(ConnectionError):
                send()
        assert sink.accepted_bytes == accepted
