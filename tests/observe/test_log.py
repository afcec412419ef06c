"""The log: one line for each request, whatever its fields, and it never blocks the server."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import resource
import select
import signal
import threading
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Entry, Level, Notice, RequestDetails
from freight.observe.line_writer import LineWriter
from freight.observe.log import (
    JSON,
    TEXT,
    Format,
    Log,
    json_line,
    json_notice,
    shorten,
    text_line,
    text_notice,
    write_notice,
)
from support.entries import ENTRY
from support.servers import TIMEOUT_SECONDS, Serve, wait_until


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
            replace(ENTRY, range="", status=503, reject_code="queue-full:max-per-client"),
            (
                '2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 503 refused="queue-full:max-per-client" 10/10 0.004s '
                "complete"
            ),
        ),
    ],
)
def test_a_line_of_text(entry: Entry, line: str) -> None:
    assert text_line(entry) == line


def test_a_line_of_json() -> None:
    assert json_line(ENTRY) == (
        '{"at": "2026-01-02T03:04:05Z", "client": "127.0.0.1", "method": "GET", "target": "/huge.csv", '
        '"version": "1.1", "status": 206, "range": "bytes=0-9", "sent": 10, "promised": 10, "seconds": 0.0041, '
        '"ended": "complete", "refused": "", "user_agent": "", "referer": "", "user": "", "request_id": "", '
        '"tls": false}'
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
    journal.notice(Level.ERROR, "worker 1 failed")
    journal.close()
    os.close(pipe[1])
    one, other = read_all(pipe[0]).splitlines()
    assert "worker 1 failed" in one and "error" in one
    assert re.sub(r"\d", "", one) == re.sub(r"\d", "", other)  # but for the time


def test_a_message_without_a_reader_is_no_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    write_notice(pipe[1], TEXT, Level.INFO, "stopped")


LATIN_1 = st.text(st.characters(max_codepoint=0xFF))


@pytest.mark.parametrize("line", [text_line, json_line])
@given(method=LATIN_1, target=LATIN_1, wanted=LATIN_1)
def test_a_line_never_holds_a_control_character(
    line: Callable[[Entry], str], method: str, target: str, wanted: str
) -> None:
    """A client can neither forge a line nor send commands to the terminal of the operator who reads the log."""
    written = line(replace(ENTRY, method=method, target=target, range=wanted))
    assert not [character for character in written if unicodedata.category(character) == "Cc"]
    assert len(written.splitlines()) == 1


@given(method=LATIN_1, target=LATIN_1, wanted=LATIN_1)
def test_a_line_of_json_has_the_exact_request(method: str, target: str, wanted: str) -> None:
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
    """Return everything until all writers have closed."""
    text = b""
    while data := os.read(fd, 1 << 20):
        text += data
    return text.decode()


def test_everything_recorded_is_written_in_order_before_close_returns(pipe: tuple[int, int]) -> None:
    journal = Log(pipe[1], TEXT)
    for number in range(300):
        journal.record(replace(ENTRY, target=f"/{number}"))
    journal.warn("a message to the operator")
    journal.close()
    os.close(pipe[1])
    *lines, last = read_all(pipe[0]).splitlines()
    assert lines == [text_line(replace(ENTRY, target=f"/{number}")) for number in range(300)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ warning a message to the operator", last)


def test_lines_that_a_slow_reader_lost_are_counted(pipe: tuple[int, int]) -> None:
    """The lines that arrived and those reported as lost are all the lines."""
    log, count = Log(pipe[1], TEXT), 30_000
    for number in range(count):  # the pipe fills, then the queue, and record() waits for neither
        log.record(replace(ENTRY, target=f"/{number}"))
    reader = os.dup(pipe[0])
    os.set_blocking(reader, False)
    text = bytearray()

    def is_complete() -> bool:
        try:
            text.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return b"lost" in text and text.endswith(b"\n") and text.count(b"\n") - len(lost()) + sum(lost()) == count

    def lost() -> list[int]:
        return [int(number) for number in re.findall(rb" warning (\d+) log lines were lost", text)]

    try:
        wait_until(is_complete, "all lines have arrived or were reported as lost")
        assert sum(lost()) == log.lost_total > 0
    finally:
        os.close(reader)
        log.close()


@pytest.mark.parametrize("details", [False, True])
def test_the_queue_is_limited_in_bytes(pipe: tuple[int, int], details: bool) -> None:
    """Long targets of clients are shortened, and what is kept is counted in bytes."""
    max_bytes = 200_000
    entry = replace(ENTRY, target="/" + "x" * 16_000, range="bytes=" + "0-1," * 3_000)
    gc.collect()
    tracemalloc.start()
    try:
        log = Log(pipe[1], TEXT, max_bytes)
        for number in range(5_000):
            texts = RequestDetails(f"{number:0256}", f"{-number:0256}") if details else None
            log.record(replace(entry, target=f"{entry.target}{number}", details=texts, request_id=f"{number:0128}"))
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    os.close(pipe[0])
    log.close()
    assert traced < 2 * max_bytes


def test_a_long_field_is_shortened_and_states_by_how_much() -> None:
    assert shorten("/short") == "/short"
    assert shorten("x" * 2000) == shorten(shorten("x" * 2000)) == "x" * 1024 + "...[976 more]"


def lost_lines(text: str) -> int:
    """Return how many lines a log reports as lost."""
    return sum(map(int, re.findall(r" warning (\d+) log lines were lost", text)))


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def numbered(count: int) -> list[Entry]:
    return [replace(ENTRY, target=f"/{number}") for number in range(count)]


def test_a_log_that_could_not_be_written_is_complete_once_there_is_space(tmp_path: Path) -> None:
    """The disk is full (write(2), ENOSPC), and later has space again: the lines are kept, in order."""
    path = tmp_path / "log"
    fd = os.open("/dev/full", os.O_WRONLY)
    log = Log(fd, TEXT)
    for entry in numbered(10):
        log.record(entry)
    disk = opened(path)
    os.dup2(disk, fd)
    wait_until(lambda: path.read_text().count("\n") == 10, "the log continues")
    log.close()
    os.close(fd)
    os.close(disk)
    assert path.read_text().splitlines() == [text_line(entry) for entry in numbered(10)]
    assert log.lost_total == 0


@pytest.mark.parametrize("form", [TEXT, JSON], ids=["text", "json"])
def test_one_line_in_the_place_of_the_lost_ones_has_their_number(tmp_path: Path, form: Format) -> None:
    """What is kept for a log that cannot be written is limited in bytes."""
    path = tmp_path / "log"
    fd = os.open("/dev/full", os.O_WRONLY)
    log = Log(fd, form, 10_000)
    for entry in numbered(100):
        log.record(entry)
    disk = opened(path)
    os.dup2(disk, fd)
    wait_until(lambda: "lost" in path.read_text(), "the log reports the lost lines")
    wait_until(lambda: log._free_bytes == 10_000, "the memory of the written lines is free")
    log.record(replace(ENTRY, target="/next"))
    log.close()
    os.close(fd)
    os.close(disk)
    *kept, lost, last = path.read_text().splitlines()
    assert kept == [form.entry(entry) for entry in numbered(len(kept))] and 10 < len(kept) < 100
    assert f"{100 - len(kept)} log lines were lost" in lost and "warning" in lost
    assert last == form.entry(replace(ENTRY, target="/next"))
    assert log.lost_total == 100 - len(kept)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EPIPE, errno.EINTR])
def test_a_log_continues_after_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path, write, failures = tmp_path / "log", os.write, [number] * 2
    fd = opened(path)

    def write_or_fail(at: int, data: bytes) -> int:
        if at == fd and failures:
            raise OSError(failures.pop(), "as injected")
        return write(at, data)

    monkeypatch.setattr(os, "write", write_or_fail)
    log = Log(fd, TEXT)
    for entry in numbered(3):
        log.record(entry)
    wait_until(lambda: path.read_text().count("\n") == 3, "the log continues")
    log.close()
    os.close(fd)
    assert path.read_text().splitlines() == [text_line(entry) for entry in numbered(3)]


def test_a_pipe_that_does_not_block_loses_no_line(pipe: tuple[int, int]) -> None:
    """Another program shares the pipe, and has made it non-blocking (write(2), EAGAIN). Its reader comes late."""
    os.set_blocking(pipe[1], False)
    log = Log(pipe[1], TEXT)
    entries = numbered(3_000)  # several times the capacity of a pipe, but less than the queue
    for entry in entries:
        log.record(entry)
    reader = threading.Thread(target=lambda: text.append(read_all(pipe[0])))
    text: list[str] = []
    reader.start()
    log.close(TIMEOUT_SECONDS)
    os.close(pipe[1])
    reader.join(TIMEOUT_SECONDS)
    assert text[0].splitlines() == [text_line(entry) for entry in entries]


def test_a_named_pipe_that_gets_another_reader_has_all_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = os.open(path, os.O_WRONLY)
    log = Log(fd, TEXT)
    log.record(ENTRY)
    ready = select.poll()
    ready.register(first, select.POLLIN)
    assert ready.poll(TIMEOUT_SECONDS * 1000) and os.read(first, 1 << 16).decode() == text_line(ENTRY) + "\n"
    os.close(first)
    for entry in numbered(3):
        log.record(entry)
    second = os.open(path, os.O_RDONLY)
    text = b""
    while text.count(b"\n") < 3:
        text += os.read(second, 1 << 16)
    log.close()
    os.close(fd)
    os.close(second)
    assert text.decode().splitlines() == [text_line(entry) for entry in numbered(3)]


@pytest.fixture
def cut_line(tmp_path: Path) -> Iterator[tuple[Path, LineWriter]]:
    """Return a log of which only the first 20 bytes of a line could be written, and its writer."""
    path = tmp_path / "log"
    fd = opened(path)
    writer = LineWriter(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # EFBIG after 20 bytes
    try:
        with pytest.raises(OSError, match="too large"):
            writer.write(f"{text_line(ENTRY)}\n".encode())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 20
    yield path, writer
    os.close(fd)


def test_a_line_cut_by_a_full_disk_is_completed(cut_line: tuple[Path, LineWriter]) -> None:
    path, writer = cut_line
    writer.write(b"next\n")
    assert path.read_text().splitlines() == [text_line(ENTRY), "next"]


def test_a_cut_line_is_written_again_if_another_process_has_written(cut_line: tuple[Path, LineWriter]) -> None:
    path, writer = cut_line
    other = LineWriter(opened(path))
    other.write(b"other\n")
    writer.write()
    assert path.read_text().splitlines() == [text_line(ENTRY)[:20] + "other", "", text_line(ENTRY)]


def test_a_cut_line_is_whole_in_a_file_that_was_truncated(cut_line: tuple[Path, LineWriter]) -> None:
    """A log is rotated by copying and truncating it, which makes room."""
    path, writer = cut_line
    os.truncate(path, 0)
    writer.write(b"next\n")
    assert path.read_text().splitlines() == [text_line(ENTRY), "next"]


def test_a_closed_pipe_is_no_error(pipe: tuple[int, int]) -> None:
    log = Log(pipe[1], TEXT)
    os.close(pipe[0])
    for _ in range(30_000):
        log.record(ENTRY)
    log.close()


def test_a_stopped_log_reader_blocks_neither_downloads_nor_the_exit(
    tmp_path: Path, serve: Serve, pipe: tuple[int, int]
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    server = serve(tmp_path, log_fd=pipe[1])
    target = "/a.txt?" + "x" * 4000
    with server.connect() as client:
        for _ in range(100):  # six times the capacity of a pipe
            client.get(target)
            assert client.read_response().content == b"hello"
        server.signal(signal.SIGTERM)
        assert client.read_to_end() == b""
    assert server.wait() == 0


def test_the_log_of_a_server_is_json_if_the_settings_say_so(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "a.txt").write_text("hello")
    server = serve(tmp_path, "--log-format", "json")
    server.get("/a.txt", "Range: bytes=1-2")
    server.get("/nothing%0A%1b")
    with server.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        client.read_to_end()
    server.signal(signal.SIGHUP)
    server.wait_for_log("reload")
    server.signal()
    assert server.wait() == 0
    *entries, reloaded, stopped = map(json.loads, server.log)  # every line is JSON
    assert (reloaded["level"], reloaded["message"]) == ("info", "nothing to reload: there is no --config file")
    assert stopped.keys() == {"at", "level", "message"} and stopped["message"].startswith("stopped")
    assert len(entries) == 3
    assert [(entry["status"], entry["sent"], entry["promised"], entry["ended"]) for entry in entries[:1]] == [
        (206, 2, 2, "complete")
    ]
    assert entries[0]["range"] == "bytes=1-2"
    assert (entries[1]["status"], entries[1]["target"]) == (404, "/nothing%0A%1b")
    assert (entries[2]["status"], entries[2]["ended"]) == (400, "refused")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_logs_again_once_its_disk_has_space(tmp_path: Path, serve: Serve, workers: str) -> None:
    """The disk is full (here a limit, EFBIG) for a while. The supervisor's lines are kept too."""
    (tmp_path / "a.txt").write_text("hello")
    path = tmp_path / "log"
    fd = opened(path)
    server = serve(tmp_path, "--workers", workers, log_fd=fd)
    os.close(fd)
    limited = [(pid, resource.prlimit(pid, resource.RLIMIT_FSIZE)) for pid in server.pids()]
    for pid, (_, hard) in limited:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    for number in range(20):
        assert server.get(f"/a.txt?{number}").content == b"hello"
    server.signal(signal.SIGHUP)
    for number in range(20, 40):
        assert server.get(f"/a.txt?{number}").content == b"hello"
    for pid, limits in limited:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    def is_complete() -> bool:
        text = path.read_text()
        return "nothing to reload" in text and all(f'"GET /a.txt?{n}" 200 5/5' in text for n in range(40))

    wait_until(is_complete, "all lines are there")
    server.signal()
    assert server.wait() == 0
    assert path.read_text().endswith(" info stopped: 40 downloads completed\n")


def test_a_supervisor_obeys_while_nobody_reads_the_log(tmp_path: Path, serve: Serve, pipe: tuple[int, int]) -> None:
    """The pipe of the log is full: the supervisor's messages wait in its queue, and not the supervisor."""
    (tmp_path / "a.txt").write_text("hello")
    server = serve(tmp_path, "--workers", "2", log_fd=pipe[1])
    target = "/a.txt?" + "x" * 4000
    with server.connect() as client:
        for _ in range(100):  # six times the capacity of a pipe
            client.get(target)
            assert client.read_response().content == b"hello"
    for _ in range(20):
        server.signal(signal.SIGHUP)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
