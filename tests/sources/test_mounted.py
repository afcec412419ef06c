"""Several paths as one source: which mount answers, what listings show, and that no path leads from one to another."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from freight.config.mounts import Mount
from freight.errors import ConfigurationError
from freight.model import NotFound, NotFoundReason, Resource
from freight.sources.disk_pool import DiskPool
from freight.sources.file_reader import FileReader
from freight.sources.listing import HTML, JSON, PAGES, ListingReader
from freight.sources.lookup import SourceOptions
from freight.sources.mounted import MountedSource
from freight.sources.producer import no_more

CLIENT = "198.51.100.7"
FILES = {
    "root/r.txt": "root",
    "root/data/old.txt": "hidden by a mount",
    "root/way/own.txt": "beside a nested mount",
    "root/plain": "a file where a mount needs a directory",
    "data/d.txt": "data",
    "data/b/no.txt": "hidden by a nested mount",
    "data/.secret": "hidden name",
    "inner/i.txt": "inner",
    "secret/s.txt": "never served",
    "one.csv": "1,2,3\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "data/to-inner").symlink_to("../inner")
    (tmp_path / "data/to-file").symlink_to(tmp_path / "inner/i.txt")
    (tmp_path / "data/to-secret").symlink_to("../secret/s.txt")
    (tmp_path / "data/to-own").symlink_to("d.txt")
    (tmp_path / "root/up").symlink_to("..")
    return tmp_path


def mounts(tree: Path) -> tuple[Mount, ...]:
    return (
        Mount(("data",), tree / "data"),
        Mount(("data", "b"), tree / "inner"),
        Mount(("way", "to", "it"), tree / "inner"),
        Mount(("plain", "x"), tree / "inner"),
        Mount(("table.json",), tree / "one.csv"),
    )


@pytest.fixture
def source(tree: Path, pool: DiskPool) -> Iterator[MountedSource]:
    with closing(MountedSource(tree / "root", mounts(tree), pool)) as made:
        yield made


@pytest.fixture
def rootless(tree: Path, pool: DiskPool) -> Iterator[MountedSource]:
    with closing(MountedSource(None, mounts(tree), pool)) as made:
        yield made


def locate(source: MountedSource, target: str) -> Resource | NotFound:
    return asyncio.run(source.locate(target, CLIENT))


def content(source: MountedSource, target: str, media_type: str = "") -> str:
    """Return the content at a target."""

    async def read() -> str:
        found = await source.locate(target, CLIENT)
        assert isinstance(found, Resource), found
        reader = await source.open(found, media_type or found.media_types[0], CLIENT)
        assert isinstance(reader, FileReader | ListingReader), reader
        with reader:
            if isinstance(reader, ListingReader):
                return b"".join(iter(lambda: reader.read(no_more), b"")).decode()
            return os.pread(reader.fileno() or -1, 1 << 16, 0).decode()

    return asyncio.run(read())


def names(source: MountedSource, target: str) -> list[str]:
    return [each["href"] for each in json.loads(content(source, target, JSON))["entries"]]


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/r.txt", "root"),
        ("/data/d.txt", "data"),
        ("/data/to-own", "data"),
        ("/data/b/i.txt", "inner"),
        ("/way/own.txt", FILES["root/way/own.txt"]),
        ("/way/to/it/i.txt", "inner"),
        ("/plain/x/i.txt", "inner"),
        ("/table.json", FILES["one.csv"]),
        ("//data//d.txt", "data"),
        ("/d%61ta/%64.txt", "data"),
        ("/data/../r.txt", "root"),
        ("/data/b/../d.txt", "data"),
        ("/data/%2e%2e/r.txt", "root"),
        ("/way/../data/./b//i.txt", "inner"),
        ("/../../data/d.txt", "data"),
    ],
)
def test_the_names_of_a_path_choose_its_mount(source: MountedSource, target: str, text: str) -> None:
    assert content(source, target) == text


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize(
    "target",
    [
        *("/data/old.txt", "/data/b/no.txt", "/data/.secret", "/Data/d.txt", "/dat/d.txt", "/data2/d.txt", "/d.txt"),
        *("/data%2Fd.txt", "/data/b%2Fi.txt", "/data/..%2Fr.txt", "/..%2Fsecret/s.txt", "/data/..%2f..%2fsecret/s.txt"),
        *("/data/../secret/s.txt", "/data/b/../../secret/s.txt", "/data/%2e%2e/%2e%2e/secret/s.txt", "/data/../d.txt"),
        *("/data/to-inner/", "/data/to-inner/i.txt", "/data/to-file", "/data/to-secret", "/up/secret/s.txt", "/up/"),
        *("/data/b/../b/no.txt", "/table.json/", "/table.json/one.csv", "/one.csv", "/data/d.txt/", "/data\\d.txt"),
        *("/data/b/i.txt/..%2f", "/data/d.txt/x", "/way/to/it/own.txt", "/" + "data/" * 300),
    ],
)
def test_nothing_else_is_there(source: MountedSource, target: str) -> None:
    found = locate(source, target)
    assert isinstance(found, NotFound)
    assert found.reason is NotFoundReason.ABSENT
    assert not found.only_file


def test_a_link_to_another_mount_is_followed_where_that_is_allowed(tree: Path, pool: DiskPool) -> None:
    options = SourceOptions(allow_links_to=(str(tree / "inner"),))
    with closing(MountedSource(None, mounts(tree), pool, options)) as source:
        assert content(source, "/data/to-file") == "inner"
        assert isinstance(locate(source, "/data/to-secret"), NotFound)


@pytest.mark.parametrize("target", ["/data", "/data/b", "/way", "/way/to", "/way/to/it", "/data/../data", "/plain/x"])
def test_a_mount_without_its_slash_is_moved(source: MountedSource, target: str) -> None:
    found = locate(source, f"{target}?sort=size")
    assert isinstance(found, NotFound)
    assert found.reason is NotFoundReason.MOVED
    assert found.location.endswith(f"/{target.rpartition('/')[2]}/?sort=size")


@pytest.mark.usefixtures("no_leak")
def test_listings_show_mounts_in_place_of_what_they_hide(source: MountedSource) -> None:
    assert names(source, "/") == ["data/", "plain/", "way/", "r.txt", "table.json"]
    assert names(source, "/data/") == ["b/", "d.txt", "to-own"]
    assert names(source, "/data/b/") == ["i.txt"]
    assert names(source, "/way/") == ["to/", "own.txt"]
    assert names(source, "/way/to/") == ["it/"]
    assert names(source, "/plain/") == ["x/"]
    assert names(source, "/?filter=DAT") == ["data/"]
    assert names(source, "/way/to/?filter=other") == []
    listing = json.loads(content(source, "/", JSON))
    table = next(each for each in listing["entries"] if each["name"] == "table.json")
    assert table["size"] == len(FILES["one.csv"])
    assert table["modified"]


@pytest.mark.usefixtures("no_leak")
def test_without_a_path_the_root_has_only_mounts(rootless: MountedSource) -> None:
    assert names(rootless, "/") == ["data/", "plain/", "way/", "table.json"]
    assert names(rootless, "/way/") == ["to/"]
    assert isinstance(locate(rootless, "/r.txt"), NotFound)
    assert content(rootless, "/way/to/it/i.txt") == "inner"


@pytest.mark.parametrize("media_type", [HTML, PAGES])
def test_pages_have_the_whole_path_and_a_way_up(rootless: MountedSource, media_type: str) -> None:
    page = content(rootless, "/way/to/it/", media_type)
    assert "<title>All files/way/to/it</title>" in page
    assert 'href="../"' in page
    assert 'href="../"' not in content(rootless, "/", media_type)
    assert '"path": "/data/b/"' in content(rootless, "/data/b/", JSON)


def test_a_mounted_file_has_the_name_and_the_type_of_its_mount_point(source: MountedSource) -> None:
    found = locate(source, "/table.json")
    assert isinstance(found, Resource)
    assert (found.name, found.media_types, found.only_file) == ("table.json", ("application/json",), "")


def test_a_listing_has_a_validator_that_changes_with_a_mounted_file(source: MountedSource, tree: Path) -> None:
    def tag() -> str:
        found = locate(source, "/")
        assert isinstance(found, Resource)
        return found.tag

    before = tag()
    assert before and tag() == before
    (tree / "one.csv").write_text("longer than before")
    assert tag() != before


def test_hidden_mount_points_are_served_and_not_listed(tree: Path, pool: DiskPool) -> None:
    hidden = (Mount((".well-known",), tree / "inner"),)
    with closing(MountedSource(None, hidden, pool)) as source:
        assert content(source, "/.well-known/i.txt") == "inner"
        assert names(source, "/") == []
    with closing(MountedSource(None, hidden, pool, SourceOptions(show_hidden=True))) as source:
        assert names(source, "/") == [".well-known/"]


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize(
    ("path", "points", "setting"),
    [
        ("one.csv", {"data": "data"}, "path"),
        ("missing", {"data": "data"}, "path"),
        ("root", {"data": "missing"}, "mount"),
        ("root", {"data": "one.csv", "data/x": "inner"}, "mount"),
        ("root", {"data/x": "inner", "data": "one.csv"}, "mount"),
    ],
)
def test_what_cannot_be_served_is_an_error_at_the_start(
    tree: Path, pool: DiskPool, path: str, points: dict[str, str], setting: str
) -> None:
    given = tuple(Mount(tuple(point.split("/")), tree / name) for point, name in points.items())
    with pytest.raises(ConfigurationError) as refused:
        MountedSource(tree / path, given, pool)
    assert refused.value.setting == setting


def test_each_mount_follows_its_path(source: MountedSource, tree: Path) -> None:
    notices: list[str] = []
    source.start(lambda _, message: notices.append(message))
    (tree / "inner").rename(tree / "before")
    (tree / "inner").mkdir()
    (tree / "inner/new.txt").write_text("new")
    source.check_path_soon()
    assert content(source, "/data/b/new.txt") == "new"
    assert content(source, "/data/d.txt") == "data"
    assert notices == [f"{tree / 'inner'} is another directory now, and is served as such"]


@pytest.mark.usefixtures("no_leak")
def test_compressed_forms_are_those_beside_a_file_in_its_own_mount(tree: Path, pool: DiskPool) -> None:
    (tree / "inner/i.txt.zst").write_bytes(b"compressed")

    async def find(source: MountedSource) -> bytes:
        found = await source.locate("/data/b/i.txt", CLIENT)
        assert isinstance(found, Resource)
        (form,) = await source.locate_encoded(found, ("br", "zstd"), 2, CLIENT)
        reader = await source.open(form, form.media_types[0], CLIENT)
        assert isinstance(reader, FileReader)
        with reader:
            return os.pread(reader.fileno() or -1, 100, 0)

    with closing(MountedSource(None, mounts(tree), pool, SourceOptions(precompressed=True))) as source:
        assert asyncio.run(find(source)) == b"compressed"
