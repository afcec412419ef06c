"""Heads that equal an earlier one but for their range: each gets the answer that it would get alone."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.raw_h2 import PREFACE
from support.servers import Client, Serve, ServerProcess, assert_nothing_for

CONTENT = bytes(range(256)) * 40
REPEATS = 5
"""How often a head is sent: once a second the server looks its path up, and plans the answer to one of them."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server for all tests here, since none changes it."""
    root = tmp_path_factory.mktemp("site")
    (root / "a.bin").write_bytes(CONTENT)
    with closing(ServerProcess((str(root),))) as served:
        yield served


def ask(client: Client, *fields: str) -> tuple[int, bytes]:
    client.get("/a.bin", *fields)
    answer = client.read_response()
    return answer.status, answer.content


def is_readable(client: Client) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])


@pytest.mark.parametrize("fields", [('If-Range: "old"', "Range: bytes=0-4"), ("Range: bytes=5-2",)])
def test_a_range_that_is_ignored_is_ignored_each_time(shared: ServerProcess, fields: tuple[str, ...]) -> None:
    with shared.connect() as client:
        for _ in range(REPEATS):
            assert ask(client, *fields) == (200, CONTENT)


def test_a_range_that_is_ignored_changes_nothing_for_others(shared: ServerProcess) -> None:
    with shared.connect() as client:
        for _ in range(REPEATS):
            assert ask(client, "Range: bytes=5-2") == (200, CONTENT)
            assert ask(client, "Range: bytes=2-5") == (206, CONTENT[2:6])


def test_an_unfinished_head_is_not_answered_though_a_head_as_long_was(shared: ServerProcess) -> None:
    """The parser skips empty lines before a head, so its size says nothing about where it was split."""
    unfinished = b"\r\nGET /a.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4\r\n"
    with shared.connect() as client:
        for _ in range(REPEATS):
            client.send(unfinished)
            assert_nothing_for(0.05, lambda: is_readable(client), "an answer to an unfinished head")
            client.send(b"\r\n")
            assert client.read_response().content == CONTENT[:5]


def test_http_2_does_not_follow_a_known_head(shared: ServerProcess) -> None:
    for _ in range(REPEATS):
        with shared.connect() as client:
            assert ask(client, "Range: bytes=1-2") == (206, CONTENT[1:3])
            client.send(PREFACE)
            assert client.read_response().status == 505


def test_a_known_head_is_answered_though_a_rule_adds_percent_signs(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    config = tmp_path / "freight.toml"
    config.write_text('[[rule]]\nmatch = "/a.bin"\nheaders = { "X-%d%" = "100%s", "X-Content-Length" = "5" }\n')
    with serve(tmp_path, "--config", str(config)).connect() as client:
        for size in (5, 6, 7, 8, 9):
            client.get("/a.bin", f"Range: bytes=0-{size - 1}")
            answer = client.read_response()
            assert (answer.content, answer.fields["x-%d%"]) == (CONTENT[:size], "100%s")
            assert answer.fields["x-content-length"] == "5"
