"""Fetching a status is bounded in time and memory, and an address may have several forms."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from statuses import running, status

from freight.config.types import Address
from freight.tools.top import fetch
from freight.tools.top.fetch import Unreachable, fetch_once, fetch_status, parse_admin_address

OK = b"HTTP/1.1 200 OK\r\n\r\n"
Answering = Callable[[Iterator[bytes]], Address]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that sends these pieces to its first client, and then closes."""
    with ExitStack() as stack:

        def start(pieces: Iterator[bytes]) -> Address:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                with listening.accept()[0] as client:
                    client.recv(1 << 16)
                    try:
                        for piece in pieces:
                            client.sendall(piece)
                    except OSError:
                        pass  # it has had enough

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            return Address("127.0.0.1", listening.getsockname()[1])

        yield start


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9443", Address("127.0.0.1", 9443)),
        ("10.0.0.5:9080", Address("10.0.0.5", 9080)),
        ("example.org:9080", Address("example.org", 9080)),
        ("[::1]:9080", Address("::1", 9080)),
        ("http://10.0.0.5:9080", Address("10.0.0.5", 9080)),
        ("http://10.0.0.5:9080/", Address("10.0.0.5", 9080)),
        ("http://[::1]:9080/status", Address("::1", 9080)),
    ],
)
def test_a_place_is_a_port_an_address_or_a_url(text: str, address: Address) -> None:
    assert parse_admin_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "example.org", "https://a:1", "http://a", "http://9080", "http://a:1/x", "user@a:1", "a b:\n1"],
)
def test_what_is_no_place_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an admin address; write 9080, 127\.0\.0\.1:9080 or http://"):
        parse_admin_address(text)


def test_an_answer_is_a_look(answering: Answering) -> None:
    content = json.dumps(status(running())).encode()
    assert len(fetch_once(answering(iter([OK, content]))).downloads) == 1


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([], "not reachable|not a freight server's answer"),
        ([OK, b"hello"], r"not a freight server's answer \(it is not an object of JSON\)"),
        ([OK, b"{}"], "'memory' is not an object"),
        ([b"HTTP/1.1 404 Not \x1b[2J\r\n\r\n"], r"no admin listener \(/status answers 404 Not \\x1b\[2J\)"),
        ([b"\x1b[2J\r\n"], r"not a freight server's answer \(\\x1b\[2J"),
        ([b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n"], "not a freight server's answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"], "not a freight server's answer"),
    ],
)
def test_a_response_that_is_no_status_is_reported(pieces: list[bytes], said: str, answering: Answering) -> None:
    with pytest.raises(Unreachable, match=said) as caught:
        fetch_status(answering(iter(pieces)))
    assert str(caught.value).isprintable()


def test_an_answer_without_end_is_read_up_to_a_bound(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "CONTENT_MAX", 1 << 20)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield OK
        while True:
            sent += 1 << 16
            yield b"[" * (1 << 16)

    with pytest.raises(Unreachable, match="it is longer than 1MiB"):
        fetch_status(answering(endless()))
    assert sent <= 16 << 20  # what the kernels between hold, and not more and more


@pytest.mark.parametrize("head", [OK, b"HTTP/1.1 200 OK\r\nX: "], ids=["content", "head"])
def test_a_response_that_trickles_in_times_out(
    head: bytes, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.5)
    over = threading.Event()

    def drops() -> Iterator[bytes]:
        yield head
        while not over.wait(0.05):
            yield b" "

    address = answering(drops())
    try:
        with pytest.raises(Unreachable, match="no answer"):
            fetch_once(address)
    finally:
        over.set()
