"""A listing of a directory with entries that cannot be examined has all others, and these without size and date."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from freight.model import NotFound, Resource
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import HTML, JSON, PAGES
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from freight.sources.producer import no_more

CLIENT = "192.0.2.1"
QUERIES = [f"?sort={by}&order={order}" for by in ("name", "size", "date") for order in ("asc", "desc")]


def listed(root: Path, target: str, media_type: str, options: SourceOptions | None = None) -> str:
    with closing(DiskPool()) as pool:
        source = LocalSource(root, pool, options)
        found = asyncio.run(source.locate(target, CLIENT))
        assert isinstance(found, Resource)
        reader = asyncio.run(source.open(found, media_type, CLIENT))
        assert not isinstance(reader, NotFound)
        with reader:
            text = b"".join(iter(lambda: reader.read(no_more), b"")).decode()
        source.close()
    return text


@pytest.fixture
def dead_mount(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a FUSE file system whose process has gone: every call on it fails with ENOTCONN."""
    point = tmp_path / "dead"
    point.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("needs /dev/fuse")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"dead", os.fsencode(point), b"fuse", 0, options):
        os.close(fd)
        pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    os.close(fd)  # as the end of its process does
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            point.stat()
        yield point
    finally:
        libc.umount2(os.fsencode(point), 2)  # MNT_DETACH


@pytest.mark.parametrize("query", QUERIES)
def test_a_dead_mount_point_is_an_entry_without_size_and_date(dead_mount: Path, query: str) -> None:
    root = dead_mount.parent
    (root / "a.txt").write_bytes(b"12345")
    (root / "z").mkdir()
    entries = {each["name"]: each for each in json.loads(listed(root, f"/{query}", JSON))["entries"]}
    assert sorted(entries) == ["a.txt", "dead", "z"]
    assert entries["dead"] == {"name": "dead", "type": "directory", "size": None, "modified": None, "href": "dead/"}
    assert entries["a.txt"]["size"] == 5 and entries["z"]["modified"]
    assert '<a href="dead/">dead/</a> - -\n' in listed(root, f"/{query}", HTML)
    page = listed(root, f"/{query}", PAGES)
    assert re.search(r'href="dead/"><bdi>dead/</bdi></a></th><td class="n"></td><td></td></tr>', page)
    assert page.endswith("</html>\n")


def test_a_link_to_a_dead_mount_is_an_entry_of_another_kind(dead_mount: Path) -> None:
    root = dead_mount.parent
    (root / "a.txt").touch()
    (root / "link").symlink_to("dead/file")
    entries = json.loads(listed(root, "/", JSON, SourceOptions(follow_symlinks=True)))["entries"]
    found = {each["name"]: (each["type"], each["size"], each["modified"]) for each in entries}
    assert found["link"] == ("other", None, None)
    assert found.keys() == {"a.txt", "dead", "link"}


ERRORS = [
    "EACCES",
    "EPERM",
    "EIO",
    "ELOOP",
    "ENAMETOOLONG",
    "EOVERFLOW",
    "ESTALE",
    "ENOTCONN",
    "EHOSTDOWN",
    "ETIMEDOUT",
]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("query", QUERIES)
def test_any_error_of_one_entry_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, query: str
) -> None:
    for entry in ("a.txt", "bad.txt", "z.txt"):
        (tmp_path / entry).write_bytes(b"12345")
    number, real = getattr(errno, name), os.stat

    def fail(path: str, **options: bool | int) -> os.stat_result:
        if path == "bad.txt":
            raise OSError(number, os.strerror(number))
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", fail)
    entries = {each["name"]: each for each in json.loads(listed(tmp_path, f"/{query}", JSON))["entries"]}
    assert sorted(entries) == ["a.txt", "bad.txt", "z.txt"]
    bad = entries["bad.txt"]
    assert (bad["type"], bad["size"], bad["modified"]) == ("file", None, None)
    assert all(entries[other]["size"] == 5 for other in ("a.txt", "z.txt"))


def test_an_entry_that_is_removed_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in ("a.txt", "gone.txt"):
        (tmp_path / entry).touch()
    real = os.stat

    def remove_first(path: str, **options: bool | int) -> os.stat_result:
        if path == "gone.txt":
            (tmp_path / "gone.txt").unlink(missing_ok=True)
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", remove_first)
    entries = json.loads(listed(tmp_path, "/", JSON))["entries"]
    assert [each["name"] for each in entries] == ["a.txt"]
