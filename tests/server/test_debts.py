"""What a client owes is its address's, and who is honest does not feel it: over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hyperframe.frame import GoAwayFrame

from http2_rules import ASKED, CALM, FLOOD_PARTS, HELLO, head, word
from serving import PATIENCE_SECONDS, Client, Served, until
from speaking import PREFACE, Speaker, converse, frame, pour, settings, verdict

Serve = Callable[..., Served]


def rapid_reset(part: int) -> bytes:
    """A hundred pictures, each begun and cancelled."""
    streams = range(200 * part + 1, 200 * part + 201, 2)
    return b"".join(head(*ASKED[:3], (":path", "/1.jpg"), stream=n) + frame(3, 0, n, word(8)) for n in streams)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """``small.txt``, and a hundred pictures that are larger than a window."""
    (tmp_path / "small.txt").write_bytes(b"hello\n")
    for number in range(100):
        with (tmp_path / f"{number}.jpg").open("wb") as file:
            file.truncate(1 << 20)
    return tmp_path


def flood(served: Served) -> int:
    """Flood until the connection is ended; the last stream that was looked at."""
    found = pour(served, HELLO, map(rapid_reset, range(FLOOD_PARTS)))
    (goaway,) = [made for made in found if isinstance(made, GoAwayFrame)]
    assert goaway.error_code == CALM
    return goaway.last_stream_id


def test_who_connects_again_finds_its_debt_and_is_ended_sooner(serve: Serve, site: Path) -> None:
    served = serve(site)
    first, second = flood(served), flood(served)
    assert second < first


def test_who_is_honest_at_the_address_of_an_attacker_is_served(serve: Serve, site: Path) -> None:
    """By a new connection of either wire, and by one that was there before."""
    served = serve(site)
    with Speaker(served) as speaker, served.connect() as client:
        for _ in range(2):
            flood(served)
            assert served.get("/small.txt").content == b"hello\n"
            client.get("/small.txt")
            assert client.answer().content == b"hello\n"
            assert speaker.get("/small.txt").content == b"hello\n"
            with Speaker(served) as another:
                assert another.get("/small.txt").content == b"hello\n"
        assert not speaker.goaways


def test_a_hundred_pictures_that_are_scrolled_past_are_no_attack(serve: Serve, site: Path) -> None:
    """A browser begins a hundred streams, and cancels all of them before they are whole; five times at once."""
    served = serve(site)
    with Speaker(served, stream_window=65535, grows=False) as speaker:
        for _ in range(5):
            streams = [speaker.ask(f"/{number}.jpg") for number in range(100)]
            speaker.wait(lambda: speaker.received[streams[0]].status == 200)  # noqa: B023 - it is asked at once
            for stream in streams:
                speaker.h2.reset_stream(stream, 8)
            speaker.flush()
            assert speaker.get("/small.txt").content == b"hello\n"
        assert not speaker.goaways


def asked(served: Served, target: str) -> Client:
    """A client that has asked, on a connection of its own, and has read nothing."""
    client = served.connect(receive_bytes=64 * 1024)
    client.get(target)
    return client


def test_hundreds_of_downloads_at_once_are_no_attack(serve: Serve, site: Path) -> None:
    """They stand still, and hundreds more come: all get theirs, and none of them is in debt for what runs."""
    served = serve(site)
    with ExitStack() as stack:
        still = [stack.enter_context(asked(served, f"/{number % 100}.jpg")) for number in range(300)]
        assert all(client.head()[0] == 200 for client in still)
        more = [stack.enter_context(asked(served, "/small.txt")) for _ in range(300)]
        assert all(client.answer().content == b"hello\n" for client in more)
        assert all(len(client.take(1 << 20)) == 1 << 20 for client in still)


def test_connections_that_come_at_once_to_a_client_in_debt_are_all_served(serve: Serve, site: Path) -> None:
    served = serve(site)
    flood(served)
    with ExitStack() as stack:
        clients = [stack.enter_context(asked(served, "/small.txt")) for _ in range(300)]
        assert all(client.answer().content == b"hello\n" for client in clients)


def test_thousands_of_small_ranges_are_no_attack(serve: Serve, site: Path) -> None:
    served = serve(site)
    with Speaker(served) as speaker, served.connect() as client:
        for start in range(0, 3000, 100):
            streams = [speaker.ask("/0.jpg", ("range", f"bytes={at}-{at + 9}")) for at in range(start, start + 100)]
            assert all(speaker.answer(stream).content == bytes(10) for stream in streams)
        for start in range(3000):
            client.get("/0.jpg", f"Range: bytes={start}-{start + 9}")
            assert client.answer().status == 206
        assert not speaker.goaways


def test_connections_that_are_left_at_once_keep_no_other_from_being_served(serve: Serve, site: Path) -> None:
    """A client floods, leaves, and comes again, hundreds of times."""
    served = serve(site, admin=True)
    for number in range(400):
        with socket.create_connection((served.host, served.port), PATIENCE_SECONDS) as connected:
            connected.sendall(HELLO + rapid_reset(0)[:4000])
        if number % 40 == 0:
            assert served.get("/small.txt").content == b"hello\n"
    assert served.get("/small.txt").content == b"hello\n"
    until(lambda: served.status()["connections"]["open"] == 0, "all have gone")
    assert served.gate()["running"] == served.gate()["waiting"] == 0


def test_heads_that_are_large_and_finished_are_paid_for_over_http1_too(serve: Serve, site: Path) -> None:
    served = serve(site)
    with served.connect() as client:
        for _ in range(20_000):
            client.get("/small.txt", "If-None-Match: " + '"x",' * 3500)
            if client.answer().status == 429:
                break
        else:
            pytest.fail("it could go on without end")
    assert served.get("/small.txt").content == b"hello\n"


def test_behind_a_proxy_it_is_the_true_client_that_owes(serve: Serve, site: Path) -> None:
    """The proxy's one connection goes on, and so do its other clients; the one in debt is answered 429."""
    served = serve(site, "--trusted-proxy", "127.0.0.1")
    with Speaker(served, window=1 << 20, stream_window=1000, grows=False) as proxy:

        def cancelled_often() -> int:
            for _ in range(50):
                proxy.h2.reset_stream(proxy.ask("/1.jpg", ("x-forwarded-for", "203.0.113.9")), 8)
            return proxy.get("/small.txt", ("x-forwarded-for", "203.0.113.9")).status

        assert any(cancelled_often() == 429 for _ in range(200))
        assert proxy.get("/small.txt", ("x-forwarded-for", "203.0.113.10")).content == b"hello\n"
        assert not proxy.goaways
    with served.connect() as client:
        client.get("/small.txt", "X-Forwarded-For: 203.0.113.10")
        assert client.answer().content == b"hello\n"
    served.await_log("203.0.113.9", "429")


def test_behind_the_proxy_protocol_too(serve: Serve, site: Path) -> None:
    served = serve(site, "--proxy-protocol", "--trusted-proxy", "127.0.0.1")
    before = b"PROXY TCP4 203.0.113.9 203.0.113.1 5 80\r\n"
    found = pour(served, before + HELLO, map(rapid_reset, range(FLOOD_PARTS)))
    assert verdict([made for made in found if made.stream_id == 0]) == ("goaway", CALM)
    for client in (b"203.0.113.9", b"203.0.113.10"):
        hello = b"PROXY TCP4 " + client + b" 203.0.113.1 5 80\r\n" + PREFACE + settings()
        assert verdict(converse(served, hello, head(*ASKED[:3], (":path", "/small.txt")))) is None


def test_who_pours_on_when_its_connection_has_ended_keeps_nobody_waiting(serve: Serve, site: Path) -> None:
    """What comes behind a GOAWAY is read for a while, so that it can be seen; in turns, and not without end."""
    served = serve(site)
    with socket.create_connection((served.host, served.port), PATIENCE_SECONDS) as connected:
        connected.sendall(HELLO + frame(1, 5, 0))  # of no stream: the end
        connected.settimeout(PATIENCE_SECONDS)
        for _ in range(4):
            connected.sendall(bytes(16384))
        assert served.get("/small.txt").content == b"hello\n"
        with pytest.raises(ConnectionError):
            connected.sendall(bytes(1 << 28))
