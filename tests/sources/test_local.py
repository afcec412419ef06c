"""The local source: it finds what a target names, and opens exactly that."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from freight.errors import ConfigurationError, FileChanged
from freight.http.representation import select
from freight.http.target import encode
from freight.model import NotFound, NotFoundReason, Resource
from freight.protocols import Reader
from freight.sources import file_reader, followed_root
from freight.sources.beneath import Root
from freight.sources.disk_pool import DiskPool
from freight.sources.file_reader import FileReader
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from support.replacing import located, replace_by_directory, replace_by_fifo

CLIENT = "192.0.2.1"

ABSENT = NotFound(NotFoundReason.ABSENT)
UNKNOWN = "application/octet-stream"

Locate = Callable[..., Resource | NotFound]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "secret.csv").write_bytes(b"outside")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"hidden")
    (root / "sub" / ".env").write_bytes(b"hidden")
    (root / "data.csv").write_bytes(b"a,b\n1,2\n")
    (root / "sub" / "back\\slash").write_bytes(b"1")
    (root / "two words").mkdir()
    (root / "link.csv").symlink_to("data.csv")
    (root / "out.csv").symlink_to("../secret.csv")
    (root / "absolute.csv").symlink_to(root / "data.csv")
    return root


@pytest.fixture
def locate(tree: Path, pool: DiskPool, stepwise: bool, no_leak: None) -> Locate:
    def locate(target: str, **options: bool) -> Resource | NotFound:
        source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise, **options))
        try:
            return asyncio.run(source.locate(target, CLIENT))
        finally:
            source.close()

    return locate


async def read_file(source: LocalSource, target: str) -> bytes:
    """Return the bytes of a file that the source opens."""
    found = await source.locate(target, CLIENT)
    assert isinstance(found, Resource)
    reader = await source.open(found, found.media_types[0], CLIENT)
    assert not isinstance(reader, NotFound)
    with reader:
        descriptor = reader.fileno()
        assert descriptor is not None and reader.size is not None
        return os.pread(descriptor, reader.size, 0)


def open_file(source: LocalSource, target: str) -> FileReader:
    async def reader() -> FileReader:
        found = await source.locate(target, CLIENT)
        assert isinstance(found, Resource)
        reader = await source.open(found, found.media_types[0], CLIENT)
        assert isinstance(reader, FileReader)
        return reader

    return asyncio.run(reader())


def test_a_file_has_a_name_a_size_a_time_and_a_type(locate: Locate, tree: Path) -> None:
    found = locate("/data.csv")
    assert isinstance(found, Resource)
    stat = (tree / "data.csv").stat()
    assert (found.name, found.size, found.mtime_ns) == ("data.csv", stat.st_size, stat.st_mtime_ns)
    assert found.media_types == ("text/csv",)


def test_with_chunked_a_file_has_its_time_and_no_size(locate: Locate, tree: Path) -> None:
    found = locate("/data.csv", chunked=True)
    assert isinstance(found, Resource)
    assert (found.size, found.mtime_ns) == (None, (tree / "data.csv").stat().st_mtime_ns)


@pytest.mark.parametrize(
    "target",
    [
        "/missing",
        "/data.csv/",
        "/data.csv/below",
        "/sub/missing/",
        "/../secret.csv",
        "/%2e%2e/secret.csv",
        "/.%2E/secret.csv",
        "/sub/%2e%2e/%2e%2e/secret.csv",
        "/sub/..%2f..%2fsecret.csv",
        "/..%5csecret.csv",
        "/..\\secret.csv",
        "/%252e%252e/secret.csv",
        "/.../secret.csv",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/sub/%2f../data.csv",
        "/./.git/config",
        "//.git/config",
        "/sub/../.git/config",
        "/sub/%2e%2e/%2egit/config",
        "/link.csv/../out.csv",
        "/data.csv/.",
        "/.git/config",
        "/.git/",
        "/.git",
        "/sub/.env",
        "/out.csv",
        "/absolute.csv",
        "/" + "x" * 300,
        "/" + "sub/" * 2000,
    ],
)
def test_these_targets_name_nothing(locate: Locate, target: str) -> None:
    assert locate(target) == ABSENT


@pytest.mark.parametrize(
    ("target", "same"),
    [
        ("/./data.csv", "/data.csv"),
        ("//data.csv", "/data.csv"),
        ("/sub/../data.csv", "/data.csv"),
        ("/sub/%2E%2e/%2e/data.csv", "/data.csv"),
        ("/../../data.csv", "/data.csv"),
        ("/.git/../data.csv", "/data.csv"),  # by its text alone: nothing hidden is looked up
        ("/no-such/../data.csv", "/data.csv"),
        ("/sub//back%5Cslash", "/sub/back%5Cslash"),
        ("/sub/.", "/sub/"),
        ("/sub/..", "/"),
    ],
)
def test_dot_segments_and_empty_segments_are_removed_before_the_file_system_is_asked(
    locate: Locate, target: str, same: str
) -> None:
    found = locate(target)
    assert isinstance(found, Resource) and found == locate(same)


@pytest.mark.parametrize("target", ["", "*", "data.csv", "/data.csv%", "/%0", "/%zz", "/data.csv%00", "/%00", "/a b"])
def test_a_target_that_is_no_path_is_malformed(locate: Locate, target: str) -> None:
    assert locate(target) == NotFound(NotFoundReason.MALFORMED)


def test_a_backslash_is_part_of_a_name(locate: Locate) -> None:
    assert isinstance(locate("/sub/back%5Cslash"), Resource)


def test_links_are_followed_beneath_the_root_and_by_option_not_at_all(locate: Locate) -> None:
    assert isinstance(locate("/link.csv"), Resource)
    assert locate("/link.csv", follow_symlinks=False) == ABSENT
    assert locate("/out.csv") == ABSENT
    assert locate("/absolute.csv") == ABSENT


@pytest.mark.parametrize("target", ["/.git/config", "/sub/.env", "/.git/"])
def test_hidden_files_are_served_by_option(locate: Locate, target: str) -> None:
    assert isinstance(locate(target, show_hidden=True), Resource)


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_a_special_file_is_absent_and_its_lookup_never_blocks(locate: Locate, tree: Path, kind: str) -> None:
    path = tree / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(path))
    else:
        try:
            os.mknod(path, 0o020644, os.makedev(1, 5))  # /dev/zero
        except PermissionError:
            pytest.skip("making a device needs root")
    assert locate("/special") == ABSENT
    assert locate("/special/") == ABSENT


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("/two%20words", "/two%20words/"),
        ("/s%75b?sort=size&order=desc", "/sub/?sort=size&order=desc"),
        ("/sub?", "/sub/?"),
        ("/sub?x=\xe9", "/sub/?x=\xe9"),
        ("/sub?//elsewhere", "/sub/?//elsewhere"),
    ],
)
def test_a_directory_without_its_slash_has_moved(locate: Locate, target: str, location: str) -> None:
    assert locate(target) == NotFound(NotFoundReason.MOVED, location)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//sub", "/sub/"),
        ("//sub?x", "/sub/?x"),
        ("/\\sub", None),
        ("/%2Fsub", None),
        ("//evil.example/..//sub", "/sub/"),
    ],
)
def test_no_location_points_to_another_host(locate: Locate, target: str, location: str | None) -> None:
    assert locate(target) == (ABSENT if location is None else NotFound(NotFoundReason.MOVED, location))


@pytest.mark.parametrize("target", ["/", "/sub/", "/two%20words/", "/?sort=size&order=desc", "/?sort=nonsense"])
def test_a_directory_is_a_listing_in_two_media_types(locate: Locate, target: str) -> None:
    found = locate(target)
    assert isinstance(found, Resource)
    assert (found.name, found.size) == ("", None)
    assert found.media_types == ("text/html", "application/json")


@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_single_file_answers_at_the_root_and_at_its_name(
    tree: Path, pool: DiskPool, stepwise: bool, linked: bool
) -> None:
    name = "absolute.csv" if linked else "data.csv"
    source = LocalSource(tree / name, pool, SourceOptions(stepwise=stepwise))
    for target in ("/", f"/{name}", "/?x=1"):
        found = asyncio.run(source.locate(target, CLIENT))
        assert isinstance(found, Resource) and found.name == found.only_file == name
        assert asyncio.run(read_file(source, target)) == b"a,b\n1,2\n"
    for target in ("/sub/", f"/{name}/", "/link.csv", "/secret.csv", f"/{name}/x"):
        assert asyncio.run(source.locate(target, CLIENT)) == NotFound(NotFoundReason.ABSENT, only_file=name)
    source.close()


def test_a_link_that_the_operator_replaces_is_followed(tree: Path, pool: DiskPool) -> None:
    (tree / "new.csv").write_bytes(b"new")
    (tree / "current").symlink_to("data.csv")
    source = LocalSource(tree / "current", pool)
    assert asyncio.run(read_file(source, "/")) == b"a,b\n1,2\n"
    (tree / "next").symlink_to("new.csv")
    os.rename(tree / "next", tree / "current")
    assert asyncio.run(read_file(source, "/")) == b"new"
    source.close()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("name", ["missing", "fifo", "loop"])
def test_a_path_that_cannot_be_served_is_an_error_of_one_line(tree: Path, pool: DiskPool, name: str) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "loop").symlink_to("loop")
    with pytest.raises(ConfigurationError) as caught:
        LocalSource(tree / name, pool)
    assert str(tree / name) in str(caught.value) and "\n" not in str(caught.value)


def rewrite(path: Path) -> None:
    path.write_bytes(b"shorter")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../secret.csv")


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize(
    "change", [rewrite, touch, Path.unlink, replace_by_fifo, replace_by_link, replace_by_directory]
)
def test_a_file_that_changed_since_it_was_located_is_not_opened(
    tree: Path, pool: DiskPool, stepwise: bool, change: Callable[[Path], None]
) -> None:
    source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise))
    found = located(source, "/data.csv")
    change(tree / "data.csv")
    with pytest.raises(FileChanged):
        asyncio.run(source.open(found, "text/csv", CLIENT))
    source.close()


@pytest.mark.usefixtures("no_leak")
def test_a_directory_gone_since_it_was_located_is_not_opened(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool)
    found = located(source, "/two%20words/")
    (tree / "two words").rmdir()
    with pytest.raises(FileChanged):
        asyncio.run(source.open(found, "text/html", CLIENT))
    source.close()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("change", [lambda path: os.truncate(path, 12), touch])
def test_an_open_file_keeps_its_size_and_notices_every_change_but_growth(
    tree: Path, pool: DiskPool, stepwise: bool, chunked: bool, change: Callable[[Path], None]
) -> None:
    source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise, chunked=chunked))
    found = located(source, "/data.csv")
    reader = asyncio.run(source.open(found, "text/csv", CLIENT))
    assert not isinstance(reader, NotFound)
    with reader:
        assert reader.size == 8
        reader.check()
        append(tree / "data.csv")
        append(tree / "data.csv")
        reader.check()
        assert reader.size == 8
        change(tree / "data.csv")
        with pytest.raises(FileChanged):
            reader.check()
    source.close()


def replace_by_a_larger_one(path: Path) -> None:
    """Replace a file, if possible by one with the same inode number, which ext4 uses again at once."""
    path.unlink()
    path.write_bytes(b"another file")


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("change", [append, replace_by_a_larger_one])
def test_a_file_that_is_larger_than_when_it_was_located_is_located_again(
    tree: Path, pool: DiskPool, stepwise: bool, change: Callable[[Path], None]
) -> None:
    """It may be another one, whose bytes must not be sent as those of the first."""
    source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise))
    found = located(source, "/data.csv")
    change(tree / "data.csv")
    with pytest.raises(FileChanged):
        asyncio.run(source.open(found, "text/csv", CLIENT))
    found = located(source, "/data.csv")
    assert found.size == (tree / "data.csv").stat().st_size > 8
    reader = asyncio.run(source.open(found, "text/csv", CLIENT))
    assert not isinstance(reader, NotFound)
    with reader:
        assert reader.size == found.size
    source.close()


@pytest.mark.usefixtures("no_leak")
def test_a_larger_file_in_its_place_is_another_file(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool)
    found = located(source, "/data.csv")
    (tree / "new").write_bytes(b"a longer one")
    (tree / "new").replace(tree / "data.csv")
    with pytest.raises(FileChanged):
        asyncio.run(source.open(found, "text/csv", CLIENT))
    source.close()


def test_an_append_that_has_set_the_time_but_not_yet_the_size_is_growth(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """write(2) sets them in this order, microseconds apart."""
    fd = os.open(tree / "data.csv", os.O_RDONLY)
    before = os.fstat(fd)
    append(tree / "data.csv")
    between = SimpleNamespace(st_size=before.st_size, st_mtime_ns=before.st_mtime_ns + 1)
    seen = iter([between, between, between, os.fstat(fd), os.fstat(fd)])
    with FileReader(fd, before.st_size, before) as reader, monkeypatch.context() as patched:
        patched.setattr(file_reader, "_APPEND_SECONDS", 60.0)
        patched.setattr(file_reader, "os", SimpleNamespace(fstat=lambda _: next(seen), sched_yield=os.sched_yield))
        reader.check()
        reader.check()


@pytest.mark.usefixtures("no_leak")
def test_every_download_of_a_truncated_file_ends_even_if_it_grows_again(tree: Path, pool: DiskPool) -> None:
    """``cp`` over a file truncates it first. A later download of the restored file does not end."""
    source = LocalSource(tree, pool)
    before = (tree / "data.csv").stat()
    with open_file(source, "/data.csv") as first, open_file(source, "/data.csv") as second:
        assert first is second
        content = (tree / "data.csv").read_bytes()
        (tree / "data.csv").write_bytes(b"")
        with pytest.raises(FileChanged):
            first.check()
        (tree / "data.csv").write_bytes(content + b"more")
        with pytest.raises(FileChanged):
            second.check()
        (tree / "data.csv").write_bytes(content)
        os.utime(tree / "data.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
        with open_file(source, "/data.csv") as third:
            third.check()
    source.close()


SHARED_TIMES = {
    "nothing": 0,
    "Nix": 1,
    "zip": 315_532_800,
    "Gradle": 318_211_200,
    "Yarn": 456_789_000,
    "npm": 499_162_500,
    "before files have a time of their own": 504_921_599,
    "Bazel": 946_684_800,
    "Cargo": 1_153_704_088,
    "Bazel's zip": 1_262_304_000,
    "Hatch": 1_580_601_600,
}


@pytest.mark.parametrize("seconds", SHARED_TIMES.values(), ids=SHARED_TIMES)
def test_a_time_that_all_files_have_is_no_validator(tree: Path, locate: Locate, seconds: int) -> None:
    """Two versions of one size and such a time differ in their tags, and have no date."""
    tags = set()
    for content in (b"12345678", b"87654321"):
        (tree / "new").write_bytes(content)
        os.utime(tree / "new", (0, seconds))
        (tree / "new").replace(tree / "data.csv")
        found = locate("/data.csv")
        assert isinstance(found, Resource) and found.ctime_ns == (tree / "data.csv").stat().st_ctime_ns
        chosen = select(found, None, 2e9)
        assert chosen.last_modified is None and chosen.etag is not None
        tags.add(chosen.etag)
        time.sleep(0.01)  # the kernel's clock for files may tick every 4 ms
    assert len(tags) == 2


def test_the_time_of_a_files_own_is_a_validator(tree: Path, locate: Locate) -> None:
    os.utime(tree / "data.csv", (0, 504_921_600))
    found = locate("/data.csv")
    assert isinstance(found, Resource) and found.ctime_ns is None
    chosen = select(found, None, 2e9)
    assert (chosen.etag, chosen.last_modified) == (f'"8-{504_921_600 * 10**9:x}"', 504_921_600)


def test_a_reader_closes_once_and_never_the_descriptor_of_another(tree: Path) -> None:
    first = FileReader(os.open(tree / "data.csv", os.O_RDONLY), 8, (tree / "data.csv").stat())
    with first:
        number = first.fileno()
    reused = os.open(tree / "data.csv", os.O_RDONLY)
    assert reused == number
    first.__exit__(None, None, None)
    os.fstat(reused)
    os.close(reused)


@pytest.mark.usefixtures("no_leak")
def test_downloads_of_one_file_share_a_descriptor_and_the_last_closes_it(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool)
    first, second = open_file(source, "/data.csv"), open_file(source, "/data.csv")
    assert first is second
    with first:
        pass
    os.fstat(second.fileno() or -1)
    with second:
        pass
    assert second.fileno() == -1
    with open_file(source, "/data.csv") as third:
        assert third is not first
    source.close()


@pytest.mark.usefixtures("no_leak")
def test_when_descriptors_run_out_a_file_is_busy_not_absent(tree: Path, pool: DiskPool, stepwise: bool) -> None:
    source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise))

    async def run() -> tuple[object, object]:
        found = await source.locate("/data.csv", CLIENT)
        pool.start(*source.homes)
        assert isinstance(found, Resource)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            return await source.locate("/data.csv", CLIENT), await source.open(found, "text/csv", CLIENT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert asyncio.run(run()) == (NotFound(NotFoundReason.BUSY), NotFound(NotFoundReason.BUSY))
    source.close()


class BlockedPool(DiskPool):
    """A pool whose jobs wait for ``go``."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.started = threading.Event()

    def submit(self, call, **options):  # type: ignore[no-untyped-def]
        def blocked():  # type: ignore[no-untyped-def]
            self.started.set()
            self.go.wait(10)
            return call()

        return super().submit(blocked, **options)


@pytest.mark.usefixtures("no_leak")
def test_an_open_cancelled_in_the_pool_leaves_no_descriptor(tree: Path) -> None:
    with closing(BlockedPool()) as pool:
        source = LocalSource(tree, pool, SourceOptions(stepwise=True))  # the walk always goes to the pool

        async def run() -> None:
            pool.go.set()
            found = await source.locate("/data.csv", CLIENT)
            assert isinstance(found, Resource)
            pool.go.clear()
            pool.started.clear()
            opening = asyncio.ensure_future(source.open(found, "text/csv", CLIENT))
            assert await asyncio.to_thread(pool.started.wait, 10)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            pool.go.set()

        asyncio.run(run())
        source.close()


def unprivileged(check: Callable[[], bool]) -> bool:
    """Return what ``check`` returns in a child process without root's privileges."""
    child = os.fork()
    if child == 0:
        verdict = 2
        try:
            signal.alarm(20)  # ends it, whatever it waits for
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            verdict = 0 if check() else 1
        finally:
            os._exit(verdict)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_without_permission_is_unreadable(tmp_path: Path, stepwise: bool) -> None:
    (tmp_path / "private").write_bytes(b"secret")
    (tmp_path / "private").chmod(0)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").write_bytes(b"secret")
    (tmp_path / "closed").chmod(0)
    tmp_path.chmod(0o755)
    # Made before privileges are dropped: the directories above the root need not be accessible.
    source = LocalSource(tmp_path, DiskPool(), SourceOptions(stepwise=stepwise))

    async def run() -> list[object]:
        results: list[object] = [await source.locate("/closed/file", CLIENT)]
        for target in ("/private", "/closed/"):
            found = await source.locate(target, CLIENT)
            assert isinstance(found, Resource)
            results.append(await source.open(found, found.media_types[0], CLIENT))
        return results

    try:
        assert unprivileged(lambda: asyncio.run(run()) == [NotFound(NotFoundReason.UNREADABLE)] * 3)
    finally:
        (tmp_path / "closed").chmod(0o755)
        source.close()


def test_a_file_that_is_kept_open_is_unreadable_once_its_permission_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_root, "CHECK_SECONDS", 1000.0)
    (tmp_path / "file").write_bytes(b"secret")
    if os.geteuid() == 0:
        os.chown(tmp_path / "file", 65534, 65534)
    tmp_path.chmod(0o755)
    fd, source = os.open(tmp_path / "file", os.O_RDONLY), LocalSource(tmp_path, DiskPool())

    async def run() -> list[object]:
        found = await source.locate("/file", CLIENT)
        assert isinstance(found, Resource)
        with await open_located(source, found):
            kept = source.keep_open(found)
            assert kept is not None
        was_current = kept.fileno() is not None and kept.is_current()
        change_mode(fd, 0)
        return [was_current, kept.is_current(), await source.open(found, UNKNOWN, CLIENT)]

    try:
        assert unprivileged(lambda: asyncio.run(run()) == [True, False, NotFound(NotFoundReason.UNREADABLE)])
    finally:
        source.close()
        os.close(fd)


def test_a_file_whose_permissions_have_changed_is_opened_once_more_and_then_kept(
    tree: Path, pool: DiskPool, monkeypatch: pytest.MonkeyPatch, no_leak: None
) -> None:
    monkeypatch.setattr(followed_root, "CHECK_SECONDS", 1000.0)

    async def run() -> None:
        found = await source.locate("/data.csv", CLIENT)
        assert isinstance(found, Resource)
        with await open_located(source, found) as before:
            assert source.keep_open(found) is not None
            change_mode(before.fileno(), 0o600)
            with await open_located(source, found) as after:
                assert after is not before
                kept = source.keep_open(found)
                assert kept is not None and kept.fileno() == after.fileno() and kept.is_current()
                with await open_located(source, found) as another:
                    assert another is after
        source.close()

    source = LocalSource(tree, pool)
    asyncio.run(run())


def change_mode(fd: int, mode: int) -> None:
    """Change the permissions of a file that may have been written within the same tick of the file system's clock."""
    before = os.fstat(fd).st_ctime_ns
    while os.fstat(fd).st_ctime_ns == before:
        os.fchmod(fd, mode)


async def open_located(source: LocalSource, found: Resource) -> FileReader:
    reader = await source.open(found, UNKNOWN, CLIENT)
    assert isinstance(reader, FileReader)
    return reader


def test_a_failing_disk_is_an_error_not_an_absence(tree: Path, pool: DiskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    source = LocalSource(tree, pool)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Root, "open_cached_on_own_mount", fail)
    monkeypatch.setattr(Root, "open_on_own_mount", fail)
    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(source.locate("/data.csv", CLIENT))


def test_any_bytes_of_a_name_are_found_at_their_encoded_target(tree: Path, pool: DiskPool, stepwise: bool) -> None:
    source = LocalSource(tree, pool, SourceOptions(stepwise=stepwise, show_hidden=True))
    for raw in (
        b"\xff\xfe",
        b"a\nb",
        b"%2e%2e",
        b"\\..\\",
        b"q?x=1",
        b"h#h",
        b"a b",
        "\u202eevil".encode(),
        b"...",
        b"~",
    ):
        (tree / os.fsdecode(raw)).write_bytes(raw)
        assert asyncio.run(read_file(source, encode((os.fsdecode(raw),), False))) == raw
    source.close()


def typed(reader: FileReader) -> Reader:
    """Let the type checker prove that a FileReader is a Reader."""
    return reader
