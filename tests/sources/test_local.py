"""The local source: what is at a target, and opening exactly that."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from freight.core.target import encode
from freight.disk import DiskPool
from freight.errors import Changed, Unservable
from freight.model import Absence, Missing, Resource
from freight.ports import Reader
from freight.sources.local import FileReader, LocalSource

ASKING = "192.0.2.1"

ABSENT = Absence(Missing.ABSENT)
UNKNOWN = "application/octet-stream"

Locate = Callable[..., Resource | Absence]


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
    def look(target: str, **options: bool) -> Resource | Absence:
        source = LocalSource(tree, pool=pool, stepwise=stepwise, **options)
        try:
            return asyncio.run(source.locate(target, ASKING))
        finally:
            source.close()

    return look


async def taken(source: LocalSource, target: str) -> bytes:
    """A file's bytes as the source hands them out."""
    found = await source.locate(target, ASKING)
    assert isinstance(found, Resource)
    reader = await source.open(found, found.media_types[0], ASKING)
    assert not isinstance(reader, Absence)
    with reader:
        descriptor = reader.fileno()
        assert descriptor is not None and reader.size is not None
        return os.pread(descriptor, reader.size, 0)


def opened(source: LocalSource, target: str) -> FileReader:
    async def reader() -> FileReader:
        found = await source.locate(target, ASKING)
        assert isinstance(found, Resource)
        reader = await source.open(found, found.media_types[0], ASKING)
        assert isinstance(reader, FileReader)
        return reader

    return asyncio.run(reader())


def test_a_file_is_named_measured_and_typed(locate: Locate, tree: Path) -> None:
    found = locate("/data.csv")
    assert isinstance(found, Resource)
    stat = (tree / "data.csv").stat()
    assert (found.name, found.size, found.mtime_ns) == ("data.csv", stat.st_size, stat.st_mtime_ns)
    assert found.media_types == ("text/csv",)


def test_without_length_a_file_keeps_its_time_and_tells_no_size(locate: Locate, tree: Path) -> None:
    found = locate("/data.csv", no_length=True)
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
        "/sub/../data.csv",
        "/sub/%2e%2e/%2e%2e/secret.csv",
        "/sub/..%2f..%2fsecret.csv",
        "/..%5csecret.csv",
        "/..\\secret.csv",
        "/%252e%252e/secret.csv",
        "/.../secret.csv",
        "/./data.csv",
        "//data.csv",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/sub//back%5Cslash",
        "/.git/config",
        "/.git/",
        "/.git",
        "/sub/.env",
        "/link.csv",
        "/out.csv",
        "/absolute.csv",
        "/" + "x" * 300,
        "/" + "sub/" * 2000,
    ],
)
def test_nothing_is_there(locate: Locate, target: str) -> None:
    assert locate(target) == ABSENT


@pytest.mark.parametrize("target", ["", "*", "data.csv", "/data.csv%", "/%0", "/%zz", "/data.csv%00", "/%00", "/a b"])
def test_what_is_no_path_is_malformed(locate: Locate, target: str) -> None:
    assert locate(target) == Absence(Missing.MALFORMED)


def test_a_backslash_is_a_letter_of_a_name(locate: Locate) -> None:
    assert isinstance(locate("/sub/back%5Cslash"), Resource)


def test_links_are_followed_on_request_and_only_beneath_the_root(locate: Locate) -> None:
    assert isinstance(locate("/link.csv", follow_links=True), Resource)
    assert locate("/out.csv", follow_links=True) == ABSENT
    assert locate("/absolute.csv", follow_links=True) == ABSENT


@pytest.mark.parametrize("target", ["/.git/config", "/sub/.env", "/.git/"])
def test_hidden_files_are_there_on_request(locate: Locate, target: str) -> None:
    assert isinstance(locate(target, hidden=True), Resource)


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_neither_file_nor_directory_is_absent_and_looking_never_hangs(
    locate: Locate, tree: Path, kind: str
) -> None:
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
            pytest.skip("making a device takes root")
    assert locate("/special") == ABSENT
    assert locate("/special/") == ABSENT


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("/two%20words", "/two%20words/"),
        ("/s%75b?sort=size&order=desc", "/sub/?sort=size&order=desc"),
        ("/sub?", "/sub/?"),
        ("/sub?x=\xe9", "/sub/?x=%E9"),
        ("/sub?//elsewhere", "/sub/?//elsewhere"),
    ],
)
def test_a_directory_without_its_slash_has_moved(locate: Locate, target: str, location: str) -> None:
    assert locate(target) == Absence(Missing.MOVED, location)


@pytest.mark.parametrize("target", ["//sub", "/%2Fsub", "//sub?x", "/\\sub"])
def test_no_location_points_to_another_host(locate: Locate, target: str) -> None:
    assert locate(target) == ABSENT


@pytest.mark.parametrize("target", ["/", "/sub/", "/two%20words/", "/?sort=size&order=desc", "/?sort=nonsense"])
def test_a_directory_is_a_listing_in_two_media_types(locate: Locate, target: str) -> None:
    found = locate(target)
    assert isinstance(found, Resource)
    assert (found.name, found.size, found.mtime_ns) == ("", None, None)
    assert found.media_types == ("text/html", "application/json")


@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_single_file_answers_at_the_root_and_at_its_name(
    tree: Path, pool: DiskPool, stepwise: bool, linked: bool
) -> None:
    name = "absolute.csv" if linked else "data.csv"
    source = LocalSource(tree / name, pool=pool, stepwise=stepwise)
    for target in ("/", f"/{name}", "/?x=1"):
        found = asyncio.run(source.locate(target, ASKING))
        assert isinstance(found, Resource) and found.name == found.only == name
        assert asyncio.run(taken(source, target)) == b"a,b\n1,2\n"
    for target in ("/sub/", f"/{name}/", "/link.csv", "/secret.csv", f"/{name}/x"):
        assert asyncio.run(source.locate(target, ASKING)) == Absence(Missing.ABSENT, only=name)
    source.close()


def test_a_link_the_operator_turns_to_another_file_is_followed(tree: Path, pool: DiskPool) -> None:
    (tree / "new.csv").write_bytes(b"new")
    (tree / "current").symlink_to("data.csv")
    source = LocalSource(tree / "current", pool=pool)
    assert asyncio.run(taken(source, "/")) == b"a,b\n1,2\n"
    (tree / "turned").symlink_to("new.csv")
    os.rename(tree / "turned", tree / "current")
    assert asyncio.run(taken(source, "/")) == b"new"
    source.close()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("name", ["missing", "fifo", "loop"])
def test_a_path_that_cannot_be_served_is_said_in_one_line(tree: Path, pool: DiskPool, name: str) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "loop").symlink_to("loop")
    with pytest.raises(Unservable) as caught:
        LocalSource(tree / name, pool=pool)
    assert str(tree / name) in str(caught.value) and "\n" not in str(caught.value)


def rewrite(path: Path) -> None:
    path.write_bytes(b"another length")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../secret.csv")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize(
    "change", [rewrite, touch, Path.unlink, replace_by_fifo, replace_by_link, replace_by_directory]
)
def test_a_file_that_changed_since_it_was_located_is_not_opened(
    tree: Path, pool: DiskPool, stepwise: bool, change: Callable[[Path], None]
) -> None:
    source = LocalSource(tree, pool=pool, stepwise=stepwise)
    found = asyncio.run(source.locate("/data.csv", ASKING))
    assert isinstance(found, Resource)
    change(tree / "data.csv")
    with pytest.raises(Changed):
        asyncio.run(source.open(found, "text/csv", ASKING))
    source.close()


@pytest.mark.usefixtures("no_leak")
def test_a_directory_gone_since_it_was_located_is_not_opened(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool=pool)
    found = asyncio.run(source.locate("/two%20words/", ASKING))
    assert isinstance(found, Resource)
    (tree / "two words").rmdir()
    with pytest.raises(Changed):
        asyncio.run(source.open(found, "text/html", ASKING))
    source.close()


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("no_length", [False, True])
def test_an_open_file_tells_its_size_and_when_it_changes(
    tree: Path, pool: DiskPool, stepwise: bool, no_length: bool
) -> None:
    source = LocalSource(tree, pool=pool, stepwise=stepwise, no_length=no_length)
    found = asyncio.run(source.locate("/data.csv", ASKING))
    assert isinstance(found, Resource)
    reader = asyncio.run(source.open(found, "text/csv", ASKING))
    assert not isinstance(reader, Absence)
    with reader:
        assert reader.size == 8
        reader.check()
        os.truncate(tree / "data.csv", 4)
        with pytest.raises(Changed):
            reader.check()
    source.close()


def test_a_reader_closes_once_and_never_another_ones_descriptor(tree: Path) -> None:
    first = FileReader(os.open(tree / "data.csv", os.O_RDONLY), 8, 0, 0)
    with first:
        number = first.fileno()
    reused = os.open(tree / "data.csv", os.O_RDONLY)
    assert reused == number
    first.__exit__(None, None, None)
    os.fstat(reused)
    os.close(reused)


@pytest.mark.usefixtures("no_leak")
def test_downloads_of_one_file_share_a_descriptor_and_the_last_one_closes_it(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool=pool)
    first, second = opened(source, "/data.csv"), opened(source, "/data.csv")
    assert first is second
    with first:
        pass
    os.fstat(second.fileno() or -1)
    with second:
        pass
    assert second.fileno() == -1
    with opened(source, "/data.csv") as third:
        assert third is not first
    source.close()


@pytest.mark.usefixtures("no_leak")
def test_without_descriptors_left_it_is_busy_not_absent(tree: Path, pool: DiskPool, stepwise: bool) -> None:
    source = LocalSource(tree, pool=pool, stepwise=stepwise)

    async def run() -> tuple[object, object]:
        found = await source.locate("/data.csv", ASKING)
        pool.start(source.device)
        assert isinstance(found, Resource)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            return await source.locate("/data.csv", ASKING), await source.open(found, "text/csv", ASKING)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert asyncio.run(run()) == (Absence(Missing.BUSY), Absence(Missing.BUSY))
    source.close()


class HeldPool(DiskPool):
    """A pool whose jobs wait for ``go``."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.at_work = threading.Event()

    def submit(self, call, **whose):  # type: ignore[no-untyped-def]
        def held():  # type: ignore[no-untyped-def]
            self.at_work.set()
            self.go.wait(10)
            return call()

        return super().submit(held, **whose)


@pytest.mark.usefixtures("no_leak")
def test_an_open_given_up_in_the_pool_leaves_no_descriptor(tree: Path) -> None:
    with closing(HeldPool()) as pool:
        source = LocalSource(tree, pool=pool, stepwise=True)  # the walk always goes to the pool

        async def run() -> None:
            pool.go.set()
            found = await source.locate("/data.csv", ASKING)
            assert isinstance(found, Resource)
            pool.go.clear()
            pool.at_work.clear()
            opening = asyncio.ensure_future(source.open(found, "text/csv", ASKING))
            assert await asyncio.to_thread(pool.at_work.wait, 10)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            pool.go.set()

        asyncio.run(run())
        source.close()


def unprivileged(check: Callable[[], bool]) -> bool:
    """What ``check`` says in a child without root's powers."""
    child = os.fork()
    if child == 0:
        verdict = 2
        try:
            signal.alarm(20)  # it ends, whatever it waits for
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            verdict = 0 if check() else 1
        finally:
            os._exit(verdict)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_may_not_be_read_is_unreadable(tmp_path: Path, stepwise: bool) -> None:
    (tmp_path / "private").write_bytes(b"secret")
    (tmp_path / "private").chmod(0)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").write_bytes(b"secret")
    (tmp_path / "closed").chmod(0)
    tmp_path.chmod(0o755)
    # Made before powers are dropped: what is above the root need not be reachable from its descriptor.
    source = LocalSource(tmp_path, pool=DiskPool(), stepwise=stepwise)

    async def run() -> list[object]:
        results: list[object] = [await source.locate("/closed/file", ASKING)]
        for target in ("/private", "/closed/"):
            found = await source.locate(target, ASKING)
            assert isinstance(found, Resource)
            results.append(await source.open(found, found.media_types[0], ASKING))
        return results

    try:
        assert unprivileged(lambda: asyncio.run(run()) == [Absence(Missing.UNREADABLE)] * 3)
    finally:
        (tmp_path / "closed").chmod(0o755)
        source.close()


def test_a_failing_disk_is_a_surprise_not_an_absence(tree: Path, pool: DiskPool) -> None:
    source = LocalSource(tree, pool=pool)

    class Failing:
        def open(self, *_: object, **__: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

    whole, source._root = source._root, Failing()  # type: ignore[assignment]
    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(source.locate("/data.csv", ASKING))
    whole.close()


def test_any_name_of_bytes_is_found_at_its_encoded_target(tree: Path, pool: DiskPool, stepwise: bool) -> None:
    source = LocalSource(tree, pool=pool, stepwise=stepwise, hidden=True)
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
        assert asyncio.run(taken(source, encode((os.fsdecode(raw),), False))) == raw
    source.close()


def typed(reader: FileReader) -> Reader:
    """The type checker's word that a FileReader is a Reader."""
    return reader
