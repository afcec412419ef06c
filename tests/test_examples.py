"""The examples do what they say, against a running server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.sample import verify, write_sample
from serving import Served, find_program, until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE = 6_400_000

Serve = Callable[..., Served]


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge.csv"
    write_sample(path, SIZE)
    return path


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def resume(server: Served, path: Path, target: str = "/") -> subprocess.CompletedProcess[str]:
    return run("resume.py", f"http://{server.host}:{server.port}{target}", str(path))


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_cut_download_is_taken_up_where_it_was(serve: Serve, huge: Path, tmp_path: Path) -> None:
    server, copy = serve(huge), tmp_path / "copy.csv"
    assert resume(server, copy).stdout == f"{SIZE} bytes received\n"
    cut(copy, 1_000_001)
    assert resume(server, copy).stdout == f"{SIZE - 1_000_001} bytes received\n"
    assert verify(copy.read_bytes(), 0)


def test_a_whole_download_is_not_fetched_again(serve: Serve, huge: Path, tmp_path: Path) -> None:
    server, copy = serve(huge), tmp_path / "copy.csv"
    resume(server, copy)
    assert resume(server, copy).stdout == "0 bytes received\n"


def test_two_versions_are_never_stitched_together(serve: Serve, huge: Path, tmp_path: Path) -> None:
    server, copy = serve(huge), tmp_path / "copy.csv"
    resume(server, copy)
    cut(copy, 1_000_000)
    huge.write_bytes(b"another" * 1_000_000)
    assert resume(server, copy).stdout == "7000000 bytes received\n"
    assert copy.read_bytes() == huge.read_bytes()


def test_an_answer_that_is_no_file_is_one_line_and_a_failure(serve: Serve, huge: Path, tmp_path: Path) -> None:
    ended = resume(serve(huge), tmp_path / "copy.csv", "/none")
    assert ended.returncode == 1
    assert ended.stderr.endswith("404 Not Found\n")
    assert ended.stderr.count("\n") == 1


def test_the_crowd_is_counted_in_the_server_and_in_the_kernel(serve: Serve, huge: Path) -> None:
    server, count = serve(huge, "--memory", "1MiB"), 5
    ended = run("crowd.py", f"http://{server.host}:{server.port}/huge.csv", str(count), str(server.pid))
    assert ended.stderr == ""
    before, there, queued = ended.stdout.splitlines()
    size = r"-?[\d.]+ [kM]?B"
    assert re.fullmatch(rf"before: {size} in the process", before)
    assert re.fullmatch(rf"with 5 clients: {size} in the process, {size} for each client", there)
    found = re.fullmatch(rf"in the kernel's send queues: ([\d.]+) [kM]?B, {size} for each client", queued)
    assert found
    assert float(found[1]) > 0
    server.await_log("GET /huge.csv", count=count)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("crowd.py", ()),
        ("crowd.py", ("http://127.0.0.1:8080/", "many", "1")),
        ("crowd.py", ("http://127.0.0.1:8080/", "0", "1")),
        ("resume.py", ()),
        ("resume.py", ("http://127.0.0.1:8080/",)),
        ("watch.py", ()),
        ("watch.py", ("http://127.0.0.1:9080", "soon")),
    ],
)
def test_without_what_it_needs_an_example_says_how_it_is_used(name: str, wrong: tuple[str, ...]) -> None:
    ended = run(name, *wrong)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"usage: {name} ")
    assert "Traceback" not in ended.stderr
    assert "URL" in run(name, "--help").stdout


@pytest.mark.parametrize("name", ["crowd.py", "resume.py", "watch.py"])
def test_without_a_server_an_example_fails_with_one_line(name: str, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        more = {"crowd.py": ["1", str(os.getpid())], "resume.py": [str(tmp_path / "copy")], "watch.py": ["0"]}[name]
        ended = run(name, url, *more)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{name}: ") and "Connection refused" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_every_example_is_run_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(path.name in text for path in EXAMPLES.iterdir() if path.is_file())


def test_a_running_download_and_how_far_it_has_come_are_shown(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    write_sample(path, 64_000_000)  # more than a client that takes nothing has sent to it
    server = serve(path, admin=True)
    watched = f"http://127.0.0.1:{server.admin_port}/"
    assert run("watch.py", watched, "0").stdout.startswith("0 run, 0 wait, ")
    with server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.head()
        until(lambda: server.status()["transfers"]["running"], "it runs")
        ended = run("watch.py", watched, "0")
    assert ended.stderr == ""
    summary, download = ended.stdout.splitlines()
    assert re.fullmatch(r"1 run, 0 wait, -?\d+% of the budget is in use", summary)
    assert re.fullmatch(r"  127\.0\.0\.1 /huge\.csv \d+% [\d.]+ MB/s, waits for the client", download)


@pytest.mark.skipif(find_program("jq") is None, reason="jq is not installed")
def test_the_totals_of_a_log_are_each_clients(serve: Serve, huge: Path) -> None:
    server = serve(huge, "--log-format", "json")
    server.get("/")
    server.get("/", "Range: bytes=0-99")
    server.await_log('"GET"', count=2)
    operator = '{"time": "2026-11-29T12:00:00Z", "level": "info", "message": "stopping"}'
    log = "\n".join([*server.log, "cannot accept more connections for now", operator])
    command = ["jq", "--null-input", "--raw-input", "--from-file", str(EXAMPLES / "log-totals.jq")]
    ended = subprocess.run(command, input=log, capture_output=True, text=True, timeout=60)
    assert json.loads(ended.stdout) == {"127.0.0.1": {"requests": 2, "bytes": SIZE + 100, "unfinished": 0}}
