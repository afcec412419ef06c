"""Downloaders that make several connections or copy trees: lftp, rclone, wget2, aria2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import programs
import pytest
from programs import ODD_NAMES, digest, make_content

from support.servers import Serve

LARGE_BYTES = 30_000_000


def done(*words: str, within: Path) -> None:
    """Run a program. Its home directory is another one, and has no settings."""
    home = str(within.parent)
    programs.done(*words, within=within, HOME=home, XDG_CONFIG_HOME=home)


def lftp(url: str, into: Path, commands: str) -> None:
    """Run commands of lftp after ``open``, with limits, so that an error ends it."""
    limits = "set net:max-retries 2; set net:timeout 20; set cmd:fail-exit yes"
    done("lftp", "-c", f"{limits}; open {url}; {commands}", within=into)


PARTS = ("--multi-thread-cutoff=1M", "--multi-thread-streams=5")
SEGMENTED: dict[str, Callable[[str, Path], None]] = {
    "aria2c": lambda url, into: done("aria2c", "-q", "-x8", "-s8", "-k1M", url + "large.bin", within=into),
    "lftp": lambda url, into: lftp(url, into, "pget -n 5 large.bin"),
    "rclone": lambda url, into: done("rclone", "copy", *PARTS, "--http-url", url, ":http:large.bin", ".", within=into),
    "wget2": lambda url, into: done("wget2", "-q", "--chunk-size=3M", url + "large.bin", within=into),
}

TREES: dict[str, Callable[[str, Path], None]] = {
    "lftp": lambda url, into: lftp(url, into, "mirror --parallel=4 . ."),
    "rclone": lambda url, into: done("rclone", "copy", "--http-url", url, ":http:", ".", within=into),
    "wget2": lambda url, into: done("wget2", "-q", "-r", "-np", "-nH", "--restrict-file-names=none", url, within=into),
}


def rows(table: dict[str, Callable[[str, Path], None]]) -> list[object]:
    return [pytest.param(name, id=name, marks=pytest.mark.needs(name)) for name in table]


@pytest.mark.parametrize("name", rows(SEGMENTED))
def test_a_file_in_parts_over_several_connections_is_whole(serve: Serve, there: Path, here: Path, name: str) -> None:
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there)
    SEGMENTED[name](f"http://127.0.0.1:{server.port}/", here)
    assert digest(here / "large.bin") == expected
    assert any(" 206 " in line for line in server.log)


@pytest.mark.parametrize("name", rows(TREES))
def test_a_tree_is_copied_with_every_name_and_byte(serve: Serve, there: Path, here: Path, name: str) -> None:
    places = [Path(), Path("sub"), Path("sub/sub sub"), Path("ümläut & more")]
    expected = {}
    for number, place in enumerate(places):
        (there / place).mkdir(exist_ok=True)
        for odd in ODD_NAMES:
            expected[place / odd] = make_content(there / place / odd, 20_000, seed=number)
    server = serve(there)
    TREES[name](f"http://127.0.0.1:{server.port}/", here)
    assert {path: digest(here / path) for path in expected if (here / path).exists()} == expected
