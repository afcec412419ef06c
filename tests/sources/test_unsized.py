"""Files whose stated size says nothing are sent with all that they have, and files that are empty are empty."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freight.model import NotFound, Resource
from freight.protocols import Reader
from freight.sources import unsized
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import ListingLimits
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from freight.sources.producer import Producer, no_more
from support.replacing import located

CLIENT = "192.0.2.1"

Open = Callable[[str], tuple[Resource, Reader]]


@pytest.fixture
def source_at(pool: DiskPool, stepwise: bool, no_leak: None) -> Iterator[Callable[[Path | str], LocalSource]]:
    sources = []

    def source_at(path: Path | str) -> LocalSource:
        sources.append(LocalSource(path, pool, SourceOptions(stepwise=stepwise), ListingLimits(piece_bytes=100)))
        return sources[-1]

    yield source_at
    for source in sources:
        source.close()


def pieces_of(source: LocalSource, found: Resource) -> list[bytes]:
    reader = asyncio.run(source.open(found, found.media_types[0], CLIENT))
    assert isinstance(reader, Producer)
    with reader:
        assert reader.fileno() is None
        assert reader.size is None
        return list(iter(lambda: reader.read(no_more), b""))


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/status", "/proc/sys/kernel/ostype"])
@pytest.mark.parametrize("alone", [False, True], ids=["below a directory", "alone"])
def test_a_file_of_proc_has_no_size_and_all_its_content(
    source_at: Callable[[Path | str], LocalSource], path: str, alone: bool
) -> None:
    source = source_at(path if alone else "/proc")
    found = located(source, "/" if alone else path.removeprefix("/proc"))
    assert (found.size, found.mtime_ns, found.produced) == (None, None, True)
    pieces = pieces_of(source, found)
    assert all(0 < len(piece) <= 100 for piece in pieces)
    assert b"".join(pieces)[:10] == Path(path).read_bytes()[:10]


def test_an_attribute_of_sys_which_states_a_page_has_its_content_only(
    source_at: Callable[[Path | str], LocalSource],
) -> None:
    path = Path("/sys/class/net/lo/mtu")
    if not path.exists():
        pytest.skip("there is no sysfs")
    source = source_at(path)
    assert path.stat().st_size == mmap.PAGESIZE
    assert located(source, "/").size is None
    assert b"".join(pieces_of(source, located(source, "/"))) == path.read_bytes()


@pytest.mark.parametrize("size", [0, mmap.PAGESIZE, 1 << 30])
def test_an_empty_file_and_a_sparse_one_have_their_size(
    source_at: Callable[[Path | str], LocalSource], tmp_path: Path, size: int
) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", size)
    source = source_at(tmp_path)
    found = located(source, "/file")
    assert (found.size, found.produced) == (size, False)
    assert found.mtime_ns == (tmp_path / "file").stat().st_mtime_ns
    reader = asyncio.run(source.open(found, found.media_types[0], CLIENT))
    assert not isinstance(reader, NotFound)
    with reader:
        assert reader.size == size


def test_a_file_that_is_written_while_it_is_measured_has_a_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("r+b", buffering=0) as file:
        before = os.fstat(file.fileno())
        path.write_bytes(b"content")
        assert unsized.size_holds(file.fileno(), before)


def test_what_a_read_would_wait_for_ends_the_content() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        assert unsized.size_holds(reading, os.stat_result((0,) * 10))
        os.write(writing, b"a line\n")
        assert list(unsized.pieces(reading, 4)) == [b"a li", b"ne\n"]
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_that_cannot_be_read_is_an_error_and_leaves_nothing_open(
    source_at: Callable[[Path | str], LocalSource],
) -> None:
    source = source_at("/proc")
    with pytest.raises(OSError, match=r".") as caught:
        asyncio.run(source.locate("/self/mem", CLIENT))
    assert caught.value.errno == errno.EIO
