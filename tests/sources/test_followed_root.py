"""The root follows its path: what the operator turns, replaces or mounts there is served, and running work finishes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freight.model import Level, NotFound, Resource
from freight.protocols import Reader
from freight.sources import followed_root
from freight.sources.disk_pool import DiskPool
from freight.sources.followed_root import CHECK_SECONDS
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from freight.sources.producer import no_more
from sources.conftest import open_descriptors
from support.processes import run
from support.servers import wait_until

CLIENT = "192.0.2.1"

Notices = list[tuple[Level, str]]
Serve = Callable[[Path], LocalSource]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a link to the first of two versions."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(f"content of {version}")
        (tmp_path / version / f"only-in-{version}").write_text("")
    (tmp_path / "current").symlink_to("v1")
    return tmp_path / "current"


@pytest.fixture
def notices() -> Notices:
    return []


@pytest.fixture
def serve(pool: DiskPool, stepwise: bool, notices: Notices) -> Iterator[Serve]:
    sources = []

    def serve(path: Path) -> LocalSource:
        source = LocalSource(path, pool, SourceOptions(stepwise=stepwise))
        source.start(lambda level, message: notices.append((level, message)))
        sources.append(source)
        return source

    yield serve
    for source in sources:
        source.close()


def turn(link: Path, target: str) -> None:
    os.symlink(target, link.parent / "next")
    os.rename(link.parent / "next", link)


def opened(source: LocalSource, target: str) -> Reader:
    async def open_it() -> Reader:
        found = await source.locate(target, CLIENT)
        assert isinstance(found, Resource)
        reader = await source.open(found, found.media_types[-1], CLIENT)
        assert not isinstance(reader, NotFound)
        return reader

    return asyncio.run(open_it())


def content(reader: Reader) -> bytes:
    with reader:
        descriptor = reader.fileno()
        if descriptor is not None:
            return os.pread(descriptor, 1000, 0)
        return b"".join(iter(lambda: reader.read(no_more), b""))


def wait_until_closed(directory: Path) -> None:
    """Wait until no descriptor has the directory open. A thread of the pool may drop its last reference a bit later."""
    wait_until(lambda: not any(entry.endswith(f" {directory}") for entry in open_descriptors()), "it is closed")


def after_a_check(source: LocalSource, target: str = "/file") -> bytes:
    source.check_path_soon()
    return content(opened(source, target))


def test_a_link_that_is_turned_is_followed_within_a_second_and_without_a_signal(
    root: Path, serve: Serve, notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(followed_root, "monotonic", lambda: now)
    source = serve(root)
    assert content(opened(source, "/file")) == b"content of v1"
    turn(root, "v2")
    now += CHECK_SECONDS - 0.01
    assert content(opened(source, "/file")) == b"content of v1"
    now += 0.02
    assert content(opened(source, "/file")) == b"content of v2"
    assert notices == [(Level.INFO, f"{root} is another directory now, and is served as such")]
    now += 1
    assert content(opened(source, "/file")) == b"content of v2"
    assert len(notices) == 1


def test_a_check_that_is_asked_for_comes_before_the_next_request(root: Path, serve: Serve) -> None:
    source = serve(root)
    turn(root, "v2")
    assert after_a_check(source) == b"content of v2"


def test_what_runs_finishes_from_the_old_directory(root: Path, serve: Serve) -> None:
    source = serve(root)
    download, listing = opened(source, "/file"), opened(source, "/")
    turn(root, "v2")
    assert after_a_check(source) == b"content of v2"
    assert content(download) == b"content of v1"
    listed = content(listing)
    assert b"only-in-v1" in listed
    assert b"only-in-v2" not in listed
    wait_until_closed(root.parent / "v1")


def test_what_was_located_in_the_old_directory_is_not_opened_in_the_new_one(root: Path, serve: Serve) -> None:
    async def locate_turn_and_open() -> None:
        source = serve(root)
        located = await source.locate("/file", CLIENT)
        turn(root, "v2")
        source.check_path_soon()
        await source.locate("/file", CLIENT)
        assert isinstance(located, Resource)
        with pytest.raises(Exception, match="replaced since it was located"):
            await source.open(located, located.media_types[0], CLIENT)

    asyncio.run(locate_turn_and_open())


def test_a_directory_that_was_removed_and_made_again_is_served(root: Path, serve: Serve, notices: Notices) -> None:
    path = root.parent / "v1"
    source = serve(path)
    shutil.rmtree(path)
    source.check_path_soon()
    assert isinstance(asyncio.run(source.locate("/file", CLIENT)), NotFound)
    path.mkdir()
    (path / "file").write_text("made again")
    assert after_a_check(source) == b"made again"
    assert [level for level, _ in notices] == [Level.WARNING, Level.INFO]


def test_a_path_that_names_nothing_for_a_while_keeps_the_old_directory_and_is_logged_once(
    root: Path, serve: Serve, notices: Notices
) -> None:
    source = serve(root)
    root.rename(root.parent / "away")
    for _ in range(3):
        assert after_a_check(source) == b"content of v1"
    still = "still serving the directory that it named before"
    assert notices == [(Level.WARNING, f"cannot open {root}: No such file or directory; {still}")]
    (root.parent / "away").rename(root)
    for _ in range(3):
        assert after_a_check(source) == b"content of v1"
    assert notices[1:] == [(Level.INFO, f"{root} is there again")]


def test_a_path_that_becomes_a_file_or_a_loop_keeps_the_old_directory(
    root: Path, serve: Serve, notices: Notices
) -> None:
    source = serve(root)
    for target in ("v1/file", "current"):
        turn(root, target)
        assert after_a_check(source) == b"content of v1"
    assert [message.split(": ")[1].split(";")[0] for _, message in notices] == [
        "Not a directory",
        "Too many levels of symbolic links",
    ]


def test_the_directory_of_a_single_file_is_followed_too(root: Path, serve: Serve) -> None:
    source = serve(root / "file")
    assert content(opened(source, "/")) == b"content of v1"
    turn(root, "v2")
    assert after_a_check(source, "/") == b"content of v2"


def test_a_mount_over_the_root_is_served(root: Path, serve: Serve) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    source = serve(root)
    if run("mount", "--bind", root.parent / "v2", root.parent / "v1").returncode:
        pytest.skip("this system does not allow mounts")
    try:
        assert after_a_check(source) == b"content of v2"
    finally:
        source.close()
        assert run("umount", root.parent / "v1").returncode == 0


def test_a_client_that_leaves_during_the_check_changes_nothing(root: Path, serve: Serve) -> None:
    source = serve(root)
    turn(root, "v2")

    async def leave() -> None:
        source.check_path_soon()
        leaving = asyncio.create_task(source.locate("/file", CLIENT))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(leave())
    assert after_a_check(source) == b"content of v2"
    wait_until_closed(root.parent / "v1")
