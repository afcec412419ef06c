"""The examples work against a running server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from freight.access.keys import create
from freight.tools.sample import verify, write_sample
from support.processes import environment, kill_process_group, start_process
from support.servers import Client, Serve, ServerProcess, find_program, wait_until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE = 6_400_000


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge.csv"
    write_sample(path, SIZE)
    return path


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def resume(server: ServerProcess, path: Path, target: str = "/") -> subprocess.CompletedProcess[str]:
    return run("resume.py", f"http://{server.host}:{server.port}{target}", str(path))


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_cut_download_is_resumed(serve: Serve, huge: Path, tmp_path: Path) -> None:
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


def test_an_error_response_is_one_line_and_a_failure(serve: Serve, huge: Path, tmp_path: Path) -> None:
    ended = resume(serve(huge), tmp_path / "copy.csv", "/none")
    assert ended.returncode == 1
    assert ended.stderr.endswith("404 Not Found\n")
    assert ended.stderr.count("\n") == 1


def test_stalled_clients_are_measured_in_the_server_and_in_the_kernel(serve: Serve, huge: Path) -> None:
    server, count = serve(huge, "--memory", "1MiB"), 5
    ended = run("stalled_clients.py", f"http://{server.host}:{server.port}/huge.csv", str(count), str(server.pid))
    assert ended.stderr == ""
    before, there, queued = ended.stdout.splitlines()
    size = r"-?[\d.]+ [kM]?B"
    assert re.fullmatch(rf"before: {size} in the process", before)
    assert re.fullmatch(rf"with 5 clients: {size} in the process, {size} for each client", there)
    found = re.fullmatch(rf"in the kernel's send queues: ([\d.]+) [kM]?B, {size} for each client", queued)
    assert found
    assert float(found[1]) > 0
    server.wait_for_log("GET /huge.csv", count=count)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("stalled_clients.py", ()),
        ("stalled_clients.py", ("http://127.0.0.1:8080/", "many", "1")),
        ("stalled_clients.py", ("http://127.0.0.1:8080/", "0", "1")),
        ("resume.py", ()),
        ("resume.py", ("http://127.0.0.1:8080/",)),
        ("watch.py", ()),
        ("watch.py", ("http://127.0.0.1:9080", "soon")),
    ],
)
def test_wrong_arguments_print_the_usage(name: str, wrong: tuple[str, ...]) -> None:
    ended = run(name, *wrong)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"usage: {name} ")
    assert "Traceback" not in ended.stderr
    assert "URL" in run(name, "--help").stdout


@pytest.mark.parametrize("name", ["stalled_clients.py", "resume.py", "watch.py"])
def test_an_example_without_a_server_fails_with_one_line(name: str, tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening, so that connections are refused
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        more = {
            "stalled_clients.py": ["1", str(os.getpid())],
            "resume.py": [str(tmp_path / "copy")],
            "watch.py": ["0"],
        }[name]
        ended = run(name, url, *more)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{name}: ") and "Connection refused" in ended.stderr
    assert ended.stderr.count("\n") == 1


@contextmanager
def application(name: str, *arguments: str) -> Iterator[str]:
    """Run an application on a free port, and return its address."""
    process = start_process(
        [sys.executable, str(EXAMPLES / name), "0", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(rb"http://127\.0\.0\.1:[1-9]\d*", line):
                yield found[0].decode()
                break
        else:
            raise AssertionError(f"{name} did not start")
    finally:
        kill_process_group(process)
        process.stdout.close()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"signed_{framework}.py", marks=pytest.mark.needs("curl", framework))
        for framework in ("django", "fastapi", "flask")
    ],
)
def test_an_application_redirects_its_users_to_their_files(name: str, serve: Serve, tmp_path: Path) -> None:
    served, keys, here = tmp_path / "exports", tmp_path / "keys", tmp_path / "here"
    for folder in (served / "alice", served / "bob", here):
        folder.mkdir(parents=True)
    (served / "alice" / "1.csv").write_text("a,b\n")
    create(keys, "main")
    server = serve(served, "--signing-keys", str(keys))

    def curl(url: str, *options: str) -> str:
        command = ["curl", "--silent", "--show-error", "--max-time", "40", "--write-out", "%{http_code}", *options, url]
        return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60).stdout

    with application(name, str(keys), f"http://127.0.0.1:{server.port}") as address:
        report = f"{address}/reports/1"
        saved = ("--location", "--remote-name", "--remote-header-name")
        assert curl(report, "--user", "alice:secret", *saved) == "200"
        assert (here / "report-1.csv").read_text() == "a,b\n"
        for options, status in (((), "401"), (("--user", "alice:guess"), "401"), (("--user", "bob:secret"), "404")):
            assert curl(report, "--output", os.devnull, *options) == status
        head = curl(report, "--user", "alice:secret", "--head", "--request", "GET").lower()
        assert head.endswith("303") and "referrer-policy: no-referrer" in head and "cache-control: no-store" in head
    assert server.get("/alice/1.csv").status == 403


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("download_django.py", marks=pytest.mark.needs("curl", "django")),
        pytest.param("download_fastapi.py", marks=pytest.mark.needs("curl", "fastapi")),
        pytest.param("download_flask.py", marks=pytest.mark.needs("curl", "flask")),
    ],
)
def test_an_application_sends_its_users_their_files(name: str, tmp_path: Path) -> None:
    served, here = tmp_path / "exports", tmp_path / "here"
    for folder in (served / "alice", served / "public", here):
        folder.mkdir(parents=True)
    content = "".join(f"{number},b\n" for number in range(100_000))
    (served / "alice" / "1.csv").write_text(content)

    def curl(url: str, *options: str) -> str:
        command = ["curl", "--silent", "--show-error", "--max-time", "40", "--write-out", "%{http_code}", *options, url]
        return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60).stdout

    with application(name, str(served)) as address:
        report, user = f"{address}/reports/1", ("--user", "alice:secret")
        assert curl(report, *user, "--remote-name", "--remote-header-name") == "200"
        assert (here / "report-1.csv").read_text() == content
        assert curl(report, *user, "--range", "2-5") == f"{content[2:6]}206"
        assert curl(report, *user, "--header", 'If-Match: "x"', "--output", os.devnull) == "412"
        for options, status in (((), "401"), (("--user", "alice:guess"), "401"), (("--user", "bob:secret"), "404")):
            assert curl(report, *options, "--output", os.devnull) == status
        if name != "download_django.py":
            (served / "public" / "a.txt").write_text("a")
            assert curl(f"{address}/public/a.txt") == "a200"


def test_every_example_is_run_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    text += (Path(__file__).parent / "library" / "test_exports.py").read_text(encoding="utf-8")
    assert all(path.name in text or path.stem.startswith("signed_") for path in EXAMPLES.iterdir() if path.is_file())


def test_watch_shows_a_running_download_and_its_progress(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    write_sample(path, 64_000_000)  # more than the kernel accepts for a client that does not read
    server = serve(path, admin=True)
    watched = f"http://127.0.0.1:{server.admin_port}/"
    assert run("watch.py", watched, "0").stdout.startswith("0 run, 0 wait, ")
    with server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.read_head()
        wait_until(lambda: server.status()["transfers"]["running"], "it runs")
        ended = run("watch.py", watched, "0")
    assert ended.stderr == ""
    summary, download = ended.stdout.splitlines()
    assert re.fullmatch(r"1 run, 0 wait, -?\d+% of the budget is in use", summary)
    assert re.fullmatch(r"  127\.0\.0\.1 /huge\.csv \d+% [\d.]+ MB/s, waits for the client", download)


@pytest.mark.skipif(find_program("jq") is None, reason="jq is not installed")
def test_the_totals_of_a_log_are_for_each_client(serve: Serve, huge: Path) -> None:
    server = serve(huge, "--log-format", "json")
    server.get("/")
    server.get("/", "Range: bytes=0-99")
    server.wait_for_log('"GET"', count=2)
    operator = '{"time": "2026-11-29T12:00:00Z", "level": "info", "message": "stopping"}'
    log = "\n".join([*server.log, "cannot accept more connections for now", operator])
    command = ["jq", "--null-input", "--raw-input", "--from-file", str(EXAMPLES / "log-totals.jq")]
    ended = subprocess.run(command, input=log, capture_output=True, text=True, timeout=60)
    assert json.loads(ended.stdout) == {"127.0.0.1": {"requests": 2, "bytes": SIZE + 100, "unfinished": 0}}


@pytest.mark.needs("pandas")
def test_a_colleague_gets_the_data_frame_of_a_notebook() -> None:
    """The cells are run one after the other, as a notebook runs them. Without its link nobody gets anything."""
    cells = re.split(r"^# %%.*$", (EXAMPLES / "share_dataframe.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    names: dict[str, Any] = {}
    try:
        for cell in cells[:-1]:
            exec(cell, names)
        port, path = names["server"].port, names["link"].partition("//")[2].partition("/")[2]
        with Client("127.0.0.1", port) as client:
            client.get(f"/{path}")
            found = client.read_response()
            assert found.content.decode() == names["frame"].to_csv(index=False)
            assert found.fields["content-type"] == "text/csv; charset=utf-8"
            client.get(f"/{path}", "Range: bytes=-10")
            assert client.read_response().content == found.content[-10:]
            client.get("/frame.csv")
            assert client.read_response().status == 403
    finally:
        exec(cells[-1], names)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
