"""Users, links, rules, mounts, a prefix, compressed forms and Unix sockets in one server."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import freight
from support.access_files import ALICE, BEARER, BOB, PASSWORD, write_access_files
from support.processes import run
from support.servers import Response, ServerProcess

CSV = b"a,b\n" * 1000
GZIP = "Accept-Encoding: gzip"

CLOSED = """
[[rule]]
match = "/data/**"
access = ["alice"]
cache_control = "public, max-age=60"

[[rule]]
match = "/site/**"
access = "everyone"
index = "index.html"
"""

OPEN = """
[[rule]]
match = "/data/**"
hidden = [".zgroup"]
index = "none"
cache_control = "max-age=60"

[[rule]]
match = "/"
index = "index.html"
"""


def write_compressed(path: Path, content: bytes) -> None:
    """Write a file, and a compressed form that is newer."""
    path.write_bytes(content)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(content))
    os.utime(path, (1_577_836_800, 1_577_836_800))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("together")
    for name in ("root", "data", "site"):
        (home / name).mkdir()
    (home / "root" / "r.txt").write_text("root")
    (home / "data" / "a.txt").write_text("data")
    (home / "data" / ".zgroup").write_text("{}")
    write_compressed(home / "data" / "huge.csv", CSV)
    write_compressed(home / "site" / "index.html", b"<p>page")
    assert run(sys.executable, "-m", "freight", "key", "new", str(home / "keys"), "k").returncode == 0
    return home


def start(home: Path, name: str, rules: str, *words: str) -> ServerProcess:
    config = home / f"{name}.toml"
    config.write_text(rules)
    mounts = ("--mount", f"/data={home / 'data'}", "--mount", f"/site={home / 'site'}")
    common = ("--config", str(config), "--signing-keys", str(home / "keys"), "--precompressed")
    return ServerProcess((*words, *mounts, *common))


class Closed(NamedTuple):
    """A server below /files that knows users, at a port and at a Unix socket."""

    server: ServerProcess
    socket: Path
    keys: Path

    def statuses(self, *credentials: str) -> dict[str, int]:
        targets = ("/files/data/a.txt", "/files/data", "/files/data/", "/files/r.txt", "/files/", "/files/site/")
        return {target: self.server.get(target, *credentials).status for target in targets}

    def curl(self, *words: str) -> bytes:
        command = ("curl", "-sS", "--max-time", "20", "-w", " %{http_code}", "--unix-socket", str(self.socket), *words)
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout


@pytest.fixture(scope="module")
def closed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    path = tmp_path_factory.mktemp("s") / "s"
    words = (str(home / "root"), "--prefix", "/files", "--host", f"unix:{path}", *write_access_files(home))
    server = start(home, "closed", CLOSED, *words)
    yield Closed(server, path, home / "keys")
    server.close()


@pytest.fixture(scope="module")
def opened(home: Path) -> Iterator[ServerProcess]:
    page = ("--mount", f"/index.html={home / 'site' / 'index.html'}")
    server = start(home, "opened", OPEN, "--access", "everyone", *page)
    yield server
    server.close()


def test_rules_decide_who_may_read_a_mount_below_a_prefix(closed: Closed) -> None:
    assert list(closed.statuses().values()) == [401, 401, 401, 401, 401, 200]
    assert list(closed.statuses(BOB).values()) == [403, 403, 403, 200, 200, 200]
    assert list(closed.statuses(BEARER).values()) == [403, 403, 403, 200, 200, 200]
    assert list(closed.statuses(ALICE).values()) == [200, 308, 200, 200, 200, 200]
    assert [closed.server.get(target, ALICE).status for target in ("/data/a.txt", "/")] == [404, 404]
    assert closed.server.get("/files/x/../data/a.txt", BOB).status == 403


def test_no_shared_cache_stores_what_a_user_gets_although_the_rule_of_the_mount_says_so(closed: Closed) -> None:
    assert closed.server.get("/files/data/a.txt", ALICE).fields["cache-control"] == "private, max-age=60"
    assert "cache-control" not in closed.server.get("/files/site/").fields


def test_compressed_forms_and_index_pages_in_mounts(closed: Closed) -> None:
    page = closed.server.get("/files/site/", GZIP)
    assert (page.fields["content-encoding"], gzip.decompress(page.content)) == ("gzip", b"<p>page")
    data = closed.server.get("/files/data/huge.csv", GZIP, ALICE)
    assert (data.fields["content-encoding"], gzip.decompress(data.content)) == ("gzip", CSV)
    assert closed.server.get("/files/data/huge.csv", ALICE, "Range: bytes=0-2").content == CSV[:3]


def sign(keys: Path, path: str, base: str, *words: str) -> str:
    command = ("sign", path, "--signing-keys", str(keys), "--base-url", base, *words)
    return run(sys.executable, "-m", "freight", *command).stdout.strip()


@pytest.mark.needs("curl")
def test_a_link_is_signed_without_the_prefix_which_its_base_url_has(closed: Closed) -> None:
    base = f"http://127.0.0.1:{closed.server.port}"
    link = sign(closed.keys, "/data/a.txt", f"{base}/files")
    assert link.startswith(f"{base}/files/data/a.txt?")
    response = closed.server.get(link.removeprefix(base))
    assert (response.status, response.content) == (200, b"data")
    assert closed.curl(link) == b"data 200"
    assert closed.server.get(sign(closed.keys, "/files/data/a.txt", base).removeprefix(base)).status == 403


@pytest.mark.needs("curl")
def test_access_over_a_unix_socket(closed: Closed) -> None:
    """Its clients have no address, so a link for a network is not for them."""
    url = "http://localhost/files/data/a.txt"
    assert closed.curl(url).endswith(b" 401")
    assert closed.curl("-u", f"alice:{PASSWORD}", url) == b"data 200"
    link = freight.sign_url("/data/a.txt", keys=closed.keys, expires=60, client="0.0.0.0/0")
    assert closed.server.get(f"/files{link}").status == 200
    assert closed.curl(f"http://localhost/files{link}").endswith(b" 403")


def shape(response: Response) -> tuple[int, bytes, str | None]:
    return response.status, response.content, response.fields.get("cache-control")


def test_a_damaged_link_to_a_public_path_is_an_address_with_a_query(opened: ServerProcess, home: Path) -> None:
    link = freight.sign_url("/data/a.txt", keys=home / "keys", expires=60)
    past = freight.sign_url("/data/a.txt", keys=home / "keys", expires=60, now=1_700_000_000)
    assert shape(opened.get(link)) == (200, b"data", "private, max-age=60")
    for damaged in (past, f"{link}x", "/data/a.txt?expires=1&key=k&signature=x", "/data/a.txt?signature="):
        assert shape(opened.get(damaged)) == (200, b"data", "max-age=60"), damaged


def test_a_mounted_page_is_the_index_of_the_table_of_mounts(opened: ServerProcess) -> None:
    page = opened.get("/", GZIP)
    assert (page.status, gzip.decompress(page.content)) == (200, b"<p>page")
    assert [opened.get(target).status for target in ("/data", "/data/", "/site/")] == [308, 404, 200]
    assert opened.get("/data/.zgroup").content == b"{}"
    assert opened.get("/site/.zgroup").status == 404
    assert b"page" not in opened.get("/site/").content  # no rule says that it has an index
