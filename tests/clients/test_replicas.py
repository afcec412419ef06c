"""Two nodes with synchronized copies of a file: the tag is equal, and a download resumes at the other node."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from programs import LARGE_BYTES, digest, make_content, run, start, written

from freight.cli.main import main
from support.servers import Serve, wait_until


@pytest.fixture
def copies(there: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A directory, and a later copy of it with times set from a manifest."""
    make_content(there / "large.bin", LARGE_BYTES)
    other = tmp_path / "other"
    shutil.copytree(there, other, copy_function=shutil.copyfile)
    assert tags_differ(there, other)
    manifest = str(tmp_path / "manifest")
    assert (
        main(["sync-mtimes", str(there), "--write", manifest])
        == main(["sync-mtimes", str(other), manifest, "--check"])
        == 0
    )
    return there, other


def tags_differ(one: Path, other: Path) -> bool:
    return (one / "large.bin").stat().st_mtime_ns != (other / "large.bin").stat().st_mtime_ns


def test_both_have_the_same_strong_tag(serve: Serve, copies: tuple[Path, Path]) -> None:
    tags = {serve(copy).get("/large.bin", "Range: bytes=0-0").fields["etag"] for copy in copies}
    (tag,) = tags
    assert tag.startswith('"')


@pytest.mark.needs("curl")
def test_curl_resumes_at_the_other_node_by_if_range(serve: Serve, copies: tuple[Path, Path], here: Path) -> None:
    one, other = (serve(copy) for copy in copies)
    got, tag = here / "got", here / "tag"
    command = ("curl", "-sS", "--noproxy", "*", "-o", "got", "--etag-save", "tag", "--limit-rate", "8m")
    first = start(*command, f"http://127.0.0.1:{one.port}/large.bin", within=here)
    wait_until(lambda: written(got) > 1 << 20 and written(tag) > 0, "a first part")
    one.signal(signal.SIGKILL)
    assert first.wait(60) != 0
    had = written(got)
    assert 0 < had < LARGE_BYTES
    going_on = ("curl", "-sS", "--noproxy", "*", "-C", "-", "-o", "got", "-H", f"If-Range: {tag.read_text().strip()}")
    assert run(*going_on, f"http://127.0.0.1:{other.port}/large.bin", within=here).returncode == 0
    assert digest(got) == digest(copies[1] / "large.bin")
    other.wait_for_log(f"bytes={had}-", " 206 ")


@pytest.mark.needs("wget")
def test_wget_resumes_at_the_other_node(serve: Serve, copies: tuple[Path, Path], here: Path) -> None:
    one, other = (serve(copy) for copy in copies)
    wget = ("wget", "--no-proxy", "--tries=1", "--timeout=20")
    first = start(*wget, "--limit-rate=8m", f"http://127.0.0.1:{one.port}/large.bin", within=here)
    wait_until(lambda: written(here / "large.bin") > 1 << 20, "a first part")
    one.signal(signal.SIGKILL)
    assert first.wait(60) != 0
    assert 0 < written(here / "large.bin") < LARGE_BYTES
    assert run(*wget, "-c", f"http://127.0.0.1:{other.port}/large.bin", within=here).returncode == 0
    assert digest(here / "large.bin") == digest(copies[1] / "large.bin")
    other.wait_for_log(" 206 ")


@pytest.mark.needs("aria2c")
def test_aria2_downloads_from_both_nodes_and_from_one_if_the_other_fails(
    serve: Serve, copies: tuple[Path, Path], here: Path
) -> None:
    one, other = (serve(copy) for copy in copies)
    urls = [f"http://127.0.0.1:{node.port}/large.bin" for node in (one, other)]
    command = ("aria2c", "--no-conf", "--quiet", "--all-proxy=", "--file-allocation=none", "--timeout=20")
    parts = ("-x2", "-s4", "-k1M", "--max-tries=5", "--retry-wait=1", "--max-overall-download-limit=12M")
    both = start(*command, *parts, "-o", "got", *urls, within=here)
    wait_until(lambda: written(here / "got") > 1 << 20, "a first part")
    one.signal(signal.SIGKILL)
    assert both.wait(60) == 0
    assert digest(here / "got") == digest(copies[1] / "large.bin")
    other.wait_for_log(" 206 ")
