"""HTTP/2 to several workers, in clear text and over TLS: streams side by side, from one budget."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from certificates import Pair, trusting_all
from crew_looks import FILE_BYTES, running
from freight.flow.budget import WINDOW_MIN
from freight.flow.costs import CONNECTION_COST, STREAM_COST
from serving import Served, until
from speaking import Speaker

Serve = Callable[..., Served]
Speak = Callable[..., Speaker]
PATIENT = ("--idle-timeout", "1h", "--min-rate", "none")  # those that stand still are meant to
STREAMS = 100


@pytest.fixture(params=["h2c", "h2"])
def flags(request: pytest.FixtureRequest, pair: Pair) -> tuple[str, ...]:
    """What has a server speak it in clear text, by prior knowledge, or over TLS, by ALPN."""
    return pair.flags if request.param == "h2" else ()


@pytest.fixture
def speak(clients: ExitStack) -> Speak:
    """A connection to a server, in what that speaks."""

    def begin(server: Served, **how: object) -> Speaker:
        speaker = Speaker(server, tls=trusting_all() if server.tls else None, **how)  # type: ignore[arg-type]
        clients.enter_context(speaker)
        if isinstance(speaker.socket, ssl.SSLSocket):
            assert speaker.socket.selected_alpn_protocol() == "h2"
        return speaker

    return begin


def test_100_streams_of_one_connection_are_one_worker_s_and_all_whole(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    server = serve(file, "--workers", "2", *flags, admin=True)
    speakers = [speak(server) for _ in range(2)]
    content, part = file.read_bytes(), FILE_BYTES // STREAMS
    for speaker in speakers:
        asked = [
            speaker.ask("/", ("range", f"bytes={at * part}-{(at + 1) * part - 1}")) for at in range(STREAMS)
        ]  # all at once
        for at, stream in enumerate(asked):
            assert speaker.answer(stream).content == content[at * part : (at + 1) * part]
    connections = server.status()["connections"]
    assert (connections["http2"], connections["streams"]) == (2, 0)


def test_streams_of_both_workers_have_exactly_the_places_of_one_server(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    """Not twice as many, and not half; what comes free in one is for who waits in the other."""
    server = serve(file, "--workers", "2", "--per-client", "40", "--max-wait", "1h", *PATIENT, *flags, admin=True)
    first = speak(server, stream_window=1000, grows=False)
    begun = [first.ask() for _ in range(30)]
    until(lambda: server.gate()["running"] == 30, "all of the first run")
    (its,) = running(server)
    os.kill(its, signal.SIGSTOP)  # so that the other worker accepts who comes now
    try:
        second = speak(server, stream_window=1000, grows=False)
        asked = second.ask()
        second.wait(lambda: second.received[asked].content)
    finally:
        os.kill(its, signal.SIGCONT)
    for _ in range(29):
        second.ask()
    until(lambda: server.gate()["waiting"] == 20, "of the second only ten do")
    assert sorted(running(server).values()) == [10, 30]
    for gone, stream in enumerate(begun[:20], 1):
        first.h2.reset_stream(stream)
        first.flush()
        until(lambda gone=gone: server.gate()["waiting"] == 20 - gone, "another has its place")  # type: ignore[misc]
        assert server.gate()["running"] == 40
    second.wait(lambda: sum(bool(each.content) for each in second.received.values()) == 30)
    for speaker in (first, second):
        speaker.socket.close()
    until(lambda: server.gate()["running"] == 0, "all places are free")
    nobody = {"open": 0, "http2": 0, "streams": 0}
    until(lambda: server.status()["connections"] == nobody, "no connection is left")


def there(server: Served) -> int:
    """How many run or wait."""
    gate = server.gate()
    return gate["running"] + gate["waiting"]


def test_streams_of_both_workers_have_the_memory_of_one_server(
    serve: Serve, file: Path, flags: tuple[str, ...], speak: Speak
) -> None:
    """Streams that stand still run until it is spent, and not beyond."""
    server = serve(file, "--workers", "2", "--memory", "8MB", "--max-wait", "1h", *PATIENT, *flags, admin=True)
    slots = server.gate()["slots"]
    most = slots * (WINDOW_MIN + CONNECTION_COST) // (WINDOW_MIN + STREAM_COST)  # a slot is for a connection
    speakers = [speak(server, stream_window=1000, grows=False) for _ in range(4)]
    for asked in range(1, most + 2):
        speakers[asked % len(speakers)].ask()
        until(lambda asked=asked: there(server) == asked, "it runs or waits")  # type: ignore[misc]
        assert server.gate()["running"] <= slots
    # What one is lent for its first bytes may be out while the next one asks: that one waits for a moment.
    # What it costs to look at the server is missing for streams.
    memory = server.status()["memory"]
    until(lambda: server.gate()["running"] >= 0.85 * most, f"{most} have spent the memory, {memory} at first")
    memory = server.status()["memory"]
    assert memory["process_bytes"] - memory["baseline_bytes"] + memory["kernel_send_bytes"] <= memory["budget_bytes"]
