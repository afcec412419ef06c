"""The log: one line a request, whatever the request says, and never a reason to wait."""

from __future__ import annotations

import json
import os
import signal
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Entry
from freight.observe.log import Log, json_line, text_line
from serving import Served, until

ENTRY = Entry(
    at=1_767_323_045.9,
    seconds=0.0041,
    client="127.0.0.1",
    method="GET",
    target="/huge.csv",
    version=(1, 1),
    status=206,
    range="bytes=0-9",
    sent=10,
    promised=10,
    ended="complete",
)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (ENTRY, '2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 206 range="bytes=0-9" 10/10 0.004s complete'),
        (
            replace(ENTRY, range="", status=200, promised=None, ended="peer-gone"),
            '2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 200 10/- 0.004s peer-gone',
        ),
        (
            replace(ENTRY, client="2001:db8::1", target='/a"b\\c\x1b[31m\x85', range=""),
            '2026-01-02T03:04:05Z 2001:db8::1 "GET /a\\"b\\\\c\\x1b[31m\\x85" 206 10/10 0.004s complete',
        ),
    ],
)
def test_a_line_for_people(entry: Entry, line: str) -> None:
    assert text_line(entry) == line


def test_a_line_for_programs() -> None:
    assert json_line(ENTRY) == (
        '{"at": "2026-01-02T03:04:05Z", "client": "127.0.0.1", "method": "GET", "target": "/huge.csv", '
        '"version": "1.1", "status": 206, "range": "bytes=0-9", "sent": 10, "promised": 10, "seconds": 0.0041, '
        '"ended": "complete"}'
    )


LATIN_1 = st.text(st.characters(max_codepoint=0xFF))


@pytest.mark.parametrize("line", [text_line, json_line])
@given(method=LATIN_1, target=LATIN_1, wanted=LATIN_1)
def test_a_line_never_holds_a_control_character(
    line: Callable[[Entry], str], method: str, target: str, wanted: str
) -> None:
    """Neither a line of one's own can be made up in the log, nor the terminal of who reads it be steered."""
    written = line(replace(ENTRY, method=method, target=target, range=wanted))
    assert not [character for character in written if unicodedata.category(character) == "Cc"]
    assert len(written.splitlines()) == 1


@given(method=LATIN_1, target=LATIN_1, wanted=LATIN_1)
def test_a_line_for_programs_says_exactly_what_was_asked(method: str, target: str, wanted: str) -> None:
    read = json.loads(json_line(replace(ENTRY, method=method, target=target, range=wanted)))
    assert (read["method"], read["target"], read["range"]) == (method, target, wanted)


@given(LATIN_1, LATIN_1)
def test_two_targets_never_have_the_same_line(one: str, other: str) -> None:
    lines = text_line(replace(ENTRY, target=one)), text_line(replace(ENTRY, target=other))
    assert (lines[0] == lines[1]) is (one == other)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass  # the test has closed it


def read_all(fd: int) -> str:
    """All that comes until nobody can write any more."""
    text = b""
    while data := os.read(fd, 1 << 20):
        text += data
    return text.decode()


def test_all_that_was_recorded_is_written_in_order_by_the_close(pipe: tuple[int, int]) -> None:
    journal = Log(pipe[1], text_line)
    for number in range(300):
        journal.record(replace(ENTRY, target=f"/{number}"))
    journal.warn("a word to the operator")
    journal.close()
    os.close(pipe[1])
    lines = read_all(pipe[0]).splitlines()
    assert lines == [text_line(replace(ENTRY, target=f"/{number}")) for number in range(300)] + [
        "a word to the operator"
    ]


def test_lines_that_a_slow_reader_lost_are_counted(pipe: tuple[int, int]) -> None:
    """No line is unaccounted for: those that came and those that are said to be lost are all there were."""
    log, count = Log(pipe[1], text_line), 30_000
    for number in range(count):  # nobody reads: the pipe fills, then the queue, and recording waits for neither
        log.record(replace(ENTRY, target=f"/{number}"))
    reader = os.dup(pipe[0])
    os.set_blocking(reader, False)
    text = bytearray()

    def told() -> bool:
        try:
            text.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return b"lost" in text and text.endswith(b"\n") and text.count(b"\n") - len(lost()) + sum(lost()) == count

    def lost() -> list[int]:
        return [int(line.split()[0]) for line in text.splitlines() if b"lost" in line]

    try:
        until(told, "all lines came or were said to be lost")
        assert sum(lost()) > 0
    finally:
        os.close(reader)
        log.close()


def test_a_reader_that_went_does_not_end_anything(pipe: tuple[int, int]) -> None:
    log = Log(pipe[1], text_line)
    os.close(pipe[0])
    for _ in range(30_000):
        log.record(ENTRY)
    log.close()


def test_a_stopped_log_reader_stops_neither_the_serving_nor_the_exit(
    tmp_path: Path, serve: Callable[..., Served], pipe: tuple[int, int]
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    server = serve(tmp_path, log_fd=pipe[1])
    target = "/a.txt?" + "x" * 4000
    with server.connect() as client:
        for _ in range(100):  # six times what a pipe holds
            client.get(target)
            assert client.answer().content == b"hello"
        server.signal(signal.SIGTERM)
        assert client.rest() == b""
    assert server.wait() == 0


def test_the_log_of_a_server_is_json_when_it_is_asked_for(tmp_path: Path, serve: Callable[..., Served]) -> None:
    (tmp_path / "a.txt").write_text("hello")
    server = serve(tmp_path, "--log-format", "json")
    server.get("/a.txt", "Range: bytes=1-2")
    server.get("/nothing%0A%1b")
    with server.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        client.rest()
    entries = [json.loads(server.await_log("{", count=number)) for number in (1, 2, 3)]
    assert [(entry["status"], entry["sent"], entry["promised"], entry["ended"]) for entry in entries[:1]] == [
        (206, 2, 2, "complete")
    ]
    assert entries[0]["range"] == "bytes=1-2"
    assert (entries[1]["status"], entries[1]["target"]) == (404, "/nothing%0A%1b")
    assert (entries[2]["status"], entries[2]["ended"]) == (400, "refused")
