"""aria2c: one file over many connections."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from programs import LARGE_BYTES, ODD_NAMES, digest, make_content, overwrite, run, start, written

from support.servers import Serve, wait_until

pytestmark = pytest.mark.needs("aria2c")

ARIA2 = ("aria2c", "--no-conf", "--quiet", "--all-proxy=", "--file-allocation=none", "--max-tries=1", "--timeout=20")
HUGE_BYTES = 320 * 1024 * 1024
EIGHT = ("-x8", "-s8", "-k1M")


def test_eight_connections_make_one_file(serve: Serve, there: Path, here: Path) -> None:
    """``aria2c -x8 -s8 -k1M``: the pieces fit, and there were several."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    assert run(*ARIA2, *EIGHT, "-o", "got", url, within=here).returncode == 0
    assert digest(here / "got") == expected
    server.wait_for_log("206", count=2)


def test_a_file_with_an_odd_name_is_saved_under_it(serve: Serve, there: Path, here: Path) -> None:
    """RFC 8187: aria2c reads ``filename*``."""
    server = serve(there)
    for name in ODD_NAMES:
        expected = make_content(there / name, 5000)
        assert run(*ARIA2, f"http://127.0.0.1:{server.port}{quote(f'/{name}')}", within=here).returncode == 0
        assert digest(here / name) == expected, name


def test_a_killed_client_resumes(serve: Serve, there: Path, here: Path) -> None:
    """aria2c resumes by its control file, without fetching the whole file again."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    slow = ("--max-overall-download-limit=8M", "--auto-save-interval=1")
    first = start(*ARIA2, *EIGHT, *slow, "-o", "got", url, within=here)
    wait_until(lambda: written(here / "got") > 1 << 20 and (here / "got.aria2").exists(), "a first part")
    first.terminate()
    first.wait(20)
    assert (here / "got.aria2").exists(), "it was interrupted"
    assert run(*ARIA2, *EIGHT, "-c", "-o", "got", url, within=here).returncode == 0
    assert digest(here / "got") == expected


def test_a_file_that_changes_during_the_download_is_a_failure(serve: Serve, there: Path, here: Path) -> None:
    """Pieces of two versions are not a file. Each of the eight is larger than its client's receive buffer."""
    make_content(there / "large.bin", HUGE_BYTES)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    first = start(*ARIA2, *EIGHT, "--max-overall-download-limit=8M", "-o", "got", url, within=here)
    wait_until(lambda: written(here / "got") > 1 << 20, "a first part")
    overwrite(there / "large.bin", HUGE_BYTES, seed=2)
    assert first.wait(60) != 0
    server.wait_for_log("changed")


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024])
def test_a_body_of_unspecified_length_is_whole(serve: Serve, there: Path, here: Path, size: int) -> None:
    """--chunked: aria2c can use only one connection."""
    expected = make_content(there / "file.bin", size)
    server = serve(there / "file.bin", "--chunked")
    assert run(*ARIA2, *EIGHT, "-o", "got", f"http://127.0.0.1:{server.port}/", within=here).returncode == 0
    assert digest(here / "got") == expected
