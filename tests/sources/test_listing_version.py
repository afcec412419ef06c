"""Validators of listings: a 304 only if the listing would be the same, and a date that every change moves."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.sources import listing_version
from support.many_files import make_files
from support.servers import Serve, ServerProcess, wait_until

BROWSER = "Accept: text/html,application/xhtml+xml"
PROGRAM = "Accept: */*"
JSON = "Accept: application/json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_bytes(b"12345")
    (root / "b.csv").write_bytes(b"12345")
    return root


def settle(server: ServerProcess) -> None:
    """Wait until the second of the last change is over: from then on a listing has a date."""
    wait_until(lambda: "last-modified" in server.get("/").fields, "a date")


def overwrite(root: Path) -> None:
    (root / "a.csv").write_bytes(b"54321")


def overwrite_and_set_the_time_back(root: Path) -> None:
    before = (root / "a.csv").stat()
    (root / "a.csv").write_bytes(b"1234567")
    os.utime(root / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))


def append(root: Path) -> None:
    with (root / "a.csv").open("ab") as file:
        file.write(b"6")


CHANGES: list[Callable[[Path], object]] = [
    overwrite,
    overwrite_and_set_the_time_back,
    append,
    lambda root: (root / "c.csv").touch(),
    lambda root: (root / "a.csv").unlink(),
    lambda root: (root / "a.csv").rename(root / "z.csv"),
    lambda root: (root / "a.csv").replace(root / "b.csv"),
    lambda root: (root / "sub" / "inner").touch(),
    lambda root: os.utime(root / "a.csv", ns=(0, 10**18)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_what_is_listed_ends_the_304(
    serve: Serve, root: Path, change: Callable[[Path], object]
) -> None:
    server = serve(root)
    settle(server)
    before = {accept: server.get("/", accept).fields for accept in (BROWSER, PROGRAM, JSON)}
    for accept, fields in before.items():
        tag = fields["etag"]
        assert tag.startswith('W/"') and fields["cache-control"] == "no-cache" and fields["vary"] == "Accept"
        answer = server.get("/", accept, f"If-None-Match: {tag}")
        assert (answer.status, answer.content) == (304, b"")
        assert (answer.fields["etag"], answer.fields["cache-control"]) == (tag, "no-cache")
    change(root)
    for accept, fields in before.items():
        answer = server.get("/", accept, f"If-None-Match: {fields['etag']}")
        assert answer.status == 200 and answer.fields["etag"] != fields["etag"]
    settle(server)
    for accept, fields in before.items():
        assert server.get("/", accept).fields["last-modified"] != fields["last-modified"]


def test_a_date_is_no_condition_for_a_listing(serve: Serve, root: Path) -> None:
    """After a 304, ``wget -m`` does not descend: it would miss all changes in the directories below."""
    server = serve(root)
    settle(server)
    date = server.get("/").fields["last-modified"]
    assert server.get("/", f"If-Modified-Since: {date}").status == 200


def test_head_has_the_validators_of_get(serve: Serve, root: Path) -> None:
    server = serve(root)
    settle(server)
    get = server.get("/").fields
    with server.connect() as client:
        client.get("/", method="HEAD")
        head = client.read_response("HEAD").fields
    assert {name: head[name] for name in ("etag", "last-modified")} == {
        name: get[name] for name in ("etag", "last-modified")
    }


def test_representations_and_orders_have_tags_of_their_own(serve: Serve, root: Path) -> None:
    server = serve(root)
    targets = [f"/{query}" for query in ("", "?sort=size", "?order=desc", "?filter=a")]
    tags = [server.get(target, accept).fields["etag"] for target in targets for accept in (BROWSER, PROGRAM, JSON)]
    assert len(set(tags)) == len(tags)
    assert server.get("/sub/").fields["etag"] not in tags


def test_the_tag_does_not_depend_on_the_process_or_the_inode(serve: Serve, tmp_path: Path) -> None:
    """Replicas, and a server after a restart, agree."""
    tags = set()
    for replica in ("one", "two"):
        root = tmp_path / replica / "data"
        root.mkdir(parents=True)
        (root / "a.csv").write_bytes(b"12345")
        os.utime(root / "a.csv", ns=(0, 10**18))
        tags.add(serve(root).get("/").fields["etag"])
    assert len(tags) == 1


def test_in_the_second_of_a_change_a_listing_has_no_date(serve: Serve, root: Path) -> None:
    """Another change in this second could not move the date."""
    server = serve(root)
    for number in range(3):
        (root / f"new-{number}").touch()
        changed = time.time()
        fields = server.get("/").fields
        if int(time.time()) == int(changed):
            assert "last-modified" not in fields and "etag" in fields


def test_the_date_is_that_of_the_last_change(serve: Serve, root: Path) -> None:
    """Not that of the modification time, which can be set back."""
    os.utime(root / "a.csv", ns=(0, 10**18))
    server = serve(root)
    settle(server)
    date = email.utils.parsedate_to_datetime(server.get("/").fields["last-modified"]).timestamp()
    latest = max(path.stat().st_ctime for path in (root, *root.iterdir()))
    assert date == int(latest)


def test_a_large_directory_has_no_validators(serve: Serve, root: Path) -> None:
    make_files(root, [f"{number}" for number in range(listing_version.MAX_ENTRIES)])
    fields = serve(root).get("/").fields
    assert "etag" not in fields and "last-modified" not in fields
    assert fields["cache-control"] == "no-cache"
