"""A client that repeats one request, and another whose requests are always new: their answers must be equal.

A server remembers heads that differ in the range alone (:mod:`freight.server.known_heads`). A field of its own makes a
head new to it, and changes nothing in the answer.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import count

from support.servers import Client, ServerProcess

REPEATS = 3
"""How often :func:`check_alike` repeats each request. With one that is new there are as many answers and one."""

_numbers = count()
_DATE = re.compile(rb"\r\nDate: [^\r\n]+")
_TIMES = re.compile(r"^\S+Z | \d+\.\d{3}s |\[[^\]]+\]")


class Asker:
    """A client that stays connected for as long as the server lets it. ``version`` is that of its requests."""

    def __init__(self, server: ServerProcess, version: str = "1.1") -> None:
        self._server = server
        self._version = version
        self._client: Client | None = None

    def ask(self, target: str, *fields: str) -> bytes:
        """Return the bytes of the answer to a GET, without its date."""
        client = self._client = self._client or self._server.connect()
        client.get(target, *fields, version=self._version)
        answer = read_answer(client)
        if b"\r\nConnection: close\r\n" in answer:
            assert client.read_to_end() == b""
            self.close()
        return answer

    def ask_as_new(self, target: str, *fields: str) -> bytes:
        """Return the same for a head that the server does not know."""
        return self.ask(target, *fields, f"X-New: {next(_numbers)}")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.socket.close()
            self._client = None


def read_answer(client: Client) -> bytes:
    """Return the bytes of the next answer, without its date."""
    head = client.read_head_bytes() + b"\r\n\r\n"
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
    if length is not None:
        content = client.read_exactly(int(length[1]))
    elif b"\r\nTransfer-Encoding: chunked\r\n" in head:
        content = client.read_chunks()
    else:
        content = b"" if head.startswith(b"HTTP/1.1 304") else client.read_to_end()
    found, dates = _DATE.subn(b"", head)
    assert dates == 1
    return found + content


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def content_of(answer: bytes) -> bytes:
    """Return the content of an answer."""
    return answer.partition(b"\r\n\r\n")[2]


def check_alike(
    server: ServerProcess, target: str, heads: Iterator[tuple[str, ...]] | list[tuple[str, ...]], version: str = "1.1"
) -> list[bytes]:
    """Send each head, that is its fields, REPEATS times, and once with a field of its own. Return one answer to each.

    All answers to a head must be equal, and so must be the lines of the log.
    """
    server.clear_log_when_written()
    asker, other = Asker(server, version), Asker(server, version)
    answers = []
    try:
        for fields in heads:
            found = {asker.ask(target, *fields) for _ in range(REPEATS)} | {other.ask_as_new(target, *fields)}
            assert len(found) == 1, (fields, sorted(found)[:2])
            answers += found
    finally:
        asker.close()
        other.close()
    check_log(server, len(answers))
    return answers


def check_log(server: ServerProcess, heads: int) -> None:
    """Check that the log has a line for each answer of :func:`check_alike`, and that those to a head are equal."""
    server.wait_for_log("GET", count=(REPEATS + 1) * heads)
    lines = Counter(map(without_times, server.log))
    assert lines.total() == (REPEATS + 1) * heads
    odd = [line for line, times in lines.items() if times % (REPEATS + 1)]
    assert not odd


def without_times(line: str) -> str:
    """Return a line of the log without what differs between two equal requests: when, and for how long."""
    if not line.startswith("{"):
        return _TIMES.sub("", line)
    return json.dumps({name: value for name, value in json.loads(line).items() if name not in ("at", "seconds")})
