"""The examples do what they say, against a running server."""

from __future__ import annotations

import json
import re
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
    assert resume(server, copy).stdout == f"{SIZE} bytes came\n"
    cut(copy, 1_000_001)
    assert resume(server, copy).stdout == f"{SIZE - 1_000_001} bytes came\n"
    assert verify(copy.read_bytes(), 0)


def test_a_whole_download_is_not_fetched_again(serve: Serve, huge: Path, tmp_path: Path) -> None:
    server, copy = serve(huge), tmp_path / "copy.csv"
    resume(server, copy)
    assert resume(server, copy).stdout == "0 bytes came\n"


def test_two_versions_are_never_stitched_together(serve: Serve, huge: Path, tmp_path: Path) -> None:
    server, copy = serve(huge), tmp_path / "copy.csv"
    resume(server, copy)
    cut(copy, 1_000_000)
    huge.write_bytes(b"another" * 1_000_000)
    assert resume(server, copy).stdout == "7000000 bytes came\n"
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
    assert re.fullmatch(r"before: \d+ KiB private", before)
    assert re.fullmatch(r"with 5: \d+ KiB private, -?[\d.]+ KiB a client", there)
    found = re.fullmatch(r"in the kernel's send queues: (\d+) KiB, [\d.]+ KiB a client", queued)
    assert found
    assert int(found[1]) > 0
    server.await_log("GET /huge.csv", count=count)


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
    log = "\n".join([*server.log, "cannot accept more connections for now"])
    command = ["jq", "--null-input", "--raw-input", "--from-file", str(EXAMPLES / "log-totals.jq")]
    ended = subprocess.run(command, input=log, capture_output=True, text=True, timeout=60)
    assert json.loads(ended.stdout) == {"127.0.0.1": {"requests": 2, "bytes": SIZE + 100, "unfinished": 0}}
