"""Asking is bounded in time and memory, whoever answers; an address is taken as people write it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from statuses import running, status

from freight.kinds import Address
from freight.top import ask
from freight.top.ask import Unseen, look, look_once, parse_place

OK = b"HTTP/1.1 200 OK\r\n\r\n"
Answering = Callable[[Iterator[bytes]], Address]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that sends these pieces to the first who asks, and then closes."""
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
    assert parse_place(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "example.org", "https://a:1", "http://a", "http://9080", "http://a:1/x", "user@a:1", "a b:\n1"],
)
def test_what_is_no_place_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an admin address; write 9080, 127\.0\.0\.1:9080 or http://"):
        parse_place(text)


def test_an_answer_is_a_look(answering: Answering) -> None:
    content = json.dumps(status(running())).encode()
    assert len(look_once(answering(iter([OK, content]))).downloads) == 1


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([], "not reachable|not a freight server's answer"),
        ([OK, b"hello"], r"not a freight server's answer \(it is not an object of JSON\)"),
        ([OK, b"{}"], "'memory' is not an object"),
        ([b"HTTP/1.1 404 Not \x1b[2J\r\n\r\n"], r"no admin listener \(/status is answered 404 Not \\x1b\[2J\)"),
        ([b"\x1b[2J\r\n"], r"not a freight server's answer \(\\x1b\[2J"),
        ([b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n"], "not a freight server's answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"], "not a freight server's answer"),
    ],
)
def test_what_is_no_answer_of_a_server_is_told(pieces: list[bytes], said: str, answering: Answering) -> None:
    with pytest.raises(Unseen, match=said) as caught:
        look(answering(iter(pieces)))
    assert str(caught.value).isprintable()


def test_an_answer_without_end_is_read_up_to_a_bound(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "CONTENT_MAX", 1 << 20)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield OK
        while True:
            sent += 1 << 16
            yield b"[" * (1 << 16)

    with pytest.raises(Unseen, match="it is longer than 1MiB"):
        look(answering(endless()))
    assert sent <= 16 << 20  # what the kernels between hold, and not more and more


@pytest.mark.parametrize("head", [OK, b"HTTP/1.1 200 OK\r\nX: "], ids=["content", "head"])
def test_an_answer_that_comes_drop_by_drop_is_not_waited_for(
    head: bytes, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "ASK_SECONDS", 0.5)
    over = threading.Event()

    def drops() -> Iterator[bytes]:
        yield head
        while not over.wait(0.05):
            yield b" "

    address = answering(drops())
    try:
        with pytest.raises(Unseen, match="no answer"):
            look_once(address)
    finally:
        over.set()
