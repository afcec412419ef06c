"""Clients that know the files of a site by its listings get every file, whatever its name is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import digest, make_content
from test_downloaders import done, lftp

from support.processes import run
from support.real_clients import PYTHON
from support.servers import Serve, ServerProcess

NAMES = (
    *("quo'te.txt", "a&b.txt", "a b.txt", "a:b.csv", "#x", "100%.txt", "é.txt", "u\u0308.txt", "<b>.txt", "a?b", ";p"),
    *(
        '"double".txt',
        "a+b.csv",
        "back\\slash",
        "-dash",
        "%41",
        "[1-2].txt",
        "~x",
        "{a}",
        "\u65e5\u672c.csv",
        "a=b,c@d!e",
    ),
    *("&amp;.txt", "$(x)", "*", "plain.csv"),
)
LONGEST = "x" * 251 + ".txt"

UNABLE = {
    "lftp": ("~x",),  # it takes the name for a home directory, also percent-encoded
    "wget2": (LONGEST,),  # it adds a suffix while it writes
}


def lay_out(there: Path, names: tuple[str, ...] = NAMES) -> dict[Path, str]:
    """Make the files in three directories. Return their digests."""
    expected = {}
    for number, place in enumerate((Path(), Path("sub"), Path("sub/deeper"))):
        (there / place).mkdir(exist_ok=True)
        for index, name in enumerate(names):
            expected[place / name] = make_content(there / place / name, 100 + index, seed=number)
    return expected


def copied(here: Path, expected: dict[Path, str]) -> dict[Path, str]:
    """Return the digests of the expected files that exist, by their names as they were made."""
    return {path: digest(here / path) for path in expected if (here / path).exists()}


def aria2(url: str, into: Path, server: ServerProcess) -> None:
    """Download what the JSON listings name."""
    lines = []
    for place in ("", "sub/", "sub/deeper/"):
        for entry in json.loads(server.get(f"/{place}", "Accept: application/json").content)["entries"]:
            if entry["type"] == "file":
                lines += [url + place + entry["href"], f"  dir={into / place}", f"  out={entry['name']}"]
    (into / "list").write_text("\n".join(lines))
    done("aria2c", "-q", "-i", "list", within=into)


CLIENTS: dict[str, Callable[[str, Path, ServerProcess], None]] = {
    "aria2c": aria2,
    "lftp": lambda url, into, _: lftp(url, into, "mirror . ."),
    "rclone": lambda url, into, _: done("rclone", "copy", "--http-url", url, ":http:", ".", within=into),
    "wget2": lambda url, into, _: done(
        *("wget2", "-q", "-r", "-np", "-nH", "--no-robots", "--restrict-file-names=none", url), within=into
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=name, marks=pytest.mark.needs(name)) for name in CLIENTS])
def test_every_file_is_found_and_right_whatever_its_name(serve: Serve, there: Path, here: Path, name: str) -> None:
    expected = lay_out(there, tuple(each for each in (*NAMES, LONGEST) if each not in UNABLE.get(name, ())))
    server = serve(there)
    CLIENTS[name](f"http://127.0.0.1:{server.port}/", here, server)
    assert copied(here, expected) == expected
    extra = {path.relative_to(here) for path in here.rglob("*") if path.is_file()} - expected.keys()
    assert {path.name for path in extra} <= {"index.html", "list"}


@pytest.mark.needs("lftp")
def test_lftp_reads_sizes_and_times_from_the_listing(serve: Serve, there: Path, here: Path) -> None:
    """A second ``mirror`` requests no file: the listing tells that nothing has changed."""
    expected = lay_out(there, ("plain.csv", "a b.txt"))
    for path in expected:
        os.utime(there / path, (0, 1_700_000_000))
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/"
    lftp(url, here, "mirror . .")
    assert copied(here, expected) == expected
    again = serve(there)
    lftp(f"http://127.0.0.1:{again.port}/", here, "mirror . .")
    again.wait_for_log('"GET /sub/deeper/')
    assert not [line for line in again.log if '"GET' in line and (".csv" in line or ".txt" in line)]


@pytest.mark.needs("rclone")
def test_rclone_finds_no_difference(serve: Serve, there: Path, here: Path) -> None:
    """``rclone check`` compares the names and sizes of both sides."""
    lay_out(there)
    server = serve(there)
    url = f"http://127.0.0.1:{server.port}/"
    done("rclone", "check", "--size-only", "--http-url", url, ":http:", str(there), within=here)


@pytest.mark.needs("fsspec")
def test_fsspec_finds_every_file(serve: Serve, there: Path, here: Path) -> None:
    lay_out(there)
    server = serve(there)
    job = Path(__file__).parent / "jobs" / "list_fsspec.py"
    env = os.environ | {"HOME": str(here)}
    names = "\n".join(NAMES)
    ended = run(PYTHON, job, f"http://127.0.0.1:{server.port}/", there, cwd=here, env=env, input=names)
    assert ended.returncode == 0, ended.stderr
