"""curl, as people and scripts use it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from programs import LARGE_BYTES, ODD_NAMES, digest, make_content, overwrite, run, start, written

from support.ports import free_port
from support.servers import Serve, ServerProcess, wait_until

pytestmark = pytest.mark.needs("curl")

CURL = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "50")
GIB = 1 << 30


def status(server: ServerProcess, target: str, *options: str, within: Path) -> str:
    """Return the status of one request. Its body is discarded."""
    url = f"http://127.0.0.1:{server.port}{target}"
    ended = run(*CURL, "-o", os.devnull, "-w", "%{http_code}", *options, url, within=within)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


def fetch(server: ServerProcess, target: str, *options: str, within: Path) -> bytes:
    """Return the body of one request."""
    ended = run(*CURL, *options, f"http://127.0.0.1:{server.port}{target}", within=within)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("options", [(), ("--compressed",), ("--http1.0",), ("--http2",), ("--tr-encoding",)])
def test_a_large_file_is_downloaded(serve: Serve, there: Path, here: Path, options: tuple[str, ...]) -> None:
    """With options for unsupported features too."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there / "large.bin")
    fetch(server, "/", *options, "-o", "got", within=here)
    assert digest(here / "got") == expected


def test_a_file_with_an_odd_name_is_saved_under_it(serve: Serve, there: Path, here: Path) -> None:
    """``curl -OJ`` saves under the name in Content-Disposition, if that is ASCII."""
    server = serve(there)
    for name in ODD_NAMES:
        expected = make_content(there / name, 5000)
        fetch(server, quote(f"/{name}"), "-o", "got", within=here)
        assert digest(here / "got") == expected, name
    make_content(there / "plain name.bin", 5000)
    fetch(server, "/plain%20name.bin?x=y", "-OJ", within=here)
    assert (here / "plain name.bin").exists()


RANGES = [("0-9", 0, 10), ("4990-", 4990, 5000), ("-10", 4990, 5000), ("0-0", 0, 1), ("4999-9999", 4999, 5000)]


def test_a_range_is_downloaded(serve: Serve, there: Path, here: Path) -> None:
    """``curl -r``."""
    make_content(there / "file.bin", 5000)
    server, content = serve(there), (there / "file.bin").read_bytes()
    for ranges, first, stop in RANGES:
        assert fetch(server, "/file.bin", "-r", ranges, within=here) == content[first:stop], ranges


def test_several_ranges_are_downloaded(serve: Serve, there: Path, here: Path) -> None:
    """curl writes the envelope verbatim: both parts are in it, and its length is right."""
    make_content(there / "file.bin", 5000)
    content = (there / "file.bin").read_bytes()
    got = fetch(serve(there), "/file.bin", "-r", "100-199,-100", within=here)
    assert content[100:200] in got and content[-100:] in got and b"Content-Range: bytes 100-199/5000" in got


def test_two_hundred_ranges_are_downloaded(serve: Serve, there: Path, here: Path) -> None:
    """As zchunk and zsync ask: each part is found by the line break before its boundary."""
    make_content(there / "file.bin", 1 << 20)
    content = (there / "file.bin").read_bytes()
    bounds = [(first, first + 10) for first in range(7, 1 << 20, 5000)][:200]
    ranges = ",".join(f"{first}-{stop - 1}" for first, stop in bounds)
    got = fetch(serve(there), "/file.bin", "-r", ranges, within=here)
    parts = [part.partition(b"\r\n\r\n")[2] for part in re.split(rb"\r\n--\w+(?=\r\n|--\r\n)", got)[1:-1]]
    assert parts == [content[first:stop] for first, stop in bounds]


def test_dot_segments_that_curl_leaves_in_the_path_are_removed(serve: Serve, there: Path, here: Path) -> None:
    """``curl --path-as-is``; without it, curl removes them itself."""
    (there / "root" / "sub").mkdir(parents=True)
    (there / "root" / "a.bin").write_bytes(b"a")
    (there / "a.bin").write_bytes(b"above the root")
    server = serve(there / "root")
    for target in ("/./a.bin", "//a.bin", "/sub/../a.bin", "/sub/%2e%2E/a.bin", "/../../a.bin", "/sub/./..//a.bin"):
        assert fetch(server, target, "-f", "--path-as-is", within=here) == b"a", target


def test_a_redirect_to_a_directory_is_followed_from_every_spelling(serve: Serve, there: Path, here: Path) -> None:
    (there / "x" / "a:b").mkdir(parents=True)
    (there / "x" / "a:b" / "found.bin").touch()
    server = serve(there)
    for target in ("/x/a:b", "//x//a:b", "/x/../x/./a:b"):
        assert b"found.bin" in fetch(server, target, "-f", "-L", "--path-as-is", within=here)


@pytest.mark.parametrize(
    ("size", "first"), [(5 * GIB, 4 * GIB - 3), (5 * GIB, 2 * GIB - 3), (10**12, 10**12 - 10)], ids=str
)
def test_a_range_far_into_a_sparse_file_is_downloaded(
    serve: Serve, there: Path, here: Path, size: int, first: int
) -> None:
    """Positions beyond 31 and 32 bits, and the end of a file of a terabyte."""
    with (there / "sparse.bin").open("wb") as file:
        file.truncate(size)
        file.seek(first)
        file.write(b"0123456789")
    server = serve(there)
    assert fetch(server, "/sparse.bin", "-r", f"{first}-{first + 9}", within=here) == b"0123456789"
    head = fetch(server, "/sparse.bin", "-I", within=here).decode()
    assert f"Content-Length: {size}\r\n" in head and head.startswith("HTTP/1.1 200 OK\r\n")


def test_an_unchanged_file_is_not_sent_again(serve: Serve, there: Path, here: Path) -> None:
    """``-z`` compares dates, ``--etag-compare`` tags."""
    make_content(there / "file.bin", 5000)
    server = serve(there)
    fetch(server, "/file.bin", "-R", "-o", "file.bin", "--etag-save", "tag", within=here)
    assert status(server, "/file.bin", "-z", "file.bin", within=here) == "304"
    assert status(server, "/file.bin", "-z", "2001-01-01", within=here) == "200"
    assert status(server, "/file.bin", "--etag-compare", "tag", within=here) == "304"
    make_content(there / "file.bin", 5000, seed=2)
    assert status(server, "/file.bin", "--etag-compare", "tag", within=here) == "200"


@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, 5_000_000])
def test_an_upload_is_refused_without_a_hang(serve: Serve, there: Path, here: Path, size: int, coding: str) -> None:
    """RFC 9110 section 10.1.1: a client gets the final response, whether it waits for 100 or not."""
    make_content(here / "upload.bin", size)
    make_content(there / "file.bin", 5000)
    server = serve(there)
    options = ("-H", "Transfer-Encoding: chunked") if coding == "chunked" else ()
    for expect in ("Expect: 100-continue", "Expect:"):
        upload = ("-T", "upload.bin", "-H", expect, *options, "--expect100-timeout", "30", "--max-time", "15")
        assert status(server, "/file.bin", *upload, within=here) in ("405", "413")


def test_a_partial_file_is_completed(serve: Serve, there: Path, here: Path) -> None:
    """``curl -C -``."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    (here / "large.bin").write_bytes((there / "large.bin").read_bytes()[: LARGE_BYTES // 3])
    fetch(serve(there), "/large.bin", "-C", "-", "-O", within=here)
    assert digest(here / "large.bin") == expected


def test_a_download_resumes_after_the_server_was_killed(serve: Serve, there: Path, here: Path) -> None:
    """Exit status 18 (partial file) or 56 (reset), never 0; then the rest from the next server on that port."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, "--port", str(free_port()))
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*CURL, "--limit-rate", "8M", "-O", url, within=here)
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    server.signal(signal.SIGKILL)
    server.wait()
    assert first.wait(60) in (18, 56)
    again = serve(there, "--port", str(server.port))
    fetch(again, "/large.bin", "-C", "-", "-O", within=here)
    assert digest(here / "large.bin") == expected


def test_a_file_that_changes_during_the_download_is_a_failure(serve: Serve, there: Path, here: Path) -> None:
    """A mix of two versions never ends with exit status 0."""
    make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    first = start(*CURL, "--limit-rate", "8M", "-O", f"http://127.0.0.1:{server.port}/large.bin", within=here)
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    overwrite(there / "large.bin", LARGE_BYTES, seed=2)
    assert first.wait(60) in (18, 56)
    server.wait_for_log("changed")


def test_a_file_that_is_appended_to_during_the_download_arrives_as_announced(
    serve: Serve, there: Path, here: Path
) -> None:
    """A log that is still written. The next request gets the rest."""
    expected = make_content(there / "large.log", LARGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.log"
    first = start(*CURL, "--limit-rate", "16M", "-O", url, within=here)
    wait_until(lambda: written(here / "large.log") > 1 << 20, "a first part")
    while first.poll() is None:
        with (there / "large.log").open("ab") as file:
            file.write(b"another line\n")
        time.sleep(0.01)
    assert first.wait(60) == 0 and digest(here / "large.log") == expected
    server.wait_for_log("complete")
    fetch(server, "/large.log", "-C", "-", "-O", within=here)
    assert (here / "large.log").read_bytes() == (there / "large.log").read_bytes()


def test_a_resume_with_if_range_never_mixes_versions(serve: Serve, there: Path, here: Path) -> None:
    """curl sends no If-Range by default; with the tag of the first part it gets the whole new file."""
    make_content(there / "file.bin", 50_000)
    server = serve(there)
    fetch(server, "/file.bin", "-o", "part", "-r", "0-999", "--etag-save", "tag", within=here)
    expected = make_content(there / "file.bin", 50_000, seed=2)
    tag = (here / "tag").read_text().strip()
    assert status(server, "/file.bin", "-r", "1000-", "-H", f"If-Range: {tag}", within=here) == "200"
    whole = fetch(server, "/file.bin", "-r", "1000-", "-H", f"If-Range: {tag}", within=here)
    assert hashlib.sha256(whole).hexdigest() == expected
    assert status(server, "/file.bin", "-r", "1000-", "-H", f"If-Match: {tag}", within=here) == "412"


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
@pytest.mark.parametrize("size", [0, 1, 9 * 1024 * 1024])
def test_a_body_of_unspecified_length_is_whole(serve: Serve, there: Path, here: Path, version: str, size: int) -> None:
    """--chunked: chunked on 1.1, up to the end of the connection on 1.0."""
    expected = make_content(there / "file.bin", size)
    server = serve(there / "file.bin", "--chunked")
    fetch(server, "/", version, "-o", "got", within=here)
    assert digest(here / "got") == expected


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_a_body_of_unspecified_length_that_is_cut_off_is_a_failure(
    serve: Serve, there: Path, here: Path, version: str
) -> None:
    """On 1.0 too, where the end of the connection ends the body: a reset is an error."""
    make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there / "large.bin", "--chunked")
    url = f"http://127.0.0.1:{server.port}/"
    first = start(*CURL, version, "--limit-rate", "8M", "-o", "got", url, within=here)
    wait_until(lambda: written(here / "got") > 1 << 20, "a first part")
    overwrite(there / "large.bin", LARGE_BYTES, seed=2)
    assert first.wait(60) in (18, 56)


def test_an_empty_file_is_downloaded(serve: Serve, there: Path, here: Path) -> None:
    (there / "empty.bin").touch()
    server = serve(there)
    fetch(server, "/empty.bin", "-O", within=here)
    assert (here / "empty.bin").read_bytes() == b""
    assert status(server, "/empty.bin", "-r", "0-", within=here) == "200"
    assert fetch(server, "/empty.bin", "-f", "-r", "0-", within=here) == b""


def test_many_downloads_over_one_connection_and_in_parallel_are_complete(serve: Serve, there: Path, here: Path) -> None:
    """One curl that keeps its connection, and fifty curls in parallel."""
    expected = make_content(there / "large.bin", 4 * 1024 * 1024)
    server = serve(there / "large.bin")
    url = f"http://127.0.0.1:{server.port}/large.bin"
    ended = run(*CURL, "-w", "%{num_connects} ", *("-o", "kept", url) * 20, within=here)
    assert ended.stdout.split() == [b"1"] + [b"0"] * 19
    assert digest(here / "kept") == expected
    clients = [start(*CURL, "-o", f"{number}", url, within=here) for number in range(50)]
    assert [client.wait(60) for client in clients] == [0] * 50
    assert {digest(here / f"{number}") for number in range(50)} == {expected}
