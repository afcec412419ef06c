"""A debt belongs to the client's address, and honest clients do not notice it: over real sockets."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from hyperframe.frame import GoAwayFrame

from support.http2_rules import CALM, FLOOD_PARTS, HELLO, REQUEST, headers, rapid_reset
from support.raw_h2 import PREFACE, Http2Client, exchange_frames, frame, send_until_closed, settings, verdict
from support.servers import TIMEOUT_SECONDS, Client, Serve, ServerProcess, wait_until

RAPID_RESET = rapid_reset("/1.jpg")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a directory of ``small.txt`` and a hundred pictures that are larger than a window."""
    (tmp_path / "small.txt").write_bytes(b"hello\n")
    for number in range(100):
        with (tmp_path / f"{number}.jpg").open("wb") as file:
            file.truncate(1 << 20)
    return tmp_path


def flood(served: ServerProcess) -> int:
    """Flood until the connection is ended. Return the last stream that was processed."""
    found = send_until_closed(served, HELLO, map(RAPID_RESET, range(FLOOD_PARTS)))
    (goaway,) = [made for made in found if isinstance(made, GoAwayFrame)]
    assert goaway.error_code == CALM
    return goaway.last_stream_id


def test_a_client_that_reconnects_still_has_its_debt_and_is_ended_sooner(serve: Serve, site: Path) -> None:
    served = serve(site)
    first, second = flood(served), flood(served)
    assert second < first


def test_an_honest_client_at_the_address_of_an_attacker_is_served(serve: Serve, site: Path) -> None:
    """It may use a new connection of either protocol, or one from before."""
    served = serve(site)
    with Http2Client(served) as speaker, served.connect() as client:
        for _ in range(2):
            flood(served)
            assert served.get("/small.txt").content == b"hello\n"
            client.get("/small.txt")
            assert client.read_response().content == b"hello\n"
            assert speaker.get("/small.txt").content == b"hello\n"
            with Http2Client(served) as another:
                assert another.get("/small.txt").content == b"hello\n"
        assert not speaker.goaways


def test_a_hundred_pictures_that_are_scrolled_past_are_no_attack(serve: Serve, site: Path) -> None:
    """A browser starts a hundred streams and cancels them all before they are whole, five times in a row."""
    served = serve(site)
    with Http2Client(served, stream_window=65535, grows=False) as speaker:
        for _ in range(5):
            streams = [speaker.request(f"/{number}.jpg") for number in range(100)]
            speaker.wait(lambda: speaker.received[streams[0]].status == 200)  # noqa: B023 - it is asked at once
            for stream in streams:
                speaker.h2.reset_stream(stream, 8)
            speaker.flush()
            assert speaker.get("/small.txt").content == b"hello\n"
        assert not speaker.goaways


def asked(served: ServerProcess, target: str) -> Client:
    """Return a client that has sent a request on a connection of its own and has read nothing."""
    client = served.connect(receive_bytes=64 * 1024)
    client.get(target)
    return client


def test_hundreds_of_downloads_at_once_are_no_attack(serve: Serve, site: Path) -> None:
    """They stall, and hundreds more come. All are served, since running requests are no debt."""
    served = serve(site)
    with ExitStack() as stack:
        still = [stack.enter_context(asked(served, f"/{number % 100}.jpg")) for number in range(300)]
        assert all(client.read_head()[0] == 200 for client in still)
        more = [stack.enter_context(asked(served, "/small.txt")) for _ in range(300)]
        assert all(client.read_response().content == b"hello\n" for client in more)
        assert all(len(client.read_exactly(1 << 20)) == 1 << 20 for client in still)


def test_connections_that_come_at_once_to_a_client_in_debt_are_all_served(serve: Serve, site: Path) -> None:
    served = serve(site)
    flood(served)
    with ExitStack() as stack:
        clients = [stack.enter_context(asked(served, "/small.txt")) for _ in range(300)]
        assert all(client.read_response().content == b"hello\n" for client in clients)


def test_thousands_of_small_ranges_are_no_attack(serve: Serve, site: Path) -> None:
    served = serve(site)
    with Http2Client(served) as speaker, served.connect() as client:
        for start in range(0, 3000, 100):
            streams = [speaker.request("/0.jpg", ("range", f"bytes={at}-{at + 9}")) for at in range(start, start + 100)]
            assert all(speaker.response(stream).content == bytes(10) for stream in streams)
        for start in range(3000):
            client.get("/0.jpg", f"Range: bytes={start}-{start + 9}")
            assert client.read_response().status == 206
        assert not speaker.goaways


def test_connections_that_are_abandoned_at_once_do_not_block_others(serve: Serve, site: Path) -> None:
    """A client floods, leaves and reconnects, hundreds of times."""
    served = serve(site, admin=True)
    for number in range(400):
        with socket.create_connection((served.host, served.port), TIMEOUT_SECONDS) as connected:
            connected.sendall(HELLO + RAPID_RESET(0)[:4000])
        if number % 40 == 0:
            assert served.get("/small.txt").content == b"hello\n"
    assert served.get("/small.txt").content == b"hello\n"
    wait_until(lambda: served.status()["connections"]["open"] == 0, "all have gone")
    assert served.gate()["running"] == served.gate()["waiting"] == 0


def test_heads_that_are_large_and_finished_are_paid_for_over_http1_too(serve: Serve, site: Path) -> None:
    served = serve(site)
    with served.connect() as client:
        for _ in range(20_000):
            client.get("/small.txt", "If-None-Match: " + '"x",' * 3500)
            if client.read_response().status == 429:
                break
        else:
            pytest.fail("the client is never in debt")
    assert served.get("/small.txt").content == b"hello\n"


def test_behind_a_proxy_the_named_client_owes(serve: Serve, site: Path) -> None:
    """The proxy's connection and its other clients go on. The client in debt gets 429."""
    served = serve(site, "--trusted-proxy", "127.0.0.1")
    with Http2Client(served, window=1 << 20, stream_window=1000, grows=False) as proxy:

        def cancelled_often() -> int:
            for _ in range(50):
                proxy.h2.reset_stream(proxy.request("/1.jpg", ("x-forwarded-for", "203.0.113.9")), 8)
            return proxy.get("/small.txt", ("x-forwarded-for", "203.0.113.9")).status

        assert any(cancelled_often() == 429 for _ in range(200))
        assert proxy.get("/small.txt", ("x-forwarded-for", "203.0.113.10")).content == b"hello\n"
        assert not proxy.goaways
    with served.connect() as client:
        client.get("/small.txt", "X-Forwarded-For: 203.0.113.10")
        assert client.read_response().content == b"hello\n"
    served.wait_for_log("203.0.113.9", "429")


def test_behind_the_proxy_protocol_too(serve: Serve, site: Path) -> None:
    served = serve(site, "--proxy-protocol", "--trusted-proxy", "127.0.0.1")
    before = b"PROXY TCP4 203.0.113.9 203.0.113.1 5 80\r\n"
    found = send_until_closed(served, before + HELLO, map(RAPID_RESET, range(FLOOD_PARTS)))
    assert verdict([made for made in found if made.stream_id == 0]) == ("goaway", CALM)
    for client in (b"203.0.113.9", b"203.0.113.10"):
        hello = b"PROXY TCP4 " + client + b" 203.0.113.1 5 80\r\n" + PREFACE + settings()
        assert verdict(exchange_frames(served, hello, headers(*REQUEST[:3], (":path", "/small.txt")))) is None


def test_a_client_that_sends_on_after_the_end_of_its_connection_delays_nobody(serve: Serve, site: Path) -> None:
    """Bytes after a GOAWAY are read for a while, so that the client receives it; in turns, and not without end."""
    served = serve(site)
    with socket.create_connection((served.host, served.port), TIMEOUT_SECONDS) as connected:
        connected.sendall(HELLO + frame(1, 5, 0))  # of no stream: the end
        connected.settimeout(TIMEOUT_SECONDS)
        for _ in range(4):
            connected.sendall(bytes(16384))
        assert served.get("/small.txt").content == b"hello\n"
        with pytest.raises(ConnectionError):
            connected.sendall(bytes(1 << 28))
