"""HTTP/2 with several workers, in clear text and over TLS: concurrent streams from one budget."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.memory.costs import CONNECTION_COST, STREAM_COST, WINDOW_MIN
from support.certificates import KeyPair, unverified_context
from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess, wait_until
from support.worker_snapshots import FILE_BYTES, running

Speak = Callable[..., Http2Client]
PATIENT = ("--idle-timeout", "1h", "--min-rate", "none")  # stalled downloads are not aborted
STREAMS = 100


@pytest.fixture(params=["h2c", "h2"])
def flags(request: pytest.FixtureRequest, pair: KeyPair) -> tuple[str, ...]:
    """Arguments for HTTP/2 in clear text, by prior knowledge, or over TLS, by ALPN."""
    return pair.flags if request.param == "h2" else ()


@pytest.fixture
def speak(clients: ExitStack) -> Speak:
    """Return a connection to a server, with TLS if it has TLS."""

    def begin(server: ServerProcess, **how: object) -> Http2Client:
        speaker = Http2Client(server, tls=unverified_context() if server.tls else None, **how)  # type: ignore[arg-type]
        clients.enter_context(speaker)
        if isinstance(speaker.socket, ssl.SSLSocket):
            assert speaker.socket.selected_alpn_protocol() == "h2"
        return speaker

    return begin


def test_one_worker_completes_all_100_streams_of_a_connection(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    server = serve(file, "--workers", "2", *flags, admin=True)
    speakers = [speak(server) for _ in range(2)]
    content, part = file.read_bytes(), FILE_BYTES // STREAMS
    for speaker in speakers:
        asked = [
            speaker.request("/", ("range", f"bytes={at * part}-{(at + 1) * part - 1}")) for at in range(STREAMS)
        ]  # all at once
        for at, stream in enumerate(asked):
            assert speaker.response(stream).content == content[at * part : (at + 1) * part]
    connections = server.status()["connections"]
    assert (connections["http2"], connections["streams"]) == (2, 0)


def test_streams_of_both_workers_have_exactly_the_slots_of_one_server(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    """A slot that becomes free in one worker is for a stream that waits in the other."""
    server = serve(
        file, "--workers", "2", "--max-per-client", "40", "--queue-timeout", "1h", *PATIENT, *flags, admin=True
    )
    first = speak(server, stream_window=1000, grows=False)
    started = [first.request() for _ in range(30)]
    wait_until(lambda: server.gate()["running"] == 30, "all of the first run")
    (its,) = running(server)
    os.kill(its, signal.SIGSTOP)  # so the other worker accepts the next connection
    try:
        second = speak(server, stream_window=1000, grows=False)
        asked = second.request()
        second.wait(lambda: second.received[asked].content)
    finally:
        os.kill(its, signal.SIGCONT)
    for _ in range(29):
        second.request()
    wait_until(lambda: server.gate()["waiting"] == 20, "of the second only ten do")
    assert sorted(running(server).values()) == [10, 30]
    for gone, stream in enumerate(started[:20], 1):
        first.h2.reset_stream(stream)
        first.flush()
        wait_until(lambda gone=gone: server.gate()["waiting"] == 20 - gone, "another stream has its slot")  # type: ignore[misc]
        assert server.gate()["running"] == 40
    second.wait(lambda: sum(bool(each.content) for each in second.received.values()) == 30)
    for speaker in (first, second):
        speaker.socket.close()
    wait_until(lambda: server.gate()["running"] == 0, "all places are free")
    nobody = {"open": 0, "http2": 0, "streams": 0}
    wait_until(lambda: server.status()["connections"] == nobody, "no connection is left")


def there(server: ServerProcess) -> int:
    """Return how many streams run or wait."""
    gate = server.gate()
    return gate["running"] + gate["waiting"]


def test_streams_of_both_workers_have_the_memory_of_one_server(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    """Stalled streams run until the memory is used up, and not beyond."""
    server = serve(file, "--workers", "2", "--memory", "8MB", "--queue-timeout", "1h", *PATIENT, *flags, admin=True)
    slots = server.gate()["slots"]
    most = slots * (WINDOW_MIN + CONNECTION_COST) // (WINDOW_MIN + STREAM_COST)  # a slot is for a connection
    speakers = [speak(server, stream_window=1000, grows=False) for _ in range(4)]
    for asked in range(1, most + 2):
        speakers[asked % len(speakers)].request()
        wait_until(lambda asked=asked: there(server) == asked, "it runs or waits")  # type: ignore[misc]
        assert server.gate()["running"] <= slots
    # A loan for first bytes may still be out when the next stream asks, which then waits for a moment.
    # The cost of /status is missing for streams.
    memory = server.status()["memory"]
    wait_until(lambda: server.gate()["running"] >= 0.85 * most, f"{most} have spent the memory, {memory} at first")
    memory = server.status()["memory"]
    assert memory["process_bytes"] - memory["baseline_bytes"] + memory["kernel_send_bytes"] <= memory["budget_bytes"]
