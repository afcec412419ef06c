"""Compressed forms of files: which ones the local source finds, and when it opens them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freight.errors import FileChanged
from freight.model import IDENTITY, NotFound, Resource
from freight.sources.disk_pool import DiskPool
from freight.sources.local import LocalSource
from freight.sources.lookup import FileKey, SourceOptions
from support.replacing import located, replace_by_directory, replace_by_fifo

CLIENT = "192.0.2.1"
ALL = ("zstd", "br", "gzip")
OLD_NS = 1_700_000_000 * 10**9 + 5


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for name in ("data.csv", "data.csv.zst", "data.csv.br", "data.csv.gz", "sub/plain.csv"):
        write(root / name)
    return root


def write(path: Path, mtime_ns: int = OLD_NS, content: bytes = b"content") -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def source(tree: Path, pool: DiskPool, stepwise: bool, no_leak: None) -> Iterator[LocalSource]:
    made = LocalSource(tree, pool, SourceOptions(stepwise=stepwise, precompressed=True))
    yield made
    made.close()


def forms(
    source: LocalSource, target: str = "/data.csv", codings: tuple[str, ...] = ALL, most: int = 3
) -> tuple[Resource, ...]:
    return asyncio.run(source.locate_encoded(located(source, target), codings, most, CLIENT))


def codings_of(found: tuple[Resource, ...]) -> tuple[str, ...]:
    return tuple(each.coding for each in found)


def test_forms_are_found_in_the_order_of_the_codings(source: LocalSource) -> None:
    assert codings_of(forms(source)) == ALL
    assert codings_of(forms(source, codings=("gzip", "zstd"))) == ("gzip", "zstd")
    assert codings_of(forms(source, most=1)) == ("zstd",)
    assert forms(source, "/sub/plain.csv") == ()


def test_a_form_has_the_name_and_the_type_of_its_file_and_its_own_size_and_time(
    source: LocalSource, tree: Path
) -> None:
    write(tree / "data.csv.gz", OLD_NS + 7, b"compressed")
    (form,) = forms(source, codings=("gzip",))
    assert (form.name, form.media_types) == ("data.csv", ("text/csv",))
    assert (form.size, form.mtime_ns) == (10, OLD_NS + 7)
    assert isinstance(form.key, FileKey)
    assert form.key.names == ("data.csv.gz",)


def make_older(form: Path) -> None:
    os.utime(form, ns=(OLD_NS - 1, OLD_NS - 1))


def make_empty(form: Path) -> None:
    write(form, content=b"")


def lead_out(form: Path) -> None:
    write(form.parent.parent / "outside.gz")
    form.unlink()
    form.symlink_to("../outside.gz")


@pytest.mark.parametrize(
    "change", [Path.unlink, make_older, replace_by_directory, replace_by_fifo, make_empty, lead_out]
)
def test_what_is_no_usable_form_is_not_found(source: LocalSource, tree: Path, change: Callable[[Path], None]) -> None:
    change(tree / "data.csv.gz")
    assert codings_of(forms(source)) == ("zstd", "br")


def test_a_form_may_be_a_link_beneath_the_root_unless_links_are_refused(
    source: LocalSource, tree: Path, pool: DiskPool, stepwise: bool
) -> None:
    (tree / "data.csv.gz").rename(tree / "sub" / "elsewhere")
    (tree / "data.csv.gz").symlink_to("sub/elsewhere")
    assert "gzip" in codings_of(forms(source))
    refusing = LocalSource(tree, pool, SourceOptions(stepwise=stepwise, precompressed=True, follow_symlinks=False))
    assert "gzip" not in codings_of(forms(refusing))
    refusing.close()


def test_a_file_with_the_same_time_as_its_form_has_it_and_a_later_one_does_not(source: LocalSource, tree: Path) -> None:
    write(tree / "data.csv", OLD_NS)
    assert len(forms(source)) == 3
    write(tree / "data.csv", OLD_NS + 1)
    assert forms(source) == ()


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("a.csv", IDENTITY),
        ("a", IDENTITY),
        ("a.csv.gz", ""),
        ("a.br", ""),
        ("a.JPG", ""),
        ("a.zip", ""),
        ("a.svgz", ""),
    ],
)
def test_files_that_are_compressed_already_have_no_forms(
    source: LocalSource, tree: Path, name: str, coding: str
) -> None:
    write(tree / name)
    assert located(source, f"/{name}").coding == coding


@pytest.mark.parametrize("options", [{}, {"precompressed": True, "chunked": True}])
def test_without_the_option_and_without_lengths_no_file_has_forms(
    tree: Path, pool: DiskPool, options: dict[str, bool]
) -> None:
    source = LocalSource(tree, pool, SourceOptions(**options))
    assert located(source).coding == ""
    assert located(source, "/").coding == ""
    source.close()


def test_a_hidden_file_that_a_rule_reveals_has_no_forms(source: LocalSource, tree: Path) -> None:
    for name in (".zgroup", ".zgroup.gz"):
        write(tree / name)
    found = asyncio.run(source.locate("/.zgroup", CLIENT, revealed=True))
    assert isinstance(found, Resource)
    assert asyncio.run(source.locate_encoded(found, ALL, 3, CLIENT)) == ()


def test_a_listing_shows_the_forms_and_has_none(source: LocalSource) -> None:
    assert located(source, "/").coding == ""


def test_one_file_has_the_forms_beside_it(tree: Path, pool: DiskPool, stepwise: bool, no_leak: None) -> None:
    source = LocalSource(tree / "data.csv", pool, SourceOptions(stepwise=stepwise, precompressed=True))
    assert codings_of(forms(source, "/")) == ALL
    assert codings_of(forms(source, "/data.csv")) == ALL
    assert isinstance(asyncio.run(source.locate("/data.csv.gz", CLIENT)), NotFound)
    source.close()


def read(source: LocalSource, form: Resource) -> bytes:
    reader = asyncio.run(source.open(form, form.media_types[0], CLIENT))
    assert not isinstance(reader, NotFound)
    with reader:
        descriptor = reader.fileno()
        assert descriptor is not None
        return os.pread(descriptor, 1000, 0)


def test_a_form_is_opened(source: LocalSource, tree: Path) -> None:
    write(tree / "data.csv.gz", content=b"compressed")
    (form,) = forms(source, codings=("gzip",))
    assert read(source, form) == b"compressed"


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
@pytest.mark.parametrize("change", [Path.unlink, lambda path: write(path, OLD_NS + 1, b"another version")])
@pytest.mark.parametrize("is_open", [False, True], ids=["opened", "shared"])
def test_a_form_is_located_again_if_it_or_its_file_has_changed(
    source: LocalSource, tree: Path, name: str, change: Callable[[Path], None], is_open: bool
) -> None:
    (form,) = forms(source, codings=("gzip",))
    other = asyncio.run(source.open(form, "text/csv", CLIENT)) if is_open and name == "data.csv" else None
    change(tree / name)
    with pytest.raises(FileChanged):
        asyncio.run(source.open(form, "text/csv", CLIENT))
    if other is not None and not isinstance(other, NotFound):
        with other:
            pass
