"""Repeated heads in any pieces: several in one packet, and one in two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.repeats import content_of, read_answer
from support.servers import Client, ServerProcess, wait_until

CONTENT = os.urandom(10_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server for all tests here, since none changes it."""
    root = tmp_path_factory.mktemp("site")
    (root / "file.bin").write_bytes(CONTENT)
    with closing(ServerProcess((str(root),))) as server:
        yield server


def test_pipelined_heads_are_answered_in_their_order(shared: ServerProcess) -> None:
    starts = [number * 31 for number in range(50)]
    with shared.connect() as client:
        for times in (1, len(starts)):
            heads = [f"GET /file.bin HTTP/1.1\r\nHost: x\r\nRange: bytes={at}-{at + 9}\r\n\r\n" for at in starts]
            client.send("".join(heads[:times]).encode())
            for at in starts[:times]:
                assert content_of(read_answer(client)) == CONTENT[at : at + 10]


def unread_bytes(server: ServerProcess, client: Client) -> int:
    """Return how many bytes of a client the server has not read (/proc/net/tcp)."""
    ports = (f":{server.port:04X}", f":{client.socket.getsockname()[1]:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if (words[1][-5:], words[2][-5:]) == ports:
            return int(words[4].partition(":")[2], 16)
    raise AssertionError("there is no such connection")


def test_a_head_in_two_packets_wherever_it_is_cut(shared: ServerProcess) -> None:
    head = b"GET /file.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=12-345\r\n\r\n"
    with shared.connect() as client:
        for cut in range(len(head), 0, -1):
            client.send(head[:cut])
            if cut < len(head):
                wait_until(lambda: unread_bytes(shared, client) == 0, "the first packet was read")
                client.send(head[cut:])
            assert content_of(read_answer(client)) == CONTENT[12:346]
            client.send(head)
            assert content_of(read_answer(client)) == CONTENT[12:346]


def test_a_known_head_and_a_part_of_the_next(shared: ServerProcess) -> None:
    head = b"GET /file.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=12-345\r\n\r\n"
    with shared.connect() as client:
        client.send(head + head + head[:30])
        for _ in range(2):
            assert content_of(read_answer(client)) == CONTENT[12:346]
        client.send(head[30:] + head)
        for _ in range(2):
            assert content_of(read_answer(client)) == CONTENT[12:346]
