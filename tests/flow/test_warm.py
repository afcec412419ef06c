"""Whether bytes are in memory is asked without waiting, and those that are not are fetched by a thread."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from freight.disk import NOBODY, DiskPool
from freight.flow.warm import Warmer, resident
from serving import until

SIZE = 8 << 20


def evict(fd: int) -> None:
    """Take the file out of the page cache; skip where that cannot be done (a file system in memory)."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # so that reading brings in no more than what is read
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.preadv(fd, [bytearray(1)], SIZE // 2 + 300_000, os.RWF_NOWAIT)
    except BlockingIOError:
        return
    except OSError as error:
        pytest.skip(f"this file system does not know RWF_NOWAIT: {error.strerror}")
    pytest.skip("this file system evicts nothing")


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(SIZE))
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_what_was_just_written_is_resident_and_what_was_evicted_is_not(fd: int) -> None:
    evict(fd)
    assert not resident(fd, 0, SIZE)
    os.pread(fd, SIZE, 0)
    assert resident(fd, 0, SIZE)


@pytest.mark.parametrize(("start", "stop"), [(0, 2 << 20), (3 << 20, 5 << 20), (6 << 20, SIZE)])
def test_a_cold_part_anywhere_makes_the_whole_range_cold(fd: int, start: int, stop: int) -> None:
    evict(fd)  # where that can be done
    os.pread(fd, SIZE, 0)

    def evicted() -> bool:  # the kernel keeps what another processor has just touched: then once more
        os.posix_fadvise(fd, start, stop - start, os.POSIX_FADV_DONTNEED)
        return not resident(fd, 0, SIZE)

    until(evicted, "a part is cold")


def test_a_file_system_that_does_not_know_the_flag_has_nothing_resident() -> None:
    """preadv2(2): EOPNOTSUPP, as from proc(5)."""
    with open("/proc/self/stat", "rb") as file:
        assert not resident(file.fileno(), 0, 1)


def test_a_file_of_a_file_system_in_memory_is_resident() -> None:
    """tmpfs has no disk to wait for, and before Linux 6.x does not know the flag."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(b"x" * 100)
        file.flush()
        assert resident(file.fileno(), 0, 100)


def test_a_range_behind_the_end_asks_for_no_disk(fd: int) -> None:
    """That it is not there is for the pump to find out, without a detour through the pool."""
    assert resident(fd, 0, SIZE)
    assert resident(fd, SIZE, SIZE + 100)


def fetch(fd: int, start: int, stop: int) -> OSError | None:
    async def main() -> OSError | None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[OSError | None] = loop.create_future()
        pool = DiskPool()
        try:
            Warmer(loop, pool).fetch(fd, start, stop, 0, NOBODY, ended.set_result)
            return await asyncio.wait_for(ended, 20)
        finally:
            pool.close()

    return asyncio.run(main())


def test_what_was_fetched_is_resident(fd: int) -> None:
    evict(fd)
    assert fetch(fd, 1 << 20, 3 << 20) is None
    assert resident(fd, 1 << 20, 3 << 20)


def test_a_range_that_reaches_behind_the_end_is_fetched_as_far_as_it_goes(fd: int) -> None:
    assert fetch(fd, SIZE - 10, SIZE + 10) is None


def test_an_error_of_the_disk_comes_back_to_the_loop() -> None:
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert isinstance(fetch(directory, 0, 10), OSError)
    finally:
        os.close(directory)
