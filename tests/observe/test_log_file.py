"""A log in a file: no line is lost or cut, whatever happens to the file."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from freight.errors import ConfigurationError
from freight.model import Entry, Level
from freight.observe.log import JSON, TEXT, text_line
from freight.observe.log_file import FileLog, LogFile, Rotation, check_log_file
from support.servers import TIMEOUT_SECONDS, wait_until

ENTRY = Entry(0.0, 0.0, "127.0.0.1", "GET", "/", (1, 1), 200, "", 0, 0, "complete")


class Notices(list[tuple[Level, str]]):
    """Collects messages."""

    def __call__(self, level: Level, message: str) -> None:
        self.append((level, message))

    @property
    def texts(self) -> list[str]:
        return [message for _, message in self]


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "access.log"


@pytest.fixture
def file(path: Path, notices: Notices) -> Iterator[LogFile]:
    path.parent.mkdir()
    with closing(LogFile(path, None, notices)) as file:
        file.write(b"1\n")
        yield file


def test_lines_are_appended_to_a_file_that_its_group_may_read(path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    path.write_text("0\n")
    with closing(LogFile(path, None, notices)) as file:
        file.write(b"1\n")
    assert path.read_text() == "0\n1\n"
    path.unlink()
    with closing(LogFile(path, None, notices)) as file:
        file.write(b"2\n")
    assert not stat.S_IMODE(path.stat().st_mode) & ~0o640
    assert notices == []


def test_a_file_that_was_moved_is_opened_again(path: Path, file: LogFile, notices: Notices) -> None:
    path.rename(path.with_suffix(".1"))
    file.write()
    assert path.read_text() == ""
    file.write(b"2\n")
    assert (path.with_suffix(".1").read_text(), path.read_text(), notices) == ("1\n", "2\n", [])


def test_a_file_that_was_deleted_or_replaced_is_opened_again(path: Path, file: LogFile) -> None:
    path.unlink()
    file.write(b"2\n")
    assert path.read_text() == "2\n"
    other = path.with_suffix(".new")
    other.write_text("new\n")
    other.rename(path)
    file.write(b"3\n")
    assert path.read_text() == "new\n3\n"


def test_a_file_that_was_copied_and_truncated_goes_on_at_its_start(path: Path, file: LogFile) -> None:
    os.truncate(path, 0)
    file.write(b"2\n")
    assert path.read_bytes() == b"2\n"


def test_without_its_directory_the_old_file_is_written_and_the_operator_is_told_once(
    path: Path, file: LogFile, notices: Notices
) -> None:
    moved = path.parent.rename(path.parent.with_name("moved"))
    for number in range(2, 5):
        file.write(b"%d\n" % number)
    assert (moved / path.name).read_text() == "1\n2\n3\n4\n"
    (said,) = notices
    assert said[0] is Level.WARNING
    assert said[1] == f"cannot open the log file {path}: No such file or directory; writing to the one that was moved"
    path.parent.mkdir()
    file.write(b"5\n")
    assert path.read_text() == "5\n"
    assert notices[1:] == [(Level.INFO, f"the log file {path} is open again")]


def test_lines_wait_if_the_file_and_its_directory_were_deleted(path: Path, file: LogFile, notices: Notices) -> None:
    path.unlink()
    path.parent.rmdir()
    for number in range(2, 4):
        with pytest.raises(FileNotFoundError):
            file.write(b"%d\n" % number)
    path.parent.mkdir()
    file.write(b"4\n")
    assert path.read_text() == "2\n3\n4\n"
    assert len(notices) == 2


def test_lines_wait_for_a_file_that_cannot_be_opened_yet(path: Path, notices: Notices) -> None:
    with closing(LogFile(path, None, notices)) as file:
        for number in range(3):
            with pytest.raises(FileNotFoundError):
                file.write(b"%d\n" % number)
        path.parent.mkdir()
        file.write()
    assert path.read_text() == "0\n1\n2\n"
    assert notices.texts == [
        f"cannot open the log file {path}: No such file or directory; trying again",
        f"the log file {path} is open again",
    ]


def test_what_a_full_disk_did_not_take_is_in_the_next_file(path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with closing(LogFile(path, None, notices)) as file:
        for number in range(3):
            with pytest.raises(OSError, match="No space left"):
                file.write(b"%d\n" % number)
        path.unlink()
        file.write(b"3\n")
    assert path.read_text() == "0\n1\n2\n3\n"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let writes beyond this size fail (EFBIG, setrlimit(2)), as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("deleted", [False, True], ids=["moved", "deleted"])
def test_a_line_that_a_full_disk_cut_is_whole_once(path: Path, file: LogFile, deleted: bool) -> None:
    """Moving the file leaves the line there; to delete it makes space."""
    with files_of_at_most(5), pytest.raises(OSError, match="too large"):
        file.write(b"a long line\nanother\n")
    assert path.read_text() == "1\na l"
    moved = path.rename(path.with_suffix(".1"))
    if deleted:
        moved.unlink()
    file.write(b"2\n")
    if deleted:
        assert path.read_text() == "a long line\nanother\n2\n"
    else:
        assert moved.read_text() + path.read_text() == "1\na long line\nanother\n2\n"


def test_files_are_rotated_by_size_and_some_are_kept(path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    with closing(LogFile(path, Rotation(100, 2), notices)) as file:
        for number in range(10):
            file.write(b"%039d\n" % number)
    kept = [each.read_text().split() for each in sorted(path.parent.iterdir())]
    assert [[int(number) for number in numbers] for numbers in kept] == [[8, 9], [6, 7], [4, 5]]
    assert sorted(each.name for each in path.parent.iterdir()) == ["access.log", "access.log.1", "access.log.2"]
    assert notices == []


def test_a_file_behind_a_link_is_rotated_where_it_is(path: Path, tmp_path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    link = tmp_path / "link.log"
    link.symlink_to(path)
    with closing(LogFile(link, Rotation(100, 2), notices)) as file:
        for number in range(4):
            file.write(b"%039d\n" % number)
    assert link.is_symlink() and sorted(each.name for each in path.parent.iterdir()) == ["access.log", "access.log.1"]


def test_a_file_is_not_rotated_while_another_process_has_its_lock(path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    with closing(LogFile(path, Rotation(100, 2), notices)) as file:
        file.write(b"x" * 99 + b"\n")
        other = os.open(path, os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        file.write(b"1\n")
        assert path.stat().st_size == 102
        os.close(other)
        file.write(b"2\n")
    assert path.read_text() == "2\n"
    assert notices == []


def test_a_file_that_cannot_be_rotated_grows_and_the_operator_is_told_once(path: Path, notices: Notices) -> None:
    path.parent.mkdir()
    (path.parent / "access.log.1" / "x").mkdir(parents=True)  # no file can be renamed to it
    with closing(LogFile(path, Rotation(100, 1), notices)) as file:
        for _ in range(4):
            file.write(b"x" * 79 + b"\n")
    assert path.stat().st_size == 320
    assert notices.texts == [f"cannot rotate the log file {path}: {os.strerror(errno.EISDIR)}"]


def _write_numbered(path: Path, name: str, count: int) -> None:
    with closing(LogFile(path, Rotation(2000, 1000), Notices())) as file:
        for number in range(count):
            file.write(f"{name} {number:06} end\n".encode())


def test_no_line_is_lost_or_cut_when_several_processes_rotate_one_file(path: Path) -> None:
    path.parent.mkdir()
    fork = get_context("fork")
    writers = [fork.Process(target=_write_numbered, args=(path, name, 1500)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(TIMEOUT_SECONDS)
        assert writer.exitcode == 0
    files = list(path.parent.iterdir())
    assert len(files) > 2
    lines = [line for each in files for line in each.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name} {number:06} end" for name in "abc" for number in range(1500))


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Return a file in the place of standard error, and its descriptor."""
    path = tmp_path / "stderr"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield path, fd
    os.close(fd)


def test_the_file_has_requests_and_the_stream_has_messages(path: Path, stream: tuple[Path, int]) -> None:
    path.parent.mkdir()
    log = FileLog(stream[1], TEXT, 10_000, path, None, 10_000)
    log.record(ENTRY)
    log.notice(Level.WARNING, "a message")
    log.close()
    assert path.read_text() == f"{text_line(ENTRY)}\n"
    assert stream[0].read_text().endswith(" warning a message\n") and stream[0].read_text().count("\n") == 1


def test_a_file_is_opened_again_at_once_if_that_is_asked(path: Path, stream: tuple[Path, int]) -> None:
    path.parent.mkdir()
    log = FileLog(stream[1], TEXT, 10_000, path, None, 10_000)
    wait_until(path.exists, "it is made at the start")
    path.rename(path.with_suffix(".1"))
    log.reopen()
    wait_until(path.exists, "it is made again")
    log.close()


def test_the_number_of_lost_lines_is_a_message(path: Path, stream: tuple[Path, int]) -> None:
    """The file has only lines of one form."""
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    log = FileLog(stream[1], JSON, 10_000, path, None, 10_000)
    for number in range(100):
        log.record(replace(ENTRY, target=f"/{number}"))
    path.unlink()
    wait_until(lambda: "lost" in stream[0].read_text(), "the lost lines are reported")
    log.close()
    kept = path.read_text().count("\n")
    assert 10 < kept < 100 and log.lost_total == 100 - kept
    assert f"{100 - kept} log lines were lost" in stream[0].read_text()
    assert "lost" not in path.read_text()


def test_a_check_makes_no_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^log-file: there is no directory .*/logs; make it first$"):
        check_log_file(path)
    path.parent.mkdir()
    check_log_file(path)
    assert not path.exists()
    with pytest.raises(ConfigurationError, match=r"^log-file: cannot write to .*: Is a directory$"):
        check_log_file(tmp_path)
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match=r"^log-file: cannot write to .*: No such device or address$"):
        check_log_file(path)
