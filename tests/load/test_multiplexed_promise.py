"""HTTP/2 streams keep within ``--memory``, and a stalled stream does not slow the others down."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.certificates import KeyPair, unverified_context
from support.memory_gauges import KIB, MB, Gauge
from support.raw_h2 import WIDE, Http2Client
from support.servers import Serve, ServerProcess, wait_until

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")
STALL_BYTES = 100 * KIB


Tls = ssl.SSLContext | None


@pytest.fixture(params=["h2c", "h2"])
def tls(request: pytest.FixtureRequest) -> Tls:
    return unverified_context() if request.param == "h2" else None


def speak(served: ServerProcess, stack: ExitStack, count: int, tls: Tls, *, stream_window: int) -> list[Http2Client]:
    kind = {"stream_window": stream_window, "grows": False, "receive_bytes": 64 * KIB}
    return [stack.enter_context(Http2Client(served, WIDE, tls=tls, **kind)) for _ in range(count)]


def loaded(served: ServerProcess, tls: Tls) -> Gauge:
    """Return a gauge whose baseline includes the HTTP/2 modules, which are loaded once."""
    with Http2Client(served, tls=tls) as speaker:
        speaker.get("/small.csv")
    wait_until(lambda: served.status()["connections"]["open"] == 0, "no connection is open")
    return Gauge(served)


@pytest.mark.parametrize("reads", [True, False], ids=["their windows are closed", "their sockets are not read"])
def test_500_stalled_streams_keep_within_the_memory(
    serve: Serve, site: Path, reads: bool, tls: Tls, pair: KeyPair
) -> None:
    memory = 30 * MB if tls else 20 * MB  # the price of a slot includes a connection with TLS
    served = serve(site, "--memory", str(memory), *PATIENT, *(pair.flags if tls else ()), admin=True)
    gauge = loaded(served, tls)
    with ExitStack() as stack:
        speakers = speak(served, stack, 5, tls, stream_window=STALL_BYTES if reads else WIDE)
        streams = [(speaker, speaker.request("/giant.csv")) for _ in range(100) for speaker in speakers]
        if reads:
            for speaker, stream in streams:
                speaker.wait(lambda found=speaker.received[stream]: len(found.content) == STALL_BYTES)
        wait_until(lambda: served.gate()["running"] == 500, "all run")
        gauge.settle()
        print(f"500 stalled streams: {gauge}")
        assert gauge.peak <= memory
    wait_until(lambda: served.gate()["running"] == 0, "all have ended")
    wait_until(lambda: gauge.grown() <= 2 << 20, "the process is back within 2 MiB")


def test_a_thousand_streams_on_ten_connections_cost_at_most_7_kib_each(
    serve: Serve, site: Path, tls: Tls, pair: KeyPair
) -> None:
    served = serve(site, "--memory", "512MB", *PATIENT, *(pair.flags if tls else ()), admin=True)
    gauge = loaded(served, tls)
    with ExitStack() as stack:
        speakers = speak(served, stack, 10, tls, stream_window=1000)
        for _ in range(100):
            for speaker in speakers:
                speaker.request("/giant.csv")
        wait_until(lambda: served.gate()["running"] == 1000, "all run")
        print(f"a stream costs {gauge.grown() / 1000 / KIB:.2f} KiB, its part of a connection included")
        assert gauge.grown() <= 1000 * 7 * KIB


def test_99_streams_continue_beside_a_stalled_one(serve: Serve, site: Path, tls: Tls, pair: KeyPair) -> None:
    """A stalled stream takes no turns."""
    served = serve(site, *PATIENT, *(pair.flags if tls else ()), admin=True)
    content = (site / "giant.csv").read_bytes()[: 1 << 20]
    with Http2Client(served, WIDE, stream_window=STALL_BYTES, grows=False, tls=tls) as speaker:
        still = speaker.request("/giant.csv")
        speaker.wait(lambda: len(speaker.received[still].content) == STALL_BYTES)
        others = [speaker.request("/giant.csv", ("range", f"bytes=0-{(1 << 20) - 1}")) for _ in range(99)]
        for stream in others:
            speaker.increase_window(1 << 20, stream)
        for stream in others:
            assert speaker.response(stream).content == content
        assert len(speaker.received[still].content) == STALL_BYTES
