"""Mounts and the prefix over real sockets: with curl, with wget -r, behind nginx, in workers, beside one that hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.hanging_fs import SMALL, hanging_fs
from support.nginx import nginx
from support.processes import run
from support.servers import Serve, ServerProcess, wait_until

BIG = bytes(range(256)) * 1024
FILES = {"root/r.txt": b"root", "data/d.bin": BIG, "data/sub/a:b/x": b"x", "inner/i.txt": b"inner", "one.csv": b"1,2\n"}
SITE = {"r.txt": b"root", "data/d.bin": BIG, "data/sub/a:b/x": b"x", "data/b/i.txt": b"inner", "v/w.csv": b"1,2\n"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def mount_options(tree: Path) -> tuple[str, ...]:
    points = {"/data": "data", "/data/b": "inner", "/v/w.csv": "one.csv"}
    return tuple(word for point, name in points.items() for word in ("--mount", f"{point}={tree / name}"))


def crawl(url: str, into: Path, cut: int = 0) -> dict[str, bytes]:
    """Return the files that wget -r finds, by path, without the listings."""
    into.mkdir()
    command = ("wget", "-q", "-r", "-np", "-l", "9", "-nH", f"--cut-dirs={cut}", "--no-proxy", "-R", "index.html*", url)
    subprocess.run(command, cwd=into, timeout=60, check=True)
    return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options", [(), ("--workers", "2"), ("--prefix", "/fi les/deep")], ids=["one", "two", "prefix"]
)
def test_a_crawl_finds_the_files_of_all_mounts(serve: Serve, tree: Path, options: tuple[str, ...]) -> None:
    server = serve(tree / "root", *mount_options(tree), *options)
    prefix = "fi%20les/deep/" if "--prefix" in options else ""
    assert server.line.rstrip().endswith(f"/{prefix}")
    url = f"http://127.0.0.1:{server.port}/{prefix}"
    assert f"serving {tree / 'data'} at {url}data/" in server.line_with("/data/")
    assert server.line_with(" at http").startswith("freight: serving ")
    assert f"serving {tree / 'one.csv'} at {url}v/w.csv" in server.line_with("w.csv")
    assert crawl(url, tree / "got", cut=2 if prefix else 0) == SITE


def test_without_a_path_only_the_mounts_are_served(serve: Serve, tree: Path) -> None:
    server = serve("none", *mount_options(tree), admin=True)
    listing = json.loads(server.get("/", "Accept: application/json").content)
    assert [entry["href"] for entry in listing["entries"]] == ["data/", "v/"]
    assert server.get("/r.txt").status == 404
    assert server.get("/data").fields["location"] == "data/"
    part = server.get("/data/d.bin", "Range: bytes=100-199")
    assert (part.status, part.content) == (206, BIG[100:200])
    again = server.get("/", "Accept: application/json", f"If-None-Match: {server.get('/').fields['etag']}")
    assert again.status in (200, 304)
    assert server.status()["server"]["path"].startswith(f"/data={tree / 'data'}, ")


OUTSIDE = (
    *("/", "/r.txt", "/data/d.bin", "/filesx/r.txt", "/files%2Fr.txt", "/files/../r.txt", "/files/%2e%2e/r.txt"),
    *("/files/../files/../r.txt", "/FILES/r.txt", "/files/data/../../r.txt", "/x/../r.txt"),
)


def test_outside_of_the_prefix_is_nothing(prefixed: ServerProcess) -> None:
    with prefixed.connect() as client:
        for target in OUTSIDE:
            client.get(target)
            answer = client.read_response()
            assert (answer.status, b"below /files/" in answer.content) == (404, True), target


def test_below_the_prefix_all_is_as_without_it(prefixed: ServerProcess) -> None:
    assert prefixed.get("/files/r.txt").content == b"root"
    assert prefixed.get("/files/data/b/i.txt").content == b"inner"
    assert prefixed.get("/files").fields["location"] == "files/"
    assert prefixed.get("/files/data/sub/a:b").fields["location"] == "./a:b/"
    assert b'href="../"' in prefixed.get("/files/data/none", "Accept: text/html").content
    prefixed.wait_for_log("/files/data/b/i.txt", "200")
    with prefixed.connect() as client:
        client.get("/x", method="HEAD")
        assert client.read_response("HEAD").status == 404
        client.get("*", method="OPTIONS")
        assert client.read_response().status == 204
        client.get("/files/r.txt")
        assert client.read_response().content == b"root"


@pytest.fixture
def prefixed(serve: Serve, tree: Path) -> ServerProcess:
    return serve(tree / "root", *mount_options(tree), "--prefix", "/files")


@pytest.mark.needs("nginx")
def test_redirects_and_links_are_right_behind_a_proxy_that_strips_and_one_that_does_not(
    serve: Serve, tree: Path, tmp_path: Path, clients: ExitStack
) -> None:
    options = mount_options(tree)
    plain, prefixed = serve(tree / "root", *options), serve(tree / "root", *options, "--prefix", "/files")
    locations = f"""
        location /stripped/ {{ proxy_pass http://127.0.0.1:{plain.port}/; }}
        location /files/ {{ proxy_pass http://127.0.0.1:{prefixed.port}; }}"""
    port = clients.enter_context(nginx(tmp_path / "nginx", locations))
    for place in ("stripped", "files"):
        url = f"http://127.0.0.1:{port}/{place}/"
        assert crawl(url, tree / place, cut=1) == SITE
        show = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", "-L", "-o", os.devnull, "-w")
        for target in ("data", "data/b", "data/sub/a:b", "v"):
            found = run(*show, "%{http_code} %{num_redirects} %{url_effective}", f"{url}{target}?sort=size").stdout
            assert found == f"200 1 {url}{target}/?sort=size"
        page = run("curl", "-q", "-sS", "--noproxy", "*", "-H", "Accept: text/html", f"{url}data/sub/none").stdout
        assert 'href="../../"' in page


def test_a_mount_that_hangs_delays_neither_the_others_nor_the_root(
    serve: Serve, clients: ExitStack, tree: Path
) -> None:
    (tree / "m").mkdir()
    with hanging_fs(tree / "m") as mounted:
        options = ("--mount", f"/good={tree / 'data'}", "--mount", f"/bad={tree / 'm'}", "--disk-timeout", "1s")
        server = serve(tree / "root", *options, admin=True)
        assert server.get("/bad/small").content == SMALL
        mounted.hang()
        waiting = []
        for _ in range(8):
            client = clients.enter_context(server.connect())
            client.get("/bad/small")
            waiting.append(client)
        assert server.get("/good/d.bin").content == BIG
        assert server.get("/r.txt").content == b"root"
        listing = json.loads(server.get("/", "Accept: application/json").content)
        assert [entry["href"] for entry in listing["entries"]] == ["bad/", "good/", "r.txt"]
        assert {client.read_response().status for client in waiting} == {503}
        assert server.get("/good/sub/").status == 200
        assert [each["path"] for each in server.status()["unresponsive"]] == [str(tree / "m")]
        assert server.ask_admin("/readyz").status == 200, "the others are served"
        mounted.answer()
        wait_until(lambda: server.status()["unresponsive"] == [], "a probe has found that it answers")
        assert server.get("/bad/small").content == SMALL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mount", "data=/srv"), "--mount: 'data=/srv'|'data' is not a mount point|write /data"),
        (("--mount", "/data"), "write /data=/data"),
        (("--mount", "/a=.", "--mount", "/a/=."), "/a is given twice"),
        (("--mount", "/a=/nowhere/x"), "cannot serve /nowhere/x: No such file"),
        (("--prefix", "files"), "write /files"),
        (("none",), "nothing to serve"),
    ],
)
def test_a_mistake_says_what_to_do(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "freight", "settings", "--check", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert any(each in done.stderr + done.stdout for each in words.split("|")), done
