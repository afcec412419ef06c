"""Opening beneath a root: nothing outside it is ever opened, by openat2 and by the walk alike."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from freight.sources.beneath import Links, Root

INSIDE, OUTSIDE = b"inside", b"outside"

pytestmark = pytest.mark.usefixtures("no_leak")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with links of every kind, and a secret beside it."""
    (tmp_path / "secret").write_bytes(OUTSIDE)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "secret").write_bytes(OUTSIDE)
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "file").write_bytes(INSIDE)
    (root / "sub" / "file").write_bytes(INSIDE)
    (root / "sub" / "deep" / "file").write_bytes(INSIDE)
    for name, target in {
        "to-file": "file",
        "to-sub": "sub",
        "to-here": ".",
        "sub/up-and-in": "../file",
        "sub/deep/down-the-hall": "../../sub/./file",
        "chain": "to-sub/deep/../up-and-in",
        "absolute": str(root / "file"),
        "absolute-out": str(tmp_path / "secret"),
        "out": "../secret",
        "out-and-back": "../root/file",
        "sub/out-later": "../../secret",
        "to-beside": "../beside",
        "through": "to-beside/secret",
        "loop": "loop",
        "dangling": "nothing",
        "magic": "/proc/self/cwd",
        "over-a-file": "file/../file",
    }.items():
        os.symlink(target, root / name)
    return root


def content(root: Root, *names: str) -> bytes:
    with os.fdopen(root.open(names, os.O_RDONLY), "rb") as file:
        return file.read()


@pytest.mark.parametrize("links", ["refused", "beneath"])
@pytest.mark.parametrize("path", ["file", "sub/file", "sub/deep/file"])
def test_what_is_beneath_the_root_opens(tree: Path, path: str, links: Links, stepwise: bool) -> None:
    with Root(str(tree), links, stepwise=stepwise) as root:
        assert content(root, *path.split("/")) == INSIDE


BENEATH = [
    "to-file",
    "to-sub/file",
    "to-here/to-here/file",
    "sub/up-and-in",
    "sub/deep/down-the-hall",
    "chain",
    "to-sub/deep/file",
]


@pytest.mark.parametrize("path", BENEATH)
def test_a_link_beneath_the_root_is_followed_only_on_request(tree: Path, path: str, stepwise: bool) -> None:
    with Root(str(tree), "beneath", stepwise=stepwise) as root:
        assert content(root, *path.split("/")) == INSIDE
    with Root(str(tree), "refused", stepwise=stepwise) as root:
        for flags in (os.O_RDONLY, os.O_PATH):
            with pytest.raises(OSError, match=r".") as caught:
                root.open(path.split("/"), flags)
            assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}


@pytest.mark.parametrize("links", ["refused", "beneath"])
@pytest.mark.parametrize(
    "path",
    [
        "absolute",
        "absolute-out",
        "out",
        "out-and-back",
        "sub/out-later",
        "to-beside",
        "to-beside/secret",
        "through",
        "loop",
        "dangling",
        "magic",
        "magic/file",
        "over-a-file",
        "missing",
        "file/below-a-file",
        "sub/\\..\\..\\secret",
        "..%2Fsecret",
        "x" * 256,
    ],
)
def test_no_link_and_no_name_leads_outside(tree: Path, path: str, links: Links, stepwise: bool) -> None:
    with Root(str(tree), links, stepwise=stepwise) as root:
        for flags in (os.O_RDONLY, os.O_PATH):
            with pytest.raises(OSError, match=r".") as caught:
                root.open(path.split("/"), flags)
            assert caught.value.errno in {
                errno.ELOOP,
                errno.EXDEV,
                errno.ENOENT,
                errno.ENOTDIR,
                errno.ENAMETOOLONG,
            }


@pytest.mark.parametrize(
    "names",
    [
        ("..", "secret"),
        ("sub", "..", "..", "secret"),
        (".", "file"),
        ("", "file"),
        ("sub", ""),
        ("sub/../../secret",),
        ("/etc/passwd",),
        ("file\0",),
        ("\0",),
    ],
)
def test_names_that_no_parser_should_let_through_are_refused(
    tree: Path, names: tuple[str, ...], stepwise: bool
) -> None:
    with Root(str(tree), "beneath", stepwise=stepwise) as root, pytest.raises(FileNotFoundError):
        root.open(names, os.O_RDONLY)


def test_a_path_longer_than_the_kernel_takes_is_refused(tree: Path, stepwise: bool) -> None:
    with Root(str(tree), stepwise=stepwise) as root, pytest.raises(OSError, match=r".") as caught:
        root.open(("sub",) * 1500, os.O_RDONLY)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_forty_links_are_followed_and_no_more(tree: Path, stepwise: bool) -> None:
    (tree / "link-0").symlink_to("file")
    for number in range(1, 60):
        (tree / f"link-{number}").symlink_to(f"link-{number - 1}")
    with Root(str(tree), "beneath", stepwise=stepwise) as root:
        assert content(root, "link-39") == INSIDE
        with pytest.raises(OSError, match=r".") as caught:
            root.open(("link-40",), os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP


def test_no_names_mean_the_root_itself(tree: Path, stepwise: bool) -> None:
    with Root(str(tree), stepwise=stepwise) as root:
        for flags in (os.O_PATH, os.O_RDONLY | os.O_DIRECTORY):
            fd = root.open((), flags)
            try:
                assert os.path.samestat(os.fstat(fd), os.stat(tree))
            finally:
                os.close(fd)


def test_a_file_is_no_directory(tree: Path, stepwise: bool) -> None:
    with Root(str(tree), stepwise=stepwise) as root:
        for flags in (os.O_PATH, os.O_RDONLY):
            with pytest.raises(NotADirectoryError):
                root.open(("file",), flags | os.O_DIRECTORY)


def test_descriptors_are_closed_on_exec(tree: Path, stepwise: bool) -> None:
    with Root(str(tree), stepwise=stepwise) as root:
        for flags in (os.O_PATH, os.O_RDONLY):
            for names in ((), ("file",), ("sub", "file")):
                fd = root.open(names, flags)
                try:
                    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
                finally:
                    os.close(fd)


def test_the_operators_own_link_leads_anywhere(tree: Path, stepwise: bool) -> None:
    with Root(str(tree), "anywhere", stepwise=stepwise) as root:
        assert content(root, "absolute-out") == OUTSIDE


def test_the_walk_never_promises_to_spare_the_disk(tree: Path) -> None:
    with Root(str(tree), stepwise=True) as root, pytest.raises(BlockingIOError):
        root.open(("file",), os.O_PATH, cached=True)


def test_a_cached_look_is_that_of_the_disk_or_none(tree: Path) -> None:
    with Root(str(tree)) as root:
        os.close(root.open(("sub", "file"), os.O_PATH))
        try:
            fd = root.open(("sub", "file"), os.O_PATH, cached=True)
        except BlockingIOError:
            return  # a kernel before 5.12, or a file system that does not keep names
        try:
            assert os.path.samestat(os.fstat(fd), os.stat(tree / "sub" / "file"))
        finally:
            os.close(fd)


@pytest.mark.parametrize("links", ["refused", "beneath"])
def test_a_directory_swapped_for_a_link_while_we_open_never_leads_outside(
    tree: Path, links: Links, stepwise: bool
) -> None:
    swaps = 2000
    (tree / "sub" / "secret").write_bytes(INSIDE)
    (tree / "bait").symlink_to("../beside")
    done = threading.Event()

    def swap() -> None:
        try:
            for _ in range(swaps):
                os.rename(tree / "sub", tree / "kept")
                os.rename(tree / "bait", tree / "sub")
                os.rename(tree / "sub", tree / "bait")
                os.rename(tree / "kept", tree / "sub")
        finally:
            done.set()

    seen = set()
    with Root(str(tree), links, stepwise=stepwise) as root:
        swapper = threading.Thread(target=swap, daemon=True)
        swapper.start()
        while not done.is_set():
            try:
                seen.add(content(root, "sub", "secret"))
            except OSError:
                continue
        swapper.join(60)
        seen.add(content(root, "sub", "secret"))
    assert seen == {INSIDE}
