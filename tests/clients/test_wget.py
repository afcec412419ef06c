"""wget, as people use it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from programs import LARGE_BYTES, ODD_NAMES, digest, make_content, overwrite, run, start, written

from serving import Served, until

pytestmark = pytest.mark.needs("wget")

Serve = Callable[..., Served]
# --tries=1: an end is an end. Without a proxy that the environment may name.
WGET = ("wget", "--no-proxy", "--tries=1", "--timeout=20")


@pytest.mark.parametrize("target", ["", "large.bin"])
def test_a_file_is_had_at_the_root_and_at_its_name(serve: Serve, there: Path, here: Path, target: str) -> None:
    """``wget localhost:8080`` is all that it takes."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there / "large.bin")
    assert run(*WGET, "-O", "got", f"http://127.0.0.1:{server.port}/{target}", within=here).returncode == 0
    assert digest(here / "got") == expected


def test_the_root_is_saved_under_the_files_name(serve: Serve, there: Path, here: Path) -> None:
    """--content-disposition: the answer says what it is called."""
    make_content(there / "large.bin", 5000)
    server = serve(there / "large.bin")
    assert run(*WGET, "--content-disposition", f"http://127.0.0.1:{server.port}/", within=here).returncode == 0
    assert [path.name for path in here.iterdir()] == ["large.bin"]


def test_an_odd_name_is_had(serve: Serve, there: Path, here: Path) -> None:
    """Each name in its directory, as a target escapes it."""
    (there / "a dir").mkdir()
    server = serve(there)
    for name in ODD_NAMES:
        expected = make_content(there / "a dir" / name, 5000)
        target = quote(f"/a dir/{name}")
        assert run(*WGET, "-O", "got", f"http://127.0.0.1:{server.port}{target}", within=here).returncode == 0
        assert digest(here / "got") == expected, name


def test_a_listing_of_more_than_a_page_comes_whole_to_a_program(serve: Serve, there: Path, here: Path) -> None:
    """Most programs follow no link to a next page: they would miss the rest without an error."""
    for number in range(1200):
        (there / f"{number}.csv").touch()
    url = f"http://127.0.0.1:{serve(there).port}/"
    assert run(*WGET, "-O", "all.html", url, within=here).returncode == 0
    browser = "--header=Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert run(*WGET, browser, "-O", "page.html", url, within=here).returncode == 0
    everything, page = (here / "all.html").read_text(), (here / "page.html").read_text()
    assert (everything.count('href="./'), page.count('href="./')) == (1200, 1000)
    assert 'rel="next"' in page and 'rel="next"' not in everything


def test_a_whole_tree_is_had_by_its_listings(serve: Serve, there: Path, here: Path) -> None:
    """``wget -r``: every link of a listing leads where its name says."""
    (there / "a dir" / "deeper").mkdir(parents=True)
    expected = set()
    for number, name in enumerate(ODD_NAMES):
        path = Path("a dir", name) if number % 2 else Path("a dir", "deeper", name)
        expected.add(make_content(there / path, 1000, seed=number))
    server = serve(there)
    recursive = ("-r", "-nH", "--restrict-file-names=nocontrol", "--reject-regex", r"\?", "--reject", "index.html*")
    ended = run(*WGET, *recursive, "-e", "robots=off", f"http://127.0.0.1:{server.port}/", within=here)
    assert ended.returncode == 0, ended.stderr
    # By content and not by name: wget undoes the escapes of "per%2541cent" twice when it names the file.
    assert {digest(path) for path in here.rglob("*") if path.is_file()} == expected


def test_a_killed_client_resumes(serve: Serve, there: Path, here: Path) -> None:
    """``wget -c`` fetches what is missing, and only that."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*WGET, "--limit-rate=8m", url, within=here)
    until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    first.kill()
    first.wait()
    had = written(here / "large.bin")
    assert 0 < had < LARGE_BYTES
    assert run(*WGET, "-c", url, within=here).returncode == 0
    assert digest(here / "large.bin") == expected
    server.await_log(f"bytes={had}-", "206")


def test_a_killed_server_is_resumed_from(serve: Serve, there: Path, here: Path) -> None:
    """The client sees a failure, not an end; ``wget -c`` goes on with the next server on that port."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*WGET, "--limit-rate=8m", url, within=here)
    until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    server.signal(signal.SIGKILL)
    server.wait()
    assert first.wait(60) != 0
    assert 0 < written(here / "large.bin") < LARGE_BYTES
    again = serve(there, "--port", str(server.port))
    assert again.port == server.port
    assert run(*WGET, "-c", url, within=here).returncode == 0
    assert digest(here / "large.bin") == expected


def test_resuming_what_is_whole_transfers_nothing(serve: Serve, there: Path, here: Path) -> None:
    """RFC 9110 section 15.5.17: 416 with the length tells wget that it has it all."""
    make_content(there / "file.bin", 5000)
    make_content(here / "file.bin", 5000)
    server = serve(there)
    assert run(*WGET, "-c", f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    server.await_log("file.bin", "416")


def test_a_file_that_changes_under_way_is_a_failure(serve: Serve, there: Path, here: Path) -> None:
    """No stitched file with exit status 0: the answer ends short of its length."""
    make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    first = start(*WGET, "--limit-rate=8m", f"http://127.0.0.1:{server.port}/large.bin", within=here)
    until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    overwrite(there / "large.bin", LARGE_BYTES, seed=2)
    assert first.wait(60) != 0
    server.await_log("changed")


def test_timestamping_fetches_only_what_is_newer(serve: Serve, there: Path, here: Path) -> None:
    """``wget -N``: If-Modified-Since by Last-Modified."""
    make_content(there / "file.bin", 5000)
    server = serve(there)
    for _ in range(2):
        assert run(*WGET, "-N", f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    server.await_log("file.bin", "304")
    assert int((here / "file.bin").stat().st_mtime) == int((there / "file.bin").stat().st_mtime)


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024])
def test_a_body_of_unspecified_length_is_whole(serve: Serve, there: Path, here: Path, size: int) -> None:
    """--no-length: chunked."""
    expected = make_content(there / "file.bin", size)
    server = serve(there, "--no-length")
    assert run(*WGET, f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    assert digest(here / "file.bin") == expected


def test_spider_asks_without_taking(serve: Serve, there: Path, here: Path) -> None:
    """HEAD tells what is there and what is not."""
    (there / "tera.bin").touch()
    os.truncate(there / "tera.bin", 10**12)
    server = serve(there)
    assert run(*WGET, "--spider", f"http://127.0.0.1:{server.port}/tera.bin", within=here).returncode == 0
    assert run(*WGET, "--spider", f"http://127.0.0.1:{server.port}/none", within=here).returncode == 8


def test_many_at_once_get_it_whole(serve: Serve, there: Path, here: Path) -> None:
    """Fifty wgets, fifty times the same digest."""
    expected = make_content(there / "large.bin", 4 * 1024 * 1024)
    server = serve(there / "large.bin")
    url = f"http://127.0.0.1:{server.port}/"
    clients = [start(*WGET, "-O", f"{number}", url, within=here) for number in range(50)]
    assert [client.wait(60) for client in clients] == [0] * 50
    assert {digest(here / f"{number}") for number in range(50)} == {expected}


def test_a_file_that_is_replaced_under_way_is_had_as_it_was(serve: Serve, there: Path, here: Path) -> None:
    """A rename over it leaves the old version to those who are reading it; the next gets the new one."""
    old = make_content(there / "large.bin", LARGE_BYTES)
    new = make_content(there / "next.bin", LARGE_BYTES, seed=2)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*WGET, "--limit-rate=30m", "-O", "first", url, within=here)
    until(lambda: written(here / "first") > 1 << 20, "a first part")
    (there / "next.bin").rename(there / "large.bin")
    assert first.wait(60) == 0
    assert digest(here / "first") == old
    assert run(*WGET, "-O", "second", url, within=here).returncode == 0
    assert digest(here / "second") == new
