"""Opening beneath a root: neither openat2 nor the walk ever opens anything outside."""

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
    """Return a root with links of every kind, beside a secret."""
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
def test_names_that_a_parser_should_have_rejected_do_not_exist(
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


def test_the_walk_never_opens_from_the_cache(tree: Path) -> None:
    with Root(str(tree), stepwise=True) as root, pytest.raises(BlockingIOError):
        root.open_cached(("file",), os.O_PATH)


def test_opening_from_the_cache_gives_the_same_file_or_none(tree: Path) -> None:
    with Root(str(tree)) as root:
        os.close(root.open(("sub", "file"), os.O_PATH))
        try:
            fd = root.open_cached(("sub", "file"), os.O_PATH)
        except BlockingIOError:
            return  # a kernel before 5.12, or a file system that does not keep names
        try:
            assert os.path.samestat(os.fstat(fd), os.stat(tree / "sub" / "file"))
        finally:
            os.close(fd)


@pytest.mark.parametrize("links", ["refused", "beneath"])
def test_a_directory_swapped_for_a_link_meanwhile_never_leads_outside(tree: Path, links: Links, stepwise: bool) -> None:
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


@pytest.fixture
def elsewhere(tree: Path) -> Path:
    """Return an allowed directory beside the root, and add links to it, through it and out of it."""
    allowed = tree.parent / "allowed"
    (allowed / "sub").mkdir(parents=True)
    (allowed / "file").write_bytes(INSIDE)
    (allowed / "sub" / "file").write_bytes(INSIDE)
    (tree.parent / "alias").symlink_to("allowed")
    for name, target in {
        "allowed-absolute": str(allowed / "file"),
        "allowed-relative": "../allowed/file",
        "allowed-directory": "../allowed",
        "allowed-alias": str(tree.parent / "alias" / "sub" / ".." / "file"),
        "allowed-by-detour": "../beside/../allowed/sub/../file",
        "allowed-chain": "sub/deep/../../allowed-relative",
        "sub/allowed": "../../allowed/sub",
        "escape-from-allowed": str(allowed / ".." / "secret"),
        "prefix": str(allowed) + "-not/file",
        "above": "..",
        "top": "/",
    }.items():
        os.symlink(target, tree / name)
    (tree.parent / "allowed-not").mkdir()
    (tree.parent / "allowed-not" / "file").write_bytes(OUTSIDE)
    (allowed / "escape").symlink_to("../secret")
    (allowed / "into-root").symlink_to(tree / "file")
    (allowed / "round").symlink_to(tree / "allowed-round")
    (tree / "allowed-round").symlink_to(allowed / "round")
    return allowed


@pytest.mark.parametrize(
    "path",
    [
        *("file", *BENEATH, "absolute", "out-and-back"),
        *("allowed-absolute", "allowed-relative", "allowed-alias", "allowed-by-detour", "allowed-chain"),
        *("allowed-directory/file", "allowed-directory/sub/file", "sub/allowed/file", "allowed-directory/into-root"),
        *("above/allowed/file", "above/root/file"),
    ],
)
def test_a_link_to_an_allowed_directory_is_followed_and_so_is_an_absolute_one_into_the_root(
    tree: Path, elsewhere: Path, path: str, stepwise: bool
) -> None:
    with Root(str(tree), "beneath", [str(elsewhere)], stepwise=stepwise) as root:
        assert content(root, *path.split("/")) == INSIDE
        fd = root.open(path.split("/"), os.O_PATH)
        os.close(fd)


@pytest.mark.parametrize(
    "path",
    [
        *("absolute-out", "out", "to-beside", "to-beside/secret", "through", "sub/out-later"),
        *("escape-from-allowed", "allowed-directory/escape", "prefix", "above", "above/secret", "top", "top/etc"),
        *("loop", "allowed-round", "dangling", "magic", "over-a-file"),
    ],
)
def test_a_link_to_anything_else_is_not_followed(tree: Path, elsewhere: Path, path: str, stepwise: bool) -> None:
    with Root(str(tree), "beneath", [str(elsewhere)], stepwise=stepwise) as root:
        for flags in (os.O_RDONLY, os.O_PATH):
            with pytest.raises(OSError, match=r".") as caught:
                root.open(path.split("/"), flags)
            assert caught.value.errno in {errno.ELOOP, errno.EXDEV, errno.ENOENT, errno.ENOTDIR}


def test_an_allowed_directory_above_the_root_allows_its_other_parts(tree: Path, stepwise: bool) -> None:
    with Root(str(tree / "sub"), "beneath", [str(tree.parent)], stepwise=stepwise) as root:
        assert content(root, "up-and-in") == INSIDE
        assert content(root, "out-later") == OUTSIDE


def test_an_allowed_directory_is_looked_up_each_time(tree: Path, elsewhere: Path, stepwise: bool) -> None:
    with Root(str(tree), "beneath", [str(tree.parent / "alias")], stepwise=stepwise) as root:
        assert content(root, "allowed-absolute") == INSIDE
        (tree.parent / "alias").unlink()
        with pytest.raises(OSError, match=r".") as caught:
            root.open(("allowed-absolute",), os.O_RDONLY)
        assert caught.value.errno == errno.EXDEV


def test_forty_links_out_of_the_root_are_followed_and_no_more(tree: Path, elsewhere: Path, stepwise: bool) -> None:
    (elsewhere / "link-0").symlink_to("file")
    for number in range(1, 60):
        (elsewhere / f"link-{number}").symlink_to(f"link-{number - 1}")
    with Root(str(tree), "beneath", [str(elsewhere)], stepwise=stepwise) as root:
        assert content(root, "allowed-directory", "link-38") == INSIDE
        with pytest.raises(OSError, match=r".") as caught:
            root.open(("allowed-directory", "link-39"), os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP


def test_a_link_to_an_allowed_directory_is_never_followed_from_the_cache(tree: Path, elsewhere: Path) -> None:
    with Root(str(tree), "beneath", [str(elsewhere)]) as root, pytest.raises(BlockingIOError):
        root.open_cached(("allowed-absolute",), os.O_PATH)


def test_links_replaced_while_they_are_followed_never_lead_outside(tree: Path, elsewhere: Path, stepwise: bool) -> None:
    (tree / "turning").symlink_to("../allowed/file")
    targets = ["../secret", "../beside/secret", str(tree.parent / "secret"), "../allowed/file", "../allowed/../secret"]
    done = threading.Event()

    def turn() -> None:
        try:
            for number in range(500):
                os.symlink(targets[number % len(targets)], tree / "next")
                os.rename(tree / "next", tree / "turning")
                os.rename(elsewhere / "sub", tree.parent / "moved")
                os.rename(tree.parent / "beside", elsewhere / "sub")
                os.rename(elsewhere / "sub", tree.parent / "beside")
                os.rename(tree.parent / "moved", elsewhere / "sub")
        finally:
            done.set()

    seen = set()
    with Root(str(tree), "beneath", [str(elsewhere)], stepwise=stepwise) as root:
        turner = threading.Thread(target=turn, daemon=True)
        turner.start()
        while not done.is_set():
            try:
                seen.add(content(root, "turning"))
            except OSError:
                continue
        turner.join(60)
        os.symlink("../allowed/file", tree / "next")
        os.rename(tree / "next", tree / "turning")
        seen.add(content(root, "turning"))
    assert seen == {INSIDE}


def test_a_root_is_current_until_its_path_names_another_directory(tree: Path, stepwise: bool) -> None:
    (tree / "current").symlink_to("sub")
    with Root(str(tree / "current"), stepwise=stepwise) as root:
        assert root.is_current()
        os.symlink("sub/deep", tree / "next")
        os.rename(tree / "next", tree / "current")
        assert not root.is_current()
        (tree / "current").unlink()
        with pytest.raises(FileNotFoundError):
            root.is_current()
        (tree / "current").write_bytes(b"")
        with pytest.raises(NotADirectoryError):
            root.is_current()
