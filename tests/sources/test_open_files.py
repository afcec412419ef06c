"""Open files that are kept open for a while: how many, for how long, and that they are what their path names."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freight.model import NotFound, Resource
from freight.protocols import KeptOpen
from freight.sources.disk_pool import DiskPool
from freight.sources.file_reader import FileReader
from freight.sources.local import LocalSource
from freight.sources.lookup import Identity, SourceOptions, identity_of
from freight.sources.open_files import KEPT_SECONDS, MAX_KEPT, OpenFiles
from support.stepped_loop import SteppedLoop

CLIENT = "192.0.2.1"
FILES = 2 * MAX_KEPT


class KeptFiles(RuleBasedStateMachine):
    """Downloads open files, share them and end; some are kept, and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.run(self._start())
        self.folder = tempfile.TemporaryDirectory()
        self.readers: dict[Identity, FileReader] = {}  # all that were opened last, by file
        self.downloads: dict[Identity, int] = {}
        self.used_at: dict[Identity, float] = {}  # of those that were kept
        self.paths = [Path(self.folder.name, str(number)) for number in range(FILES)]
        for path in self.paths:
            path.write_bytes(b"x")

    async def _start(self) -> None:
        self.loop = SteppedLoop()
        self.files = OpenFiles()

    def run(self, call: Callable[[], object]) -> None:
        """Call within the loop whose time the test sets."""

        async def within() -> None:
            with stepped(self.loop):
                call()

        self.runner.run(within())

    def is_open(self, identity: Identity) -> bool:
        reader = self.readers.get(identity)
        return reader is not None and reader.fileno() >= 0

    @rule(number=st.integers(0, FILES - 1))
    def download(self, number: int) -> None:
        found = self.paths[number].stat()
        identity = identity_of(found)
        shared = self.files.share(identity)
        assert (shared is not None) == self.is_open(identity)
        if shared is None:
            fd = os.open(self.paths[number], os.O_RDONLY | os.O_CLOEXEC)
            shared = self.readers[identity] = FileReader(fd, found.st_size, found)
            self.files.add(identity, shared)
        assert shared is self.readers[identity]
        self.downloads[identity] = self.downloads.get(identity, 0) + 1

    @rule(count=st.integers(1, FILES))
    def download_many(self, count: int) -> None:
        for number in range(count):
            self.download(number)
            self.keep(identity_of(self.paths[number].stat()))

    def keep(self, identity: Identity) -> None:
        kept_before = self.files.kept(identity) is not None
        self.run(lambda: self.files.keep(identity))
        assert (self.files.kept(identity) is not None) == self.is_open(identity)
        if not kept_before and self.is_open(identity):
            self.used_at[identity] = self.loop.time()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def keep_one(self, data: st.DataObject) -> None:
        self.keep(data.draw(st.sampled_from(sorted(self.readers))))

    @precondition(lambda self: self.used_at)
    @rule(data=st.data(), is_changed=st.booleans())
    def use(self, data: st.DataObject, is_changed: bool) -> None:
        identity = data.draw(st.sampled_from(sorted(self.used_at)))
        ctime_ns = next(path.stat().st_ctime_ns for path in self.paths if path.stat().st_ino == identity[1])
        used = self.files.use(identity, ctime_ns + is_changed)
        assert used == (not is_changed and self.files.kept(identity) is not None)
        if used:
            self.used_at[identity] = self.loop.time()

    @precondition(lambda self: any(self.downloads.values()))
    @rule(data=st.data())
    def end_download(self, data: st.DataObject) -> None:
        running = sorted(identity for identity, count in self.downloads.items() if count)
        identity = data.draw(st.sampled_from(running))
        self.downloads[identity] -= 1
        self.readers[identity].close()

    @rule(seconds=st.sampled_from([KEPT_SECONDS / 4, KEPT_SECONDS / 2, KEPT_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.run(lambda: self.loop.advance(seconds))

    @rule()
    def close(self) -> None:
        self.run(self.files.close)
        assert not any(self.files.kept(identity) for identity in self.readers)

    @invariant()
    def a_file_is_open_while_a_download_uses_it_and_a_while_after_its_last_use(self) -> None:
        for identity in self.readers:
            is_kept = self.files.kept(identity) is not None
            assert self.is_open(identity) == (self.downloads.get(identity, 0) > 0 or is_kept)
            assert not is_kept or self.loop.time() - self.used_at[identity] <= KEPT_SECONDS

    @invariant()
    def not_too_many_are_kept(self) -> None:
        assert sum(self.files.kept(identity) is not None for identity in self.readers) <= MAX_KEPT

    def teardown(self) -> None:
        self.run(self.files.close)
        for identity, count in self.downloads.items():
            for _ in range(count):
                self.readers[identity].close()
        assert not any(map(self.is_open, self.readers))
        self.runner.close()
        self.folder.cleanup()


@contextmanager
def stepped(loop: SteppedLoop) -> Iterator[None]:
    """Let the code of the block take ``loop`` for the one that runs."""
    running = asyncio.get_running_loop()
    asyncio._set_running_loop(loop)  # type: ignore[arg-type]
    try:
        yield
    finally:
        asyncio._set_running_loop(running)


TestKeptFiles = KeptFiles.TestCase
TestKeptFiles.settings = settings(max_examples=50, stateful_step_count=30)


async def kept(source: LocalSource, target: str) -> tuple[KeptOpen, FileReader]:
    """Return what keeps a file open, and a reader of the file that is still to be closed."""
    found = await source.locate(target, CLIENT)
    assert isinstance(found, Resource)
    reader = await source.open(found, found.media_types[0], CLIENT)
    assert isinstance(reader, FileReader) and not isinstance(reader, NotFound)
    file = source.keep_open(found)
    assert file is not None
    return file, reader


def chmod(path: Path) -> None:
    path.chmod(0o600)


def replace(path: Path) -> None:
    path.with_name("new").write_bytes(path.read_bytes())
    os.utime(path.with_name("new"), ns=(0, path.stat().st_mtime_ns))
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [chmod, os.unlink, replace, os.utime, lambda path: os.truncate(path, 1)])
async def test_a_kept_file_is_current_until_it_changes(
    tmp_path: Path, pool: DiskPool, no_leak: None, change: Callable[[Path], object]
) -> None:
    """Its permissions count too: it would otherwise be read for ever by a client that never stops."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    os.utime(path, (1, 1_700_000_000))
    source = LocalSource(tmp_path, pool, SourceOptions())
    try:
        file, reader = await kept(source, "/a.bin")
        reader.close()
        assert file.fileno() == reader.fileno() >= 0
        assert file.is_current()
        change(path)
        assert not file.is_current()
    finally:
        source.close()
    assert file.fileno() is None


async def test_a_file_below_a_root_that_is_to_be_looked_up_is_not_current(
    tmp_path: Path, pool: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    source = LocalSource(tmp_path, pool, SourceOptions())
    try:
        file, reader = await kept(source, "/a.bin")
        assert file.is_current()
        source.check_path_soon()
        assert not file.is_current()
        await source.locate("/a.bin", CLIENT)
        assert file.is_current()
        reader.close()
    finally:
        source.close()


async def test_where_the_kernel_does_not_tell_without_a_disk_no_file_is_current(tmp_path: Path, pool: DiskPool) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    source = LocalSource(tmp_path, pool, SourceOptions(stepwise=True))
    try:
        file, reader = await kept(source, "/a.bin")
        assert not file.is_current()
        reader.close()
    finally:
        source.close()
