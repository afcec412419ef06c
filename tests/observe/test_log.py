"""The log: one line a request, whatever the request says, and never a reason to wait."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Entry, Level, Notice
from freight.observe.log import (
    JSON,
    TEXT,
    Format,
    Log,
    cut,
    json_line,
    json_notice,
    text_line,
    text_notice,
    write_notice,
)
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
        (
            replace(ENTRY, range="", status=503, refused="queue-full:per-client"),
            '2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 503 refused="queue-full:per-client" 10/10 0.004s complete',
        ),
    ],
)
def test_a_line_for_people(entry: Entry, line: str) -> None:
    assert text_line(entry) == line


def test_a_line_for_programs() -> None:
    assert json_line(ENTRY) == (
        '{"at": "2026-01-02T03:04:05Z", "client": "127.0.0.1", "method": "GET", "target": "/huge.csv", '
        '"version": "1.1", "status": 206, "range": "bytes=0-9", "sent": 10, "promised": 10, "seconds": 0.0041, '
        '"ended": "complete", "refused": ""}'
    )


def test_a_message_to_the_operator_has_time_and_level() -> None:
    notice = Notice(1_767_323_045.9, Level.WARNING, 'no "admin" listener')
    assert text_notice(notice) == '2026-01-02T03:04:05Z warning no "admin" listener'
    assert json_notice(notice) == (
        '{"at": "2026-01-02T03:04:05Z", "level": "warning", "message": "no \\"admin\\" listener"}'
    )


@pytest.mark.parametrize("form", [TEXT, JSON], ids=["text", "json"])
@given(st.text())
def test_a_message_to_the_operator_is_one_line_whatever_is_in_it(form: Format, message: str) -> None:
    line = form.notice(Notice(0.0, Level.INFO, message))
    assert not [character for character in line if unicodedata.category(character) == "Cc"]


@pytest.mark.parametrize("form", [TEXT, JSON], ids=["text", "json"])
def test_a_process_without_a_log_writes_the_same_message_at_once(pipe: tuple[int, int], form: Format) -> None:
    write_notice(pipe[1], form, Level.ERROR, "worker 1 failed")
    journal = Log(pipe[1], form)
    journal.say(Level.ERROR, "worker 1 failed")
    journal.close()
    os.close(pipe[1])
    one, other = read_all(pipe[0]).splitlines()
    assert "worker 1 failed" in one and "error" in one
    assert re.sub(r"\d", "", one) == re.sub(r"\d", "", other)  # but for the time


def test_a_message_that_nobody_reads_harms_nobody(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    write_notice(pipe[1], TEXT, Level.INFO, "stopped")


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
    journal = Log(pipe[1], TEXT)
    for number in range(300):
        journal.record(replace(ENTRY, target=f"/{number}"))
    journal.warn("a word to the operator")
    journal.close()
    os.close(pipe[1])
    *lines, last = read_all(pipe[0]).splitlines()
    assert lines == [text_line(replace(ENTRY, target=f"/{number}")) for number in range(300)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning a word to the operator", last)


def test_lines_that_a_slow_reader_lost_are_counted(pipe: tuple[int, int]) -> None:
    """No line is unaccounted for: those that came and those that are said to be lost are all there were."""
    log, count = Log(pipe[1], TEXT), 30_000
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
        return [int(found) for found in re.findall(rb" warning (\d+) log lines were lost", text)]

    try:
        until(told, "all lines came or were said to be lost")
        assert sum(lost()) == log.lost_total > 0
    finally:
        os.close(reader)
        log.close()


def test_a_queue_that_nobody_reads_is_bounded_in_bytes(pipe: tuple[int, int]) -> None:
    """However long the targets of a client are: those are cut, and what is kept is counted in bytes."""
    most = 200_000
    entry = replace(ENTRY, target="/" + "x" * 16_000, range="bytes=" + "0-1," * 3_000)
    gc.collect()
    tracemalloc.start()
    try:
        log = Log(pipe[1], TEXT, most)
        for number in range(5_000):
            log.record(replace(entry, target=f"{entry.target}{number}"))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    os.close(pipe[0])
    log.close()
    assert held < 2 * most


def test_a_long_field_is_cut_and_says_so() -> None:
    assert cut("/short") == "/short"
    assert cut("x" * 2000) == cut(cut("x" * 2000)) == "x" * 1024 + "...[976 more]"


def lost_lines(text: str) -> int:
    """How many lines a log says were lost."""
    return sum(map(int, re.findall(r" warning (\d+) log lines were lost", text)))


def test_a_log_that_cannot_be_written_for_a_while_goes_on_and_says_what_was_lost(tmp_path: Path) -> None:
    """A disk that is full (write(2), ENOSPC), and has room again later."""
    path = tmp_path / "log"
    fd = os.open("/dev/full", os.O_WRONLY)
    log = Log(fd, TEXT)
    for _ in range(10):
        log.record(ENTRY)
    disk = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(disk, fd)
    whole = text_line(ENTRY)

    def accounted() -> int:
        text = path.read_text()
        return text.splitlines().count(whole) + lost_lines(text)

    until(lambda: accounted() == 10, "each line is there or said to be lost")
    log.record(ENTRY)
    until(lambda: path.read_text().endswith(f"{whole}\n"), "the log goes on")
    log.close()
    os.close(fd)
    os.close(disk)


def test_a_line_that_was_cut_by_a_full_disk_stays_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # EFBIG behind so many bytes
    try:
        log = Log(fd, TEXT)
        log.record(ENTRY)
        until(lambda: path.stat().st_size == 20, "the beginning of the line is written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    whole = text_line(ENTRY)
    until(lambda: lost_lines(path.read_text()) == 1, "the log says that a line was lost")
    log.record(ENTRY)
    log.close()
    os.close(fd)
    first, second, third = path.read_text().splitlines()
    assert first == whole[:20] and third == whole and "1 log lines were lost" in second


def test_a_reader_that_went_does_not_end_anything(pipe: tuple[int, int]) -> None:
    log = Log(pipe[1], TEXT)
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
    server.signal(signal.SIGHUP)
    server.await_log("reload")
    server.signal()
    assert server.wait() == 0
    *entries, reloaded, stopped = map(json.loads, server.log)  # all of it is JSON
    assert (reloaded["level"], reloaded["message"]) == ("info", "nothing to reload: there is no --config file")
    assert stopped.keys() == {"at", "level", "message"} and stopped["message"].startswith("stopped")
    assert len(entries) == 3
    assert [(entry["status"], entry["sent"], entry["promised"], entry["ended"]) for entry in entries[:1]] == [
        (206, 2, 2, "complete")
    ]
    assert entries[0]["range"] == "bytes=1-2"
    assert (entries[1]["status"], entries[1]["target"]) == (404, "/nothing%0A%1b")
    assert (entries[2]["status"], entries[2]["ended"]) == (400, "refused")
