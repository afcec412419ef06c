"""The promise holds for streams of HTTP/2: within ``--memory``, and one that stands still slows no other down."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from certificates import Pair, trusting_all
from gauges import KIB, MB, Gauge
from serving import Served, until
from speaking import WIDE, Speaker

Serve = Callable[..., Served]
PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")
STILL = 100 * KIB


Tls = ssl.SSLContext | None


@pytest.fixture(params=["h2c", "h2"])
def tls(request: pytest.FixtureRequest) -> Tls:
    return trusting_all() if request.param == "h2" else None


def speak(served: Served, stack: ExitStack, count: int, tls: Tls, *, stream_window: int) -> list[Speaker]:
    kind = {"stream_window": stream_window, "grows": False, "receive_bytes": 64 * KIB}
    return [stack.enter_context(Speaker(served, WIDE, tls=tls, **kind)) for _ in range(count)]


def loaded(served: Served, tls: Tls) -> Gauge:
    """What is grown from when HTTP/2 has been loaded, which is once and for all."""
    with Speaker(served, tls=tls) as speaker:
        speaker.get("/small.csv")
    until(lambda: served.status()["connections"]["open"] == 0, "nobody is there")
    return Gauge(served)


@pytest.mark.needs("ss")
@pytest.mark.parametrize("reads", [True, False], ids=["their windows are shut", "their sockets are not read"])
def test_500_streams_that_stand_still_keep_within_the_memory(
    serve: Serve, site: Path, reads: bool, tls: Tls, pair: Pair
) -> None:
    memory = 30 * MB if tls else 20 * MB  # its slots are of connections, each with TLS of its own
    served = serve(site, "--memory", str(memory), *PATIENT, *(pair.flags if tls else ()), admin=True)
    gauge = loaded(served, tls)
    with ExitStack() as stack:
        speakers = speak(served, stack, 5, tls, stream_window=STILL if reads else WIDE)
        streams = [(speaker, speaker.ask("/giant.csv")) for _ in range(100) for speaker in speakers]
        if reads:
            for speaker, stream in streams:
                speaker.wait(lambda found=speaker.received[stream]: len(found.content) == STILL)
        until(lambda: served.gate()["running"] == 500, "all run")
        gauge.settle()
        print(f"500 streams that stand still: {gauge}")
        assert gauge.peak <= memory
    until(lambda: served.gate()["running"] == 0, "all have ended")
    until(lambda: gauge.grown() <= 2 << 20, "the process is back within 2 MiB")


def test_a_thousand_streams_on_ten_connections_cost_at_most_8_kib_each(
    serve: Serve, site: Path, tls: Tls, pair: Pair
) -> None:
    served = serve(site, "--memory", "512MB", *PATIENT, *(pair.flags if tls else ()), admin=True)
    gauge = loaded(served, tls)
    with ExitStack() as stack:
        speakers = speak(served, stack, 10, tls, stream_window=1000)
        for _ in range(100):
            for speaker in speakers:
                speaker.ask("/giant.csv")
        until(lambda: served.gate()["running"] == 1000, "all run")
        print(f"a stream costs {gauge.grown() / 1000 / KIB:.2f} KiB, its part of a connection included")
        assert gauge.grown() <= 1000 * 8 * KIB


def test_99_streams_go_on_beside_one_that_stands_still(serve: Serve, site: Path, tls: Tls, pair: Pair) -> None:
    """All have their turns: whoever stands still takes none."""
    served = serve(site, *PATIENT, *(pair.flags if tls else ()), admin=True)
    content = (site / "giant.csv").read_bytes()[: 1 << 20]
    with Speaker(served, WIDE, stream_window=STILL, grows=False, tls=tls) as speaker:
        still = speaker.ask("/giant.csv")
        speaker.wait(lambda: len(speaker.received[still].content) == STILL)
        others = [speaker.ask("/giant.csv", ("range", f"bytes=0-{(1 << 20) - 1}")) for _ in range(99)]
        for stream in others:
            speaker.open(1 << 20, stream)
        for stream in others:
            assert speaker.answer(stream).content == content
        assert len(speaker.received[still].content) == STILL
