"""The page cache is probed without waiting, and a thread fetches what is missing."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from freight.flow.page_cache import Prefetcher, is_cached
from freight.sources.disk_pool import SERVER_ITSELF, DiskPool
from support.servers import wait_until

SIZE = 8 << 20


def evict(fd: int) -> None:
    """Evict the file from the page cache. Skip the test where that is impossible (a file system in memory)."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # no readahead
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


def test_a_file_just_read_is_cached_and_an_evicted_one_is_not(fd: int) -> None:
    evict(fd)
    assert not is_cached(fd, 0, SIZE)
    os.pread(fd, SIZE, 0)
    assert is_cached(fd, 0, SIZE)


@pytest.mark.parametrize(("start", "stop"), [(0, 2 << 20), (3 << 20, 5 << 20), (6 << 20, SIZE)])
def test_a_cold_part_anywhere_makes_the_whole_range_cold(fd: int, start: int, stop: int) -> None:
    evict(fd)
    os.pread(fd, SIZE, 0)

    def evicted() -> bool:  # retried, as the kernel keeps pages that another processor has just touched
        os.posix_fadvise(fd, start, stop - start, os.POSIX_FADV_DONTNEED)
        return not is_cached(fd, 0, SIZE)

    wait_until(evicted, "a part is cold")


def test_a_file_system_without_the_flag_has_nothing_cached() -> None:
    """preadv2(2): EOPNOTSUPP, as from proc(5)."""
    with open("/proc/self/stat", "rb") as file:
        assert not is_cached(file.fileno(), 0, 1)


def test_a_file_system_in_memory_has_everything_cached() -> None:
    """tmpfs has no disk, and does not support the flag before Linux 6.x."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(b"x" * 100)
        file.flush()
        assert is_cached(file.fileno(), 0, 100)


def test_a_range_beyond_the_end_needs_no_disk(fd: int) -> None:
    """The sender detects that it is missing, without a fetch."""
    assert is_cached(fd, 0, SIZE)
    assert is_cached(fd, SIZE, SIZE + 100)


def fetch(fd: int, start: int, stop: int) -> OSError | None:
    async def main() -> OSError | None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[OSError | None] = loop.create_future()
        pool = DiskPool()
        try:
            Prefetcher(loop, pool).fetch(fd, start, stop, 0, SERVER_ITSELF, ended.set_result)
            return await asyncio.wait_for(ended, 20)
        finally:
            pool.close()

    return asyncio.run(main())


def test_a_fetched_range_is_cached(fd: int) -> None:
    evict(fd)
    assert fetch(fd, 1 << 20, 3 << 20) is None
    assert is_cached(fd, 1 << 20, 3 << 20)


def test_a_range_that_ends_beyond_the_file_is_fetched_up_to_its_end(fd: int) -> None:
    assert fetch(fd, SIZE - 10, SIZE + 10) is None


def test_a_disk_error_is_passed_to_the_loop() -> None:
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert isinstance(fetch(directory, 0, 10), OSError)
    finally:
        os.close(directory)
