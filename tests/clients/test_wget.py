"""wget, as people use it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import quote

import pytest
from programs import LARGE_BYTES, ODD_NAMES, digest, make_content, overwrite, run, start, written

from support.many_files import make_files
from support.ports import free_port
from support.servers import Serve, wait_until

pytestmark = pytest.mark.needs("wget")

# --tries=1: no retries. --no-proxy: the environment may name one.
WGET = ("wget", "--no-proxy", "--tries=1", "--timeout=20")


@pytest.mark.parametrize("target", ["", "large.bin"])
def test_a_file_is_downloaded_at_the_root_and_at_its_name(serve: Serve, there: Path, here: Path, target: str) -> None:
    """``wget localhost:8080`` is enough."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there / "large.bin")
    assert run(*WGET, "-O", "got", f"http://127.0.0.1:{server.port}/{target}", within=here).returncode == 0
    assert digest(here / "got") == expected


def test_the_root_is_saved_under_the_files_name(serve: Serve, there: Path, here: Path) -> None:
    """--content-disposition: the response has the name."""
    make_content(there / "large.bin", 5000)
    server = serve(there / "large.bin")
    assert run(*WGET, "--content-disposition", f"http://127.0.0.1:{server.port}/", within=here).returncode == 0
    assert [path.name for path in here.iterdir()] == ["large.bin"]


def test_a_file_with_an_odd_name_is_downloaded(serve: Serve, there: Path, here: Path) -> None:
    (there / "a dir").mkdir()
    server = serve(there)
    for name in ODD_NAMES:
        expected = make_content(there / "a dir" / name, 5000)
        target = quote(f"/a dir/{name}")
        assert run(*WGET, "-O", "got", f"http://127.0.0.1:{server.port}{target}", within=here).returncode == 0
        assert digest(here / "got") == expected, name


def test_a_program_gets_a_long_listing_on_one_page(serve: Serve, there: Path, here: Path) -> None:
    """Most programs do not follow links to a next page, and would miss the rest without an error."""
    make_files(there, [f"{number}.csv" for number in range(1200)])
    url = f"http://127.0.0.1:{serve(there).port}/"
    assert run(*WGET, "-O", "all.html", url, within=here).returncode == 0
    browser = "--header=Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert run(*WGET, browser, "-O", "page.html", url, within=here).returncode == 0
    everything, page = (here / "all.html").read_text(), (here / "page.html").read_text()
    assert (everything.count('.csv">'), page.count('.csv"><bdi>')) == (1200, 1000)
    assert 'rel="next"' in page and 'rel="next"' not in everything


def test_a_tree_is_saved_file_by_file_without_other_pages(serve: Serve, there: Path, here: Path) -> None:
    """``wget -r -np``: one request for each directory and each file, none for a sorted listing or one above."""
    (there / "x" / "sub").mkdir(parents=True)
    (there / "above.bin").touch()
    for name in ("x/a.bin", "x/b's & c.bin", "x/d:e.bin", "x/sub/f.bin"):
        make_content(there / name, 100)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/x/"
    ended = run(*WGET, "-r", "-np", "-nH", "-e", "robots=off", url, within=here)
    assert ended.returncode == 0, ended.stderr
    saved = sorted(str(path.relative_to(here / "x")) for path in here.rglob("*") if path.is_file())
    assert saved == ["a.bin", "b's & c.bin", "d:e.bin", "index.html", "sub/f.bin", "sub/index.html"]
    assert ended.stderr.count(b"200 OK") == len(saved)


def test_a_mirror_downloads_only_what_has_changed(serve: Serve, there: Path, here: Path) -> None:
    """``wget -m`` descends only into listings that it gets whole, so those are 200 and the files 304."""
    (there / "sub").mkdir()
    for name in ("a.bin", "sub/b.bin"):
        make_content(there / name, 1000)
    server = serve(there)
    wait_until(lambda: all("last-modified" in server.get(each).fields for each in ("/", "/sub/")), "dates")
    mirror = (*WGET, "-m", "-nH", "-np", "-e", "robots=off", f"http://127.0.0.1:{server.port}/")
    first, second = run(*mirror, within=here), run(*mirror, within=here)
    assert first.returncode == second.returncode == 0
    assert (first.stderr.count(b"200 OK"), second.stderr.count(b"200 OK")) == (4, 2), second.stderr
    assert second.stderr.count(b"304 Not Modified") == 2
    expected = make_content(there / "sub" / "b.bin", 2000, seed=2)
    make_content(there / "sub" / "c.bin", 100)
    assert run(*mirror, within=here).returncode == 0
    assert digest(here / "sub" / "b.bin") == expected and (here / "sub" / "c.bin").exists()


def test_a_whole_tree_is_downloaded_by_its_listings(serve: Serve, there: Path, here: Path) -> None:
    """``wget -r``: every link of a listing leads where its name says."""
    (there / "a dir" / "deeper").mkdir(parents=True)
    expected = set()
    for number, name in enumerate(ODD_NAMES):
        path = Path("a dir", name) if number % 2 else Path("a dir", "deeper", name)
        expected.add(make_content(there / path, 1000, seed=number))
    server = serve(there)
    recursive = ("-r", "-nH", "--restrict-file-names=nocontrol", "--reject", "index.html*")
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
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    first.kill()
    first.wait(20)
    had = written(here / "large.bin")
    assert 0 < had < LARGE_BYTES
    assert run(*WGET, "-c", url, within=here).returncode == 0
    assert digest(here / "large.bin") == expected
    server.wait_for_log(f"bytes={had}-", "206")


def test_a_download_resumes_after_the_server_was_killed(serve: Serve, there: Path, here: Path) -> None:
    """wget reports a failure, and ``wget -c`` resumes from the next server on that port."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, "--port", str(free_port()))
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*WGET, "--limit-rate=8m", url, within=here)
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    server.signal(signal.SIGKILL)
    server.wait()
    assert first.wait(60) != 0
    assert 0 < written(here / "large.bin") < LARGE_BYTES
    again = serve(there, "--port", str(server.port))
    assert again.port == server.port
    assert run(*WGET, "-c", url, within=here).returncode == 0
    assert digest(here / "large.bin") == expected


def test_resuming_a_complete_file_transfers_nothing(serve: Serve, there: Path, here: Path) -> None:
    """RFC 9110 section 15.5.17: from a 416 with the length wget sees that the file is complete."""
    make_content(there / "file.bin", 5000)
    make_content(here / "file.bin", 5000)
    server = serve(there)
    assert run(*WGET, "-c", f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    server.wait_for_log("file.bin", "416")


def test_a_file_that_changes_during_the_download_is_a_failure(serve: Serve, there: Path, here: Path) -> None:
    """A mix of two versions never ends with exit status 0: the response ends short of its length."""
    make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    first = start(*WGET, "--limit-rate=8m", f"http://127.0.0.1:{server.port}/large.bin", within=here)
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    overwrite(there / "large.bin", LARGE_BYTES, seed=2)
    assert first.wait(60) != 0
    server.wait_for_log("changed")


def test_timestamping_downloads_only_newer_files(serve: Serve, there: Path, here: Path) -> None:
    """``wget -N`` sends the Last-Modified as If-Modified-Since."""
    make_content(there / "file.bin", 5000)
    server = serve(there)
    for _ in range(2):
        assert run(*WGET, "-N", f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    server.wait_for_log("file.bin", "304")
    assert int((here / "file.bin").stat().st_mtime) == int((there / "file.bin").stat().st_mtime)


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024])
def test_a_body_of_unspecified_length_is_whole(serve: Serve, there: Path, here: Path, size: int) -> None:
    """--chunked: chunked."""
    expected = make_content(there / "file.bin", size)
    server = serve(there, "--chunked")
    assert run(*WGET, f"http://127.0.0.1:{server.port}/file.bin", within=here).returncode == 0
    assert digest(here / "file.bin") == expected


def test_spider_downloads_nothing(serve: Serve, there: Path, here: Path) -> None:
    """``wget --spider`` uses HEAD."""
    (there / "tera.bin").touch()
    os.truncate(there / "tera.bin", 10**12)
    server = serve(there)
    assert run(*WGET, "--spider", f"http://127.0.0.1:{server.port}/tera.bin", within=here).returncode == 0
    assert run(*WGET, "--spider", f"http://127.0.0.1:{server.port}/none", within=here).returncode == 8


def test_fifty_parallel_downloads_are_complete(serve: Serve, there: Path, here: Path) -> None:
    expected = make_content(there / "large.bin", 4 * 1024 * 1024)
    server = serve(there / "large.bin")
    url = f"http://127.0.0.1:{server.port}/"
    clients = [start(*WGET, "-O", f"{number}", url, within=here) for number in range(50)]
    assert [client.wait(60) for client in clients] == [0] * 50
    assert {digest(here / f"{number}") for number in range(50)} == {expected}


def test_a_file_that_is_replaced_during_the_download_is_sent_as_it_was(serve: Serve, there: Path, here: Path) -> None:
    """A rename over it keeps the old version for running downloads; the next one gets the new version."""
    old = make_content(there / "large.bin", LARGE_BYTES)
    new = make_content(there / "next.bin", LARGE_BYTES, seed=2)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*WGET, "--limit-rate=30m", "-O", "first", url, within=here)
    wait_until(lambda: written(here / "first") > 1 << 20, "a first part")
    (there / "next.bin").rename(there / "large.bin")
    assert first.wait(60) == 0
    assert digest(here / "first") == old
    assert run(*WGET, "-O", "second", url, within=here).returncode == 0
    assert digest(here / "second") == new
