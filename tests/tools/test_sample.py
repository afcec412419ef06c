"""A sample is CSV whose 64-byte lines have their own offset, and its file is complete or missing."""

from __future__ import annotations

import csv
import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import ConfigurationError
from freight.tools.sample import BLOCK_BYTES, HEADER, LINE_BYTES, content, find_difference, verify, write_sample
from support.processes import environment, running
from support.servers import wait_until

LARGEST_BYTES = 10**16


def lines_at(start: int, count: int) -> list[bytes]:
    return b"".join(content(start, start + count * LINE_BYTES)).splitlines(keepends=True)


@pytest.mark.parametrize("start", [0, BLOCK_BYTES - 640, 5 * 10**9, 999_999_999_936, LARGEST_BYTES - 1280])
def test_every_line_is_64_bytes_and_begins_with_its_own_offset(start: int) -> None:
    for place, line in enumerate(lines_at(start, 20)):
        offset = start + place * LINE_BYTES
        assert len(line) == LINE_BYTES
        assert line.endswith(b"\n")
        assert line == HEADER if offset == 0 else line.startswith(b"%016d," % offset)


def test_the_whole_is_csv_with_a_header_and_plausible_columns() -> None:
    text = b"".join(content(0, 2 * BLOCK_BYTES)).decode("ascii")
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert len(rows) == 2 * BLOCK_BYTES // LINE_BYTES - 1
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert all(timedelta(seconds=5) <= late - early <= timedelta(seconds=6) for early, late in pairwise(times))
    assert all(-10 < float(row["temperature_celsius"]) < 40 for row in rows)
    assert all(0 < float(row["relative_humidity"]) < 1 for row in rows)
    assert {row["state"] for row in rows} == {"ok", "hi"}


@given(st.integers(0, 3 * BLOCK_BYTES), st.integers(0, BLOCK_BYTES), st.integers(0, BLOCK_BYTES))
def test_content_is_a_function_of_the_offset_alone(start: int, first: int, second: int) -> None:
    middle, stop = start + first, start + first + second
    assert b"".join(content(start, stop)) == b"".join(content(start, middle)) + b"".join(content(middle, stop))


@given(st.integers(0, 3 * BLOCK_BYTES), st.integers(1, 300), st.data())
def test_verify_takes_the_true_bytes_and_refuses_one_changed_bit(offset: int, length: int, data: st.DataObject) -> None:
    true = b"".join(content(offset, offset + length))
    place, bit = data.draw(st.integers(0, length - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(true)
    changed[place] ^= 1 << bit
    assert verify(true, offset)
    assert not verify(bytes(changed), offset)


@given(st.integers(1, 2 * BLOCK_BYTES), st.integers(1, 500))
def test_verify_refuses_true_bytes_of_another_place(offset: int, away: int) -> None:
    true = b"".join(content(offset, offset + LINE_BYTES))
    assert not verify(true, offset + away * LINE_BYTES)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, LARGEST_BYTES + 1)])
def test_bytes_that_no_sample_has_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="has no bytes"):
        next(content(start, stop))


@pytest.mark.parametrize(
    ("asked", "made"), [(1, 64), (64, 64), (65, 128), (1_000_000, 1_000_000), (2_500_001, 2_500_032)]
)
def test_a_size_is_rounded_up_to_whole_lines(tmp_path: Path, asked: int, made: int) -> None:
    path = tmp_path / "s.csv"
    pieces: list[int] = []
    assert write_sample(path, asked, wrote=pieces.append) == made
    assert sum(pieces) == path.stat().st_size == made
    assert verify(path.read_bytes(), 0)
    assert os.listdir(tmp_path) == ["s.csv"]


@pytest.mark.parametrize("asked", [0, LARGEST_BYTES + 1])
def test_a_size_no_sample_can_have_is_refused(tmp_path: Path, asked: int) -> None:
    with pytest.raises(ConfigurationError):
        write_sample(tmp_path / "s.csv", asked)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="--force"):
        write_sample(path, 640)
    assert path.read_bytes() == b"precious"
    write_sample(path, 640, force=True)
    assert verify(path.read_bytes(), 0)


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with pytest.raises(ConfigurationError, match="--force"):
        write_sample(path, 640, wrote=lambda _: path.write_bytes(b"precious") and None)
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["s.csv"]


def test_what_is_not_a_regular_file_is_not_replaced_even_by_force(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo):
        with pytest.raises(ConfigurationError, match="not a regular file"):
            write_sample(path, 640, force=True)


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        write_sample(tmp_path / "s.csv", 9 * 10**15)
    assert os.listdir(tmp_path) == []


def test_the_first_difference_in_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write_sample(path, 2 * BLOCK_BYTES)
    assert find_difference(path) is None
    with path.open("r+b") as file:
        file.seek(BLOCK_BYTES + 77)
        file.write(b"\0")
    assert find_difference(path) == BLOCK_BYTES


@contextmanager
def sampling(directory: Path, size: str, largest_file_bytes: int = -1) -> Iterator[subprocess.Popen[str]]:
    """A process that makes ``s.csv`` there; it ends with the context."""

    def limit() -> None:
        # A signal that the test runner's parent ignores would stay ignored in the child.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if largest_file_bytes >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))

    words = [sys.executable, "-m", "freight", "make-sample", str(directory / "s.csv"), "--size", size]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running(words, env=environment(), preexec_fn=limit, **pipes) as process:
        yield process


def test_a_write_that_fails_midway_leaves_nothing_and_exits_1(tmp_path: Path) -> None:
    with sampling(tmp_path, "20MB", largest_file_bytes=5_500_000) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err == f"freight: {tmp_path.resolve() / 's.csv'}: File too large\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_midway_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    # Large enough that it cannot be finished before the signal; a pipe's reader could not hold it up, a disk cannot.
    with sampling(tmp_path, "8GB") as process:
        wait_until(lambda: bool(os.listdir(tmp_path)), "it has begun")
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == status
    assert os.listdir(tmp_path) == []
