"""--log-file and --log-format combined: goaccess and logrotate use them, and no line is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.generations import Generations
from support.processes import children, environment, run
from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess, find_program, run_python, wait_until


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a directory with a file, below which the log is not."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.txt").write_text("hello")
    return tmp_path / "site"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "access.log"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def has_lines(path: Path, count: int) -> None:
    wait_until(lambda: len(lines(path)) == count, f"{count} lines in {path.name}")


@pytest.mark.needs("goaccess")
def test_goaccess_reads_every_line(serve: Serve, site: Path, log: Path, tmp_path: Path) -> None:
    """Also of requests that were made to break it."""
    server = serve(site, "--log-format", "combined", "--log-file", str(log))
    hostile = 'User-Agent: "\t- - [x] \\" 200 1 "-" \\'
    server.get("/a.txt", "User-Agent: curl/8.5.0", "Referer: https://a.example/list?q=1")
    server.get("/a.txt", hostile, f'Referer: "{"%" * 3000}')
    server.get("/a.txt?" + '"' * 3000)
    server.get("/none")
    with server.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        client.read_to_end()
    with Http2Client(server) as stream:
        stream.get("/a.txt")
    has_lines(log, 6)
    report = tmp_path / "report.json"
    run(
        find_program("goaccess") or "", str(log), "--log-format=COMBINED", "--no-global-config", "-o", str(report),
        env=environment(LC_ALL="C.UTF-8"),
    )  # fmt: skip
    found = json.loads(report.read_text())
    assert (found["general"]["valid_requests"], found["general"]["failed_requests"]) == (6, 0)
    statuses = {item["data"]: item["hits"]["count"] for each in found["status_codes"]["data"] for item in each["items"]}
    assert {name[:3]: count for name, count in statuses.items()} == {"200": 4, "400": 1, "404": 1}
    assert [each["data"] for each in found["referring_sites"]["data"]] == ["a.example"]


@pytest.mark.needs("logrotate")
@pytest.mark.parametrize("how", ["create", "copytruncate"])
def test_logrotate_rotates_it(serve: Serve, site: Path, log: Path, tmp_path: Path, how: str) -> None:
    server = serve(site, "--log-format", "combined", "--log-file", str(log))
    for _ in range(2):
        server.get("/a.txt")
    has_lines(log, 2)
    reload = f"postrotate\nkill -HUP {server.pid}\nendscript" if how == "create" else "copytruncate"
    settings = tmp_path / "logrotate.conf"
    settings.write_text(f"{log} {{\nsu {os.getuid()} {os.getgid()}\nrotate 3\nnocreate\n{reload}\n}}\n")
    settings.chmod(0o600)
    run(find_program("logrotate") or "", "--force", "--state", str(tmp_path / "state"), str(settings))
    wait_until(log.exists, "it is made again")
    if how == "create":
        server.wait_for_log("log file is opened again")
    server.get("/a.txt")
    has_lines(log, 1)
    assert len(lines(log.with_name("access.log.1"))) == 2


def test_messages_to_the_operator_are_not_in_the_file(serve: Serve, site: Path, log: Path) -> None:
    server = serve(site, "--log-format", "json", "--log-file", str(log), admin=True)
    server.get("/a.txt", "User-Agent: x" + "y" * 1000, "Referer: http://a/?signature=secret&b=1")
    server.signal(signal.SIGHUP)
    server.wait_for_log("log file is opened again")
    server.signal()
    assert server.wait() == 0
    assert [json.loads(line).keys() for line in server.log] == [{"at", "level", "message"}] * len(server.log)
    (entry,) = map(json.loads, lines(log))
    assert entry["user_agent"] == "x" + "y" * 255 + "...[745 more]"
    assert entry["referer"] == "http://a/?signature=...&b=1"
    assert (entry["user"], entry["tls"], entry["target"]) == ("", False, "/a.txt")


def test_several_workers_rotate_one_file(serve: Serve, site: Path, log: Path) -> None:
    """Together the files have each request once, as one line."""
    server = serve(
        site, "--workers", "2", "--log-file", str(log), "--log-file-size", "64KiB", "--log-files", "100",
    )  # fmt: skip
    for connection in range(10):
        with server.connect() as client:
            for number in range(30):
                client.get(f"/{connection}/{number}/{'x' * 600}")
                client.read_response()
    server.signal()
    assert server.wait() == 0
    found = [line for each in log.parent.iterdir() for line in lines(each)]
    targets = Counter(re.findall(r'"GET /(\d+)/(\d+)/x{600}" 404 ', "\n".join(found)))
    assert len(found) == 300 and targets == Counter((str(a), str(b)) for a in range(10) for b in range(30))
    assert len(list(log.parent.iterdir())) > 1


def test_a_hangup_reaches_every_worker(serve: Serve, site: Path, log: Path) -> None:
    server = serve(site, "--workers", "2", "--log-file", str(log))
    wait_until(lambda: len(holders(server, log)) == 2, "each worker has opened it")
    moved = log.rename(log.with_name("moved"))
    server.signal(signal.SIGHUP)
    wait_until(lambda: len(holders(server, log)) == 2 and not holders(server, moved), "each has opened the new one")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_signal_by_which_other_servers_open_their_logs_changes_nothing(
    serve: Serve, site: Path, log: Path, workers: str
) -> None:
    """logrotate's scripts for them move the log, and send SIGUSR1."""
    server = serve(site, "--workers", workers, "--log-file", str(log))
    wait_until(log.exists, "a worker has opened it")
    log.rename(log.with_name("moved"))
    server.signal(signal.SIGUSR1)
    with server.connect() as client:
        client.get("/a.txt")
        assert client.read_response().status == 200
    wait_until(lambda: log.exists() and len(lines(log)) == 1, "the line is in a new file")
    server.signal()
    assert server.wait() == 0


def holders(server: ServerProcess, path: Path) -> list[int]:
    """Return the processes of a server that have a file open."""
    found = []
    for pid in (server.pid, *children(server.pid)):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if fd.readlink() == path:
                    found.append(pid)
            except FileNotFoundError:
                pass  # it was closed meanwhile
    return found


def test_a_successor_writes_to_the_same_file(
    serve: Serve, site: Path, log: Path, follow: Callable[[ServerProcess], Generations]
) -> None:
    server = serve(site, "--log-file", str(log), "--shutdown-timeout", "1h")
    generations = follow(server)
    with server.connect() as kept:
        kept.get("/old")
        kept.read_response()
        generations.hand_over()
        server.get("/new")
        kept.get("/old-again")
        kept.read_response()
        has_lines(log, 3)
    assert generations.end() == 0
    assert sorted(re.findall(r'"GET (\S+)"', log.read_text())) == ["/new", "/old", "/old-again"]


def test_a_server_whose_log_directory_has_gone_serves_and_continues_later(serve: Serve, site: Path, log: Path) -> None:
    server = serve(site, "--log-file", str(log))
    server.get("/1")
    has_lines(log, 1)
    shutil.rmtree(log.parent)
    server.get("/2")
    server.wait_for_log("warning cannot open the log file", "No such file or directory")
    log.parent.mkdir()
    server.get("/3")
    has_lines(log, 2)
    server.wait_for_log("is open again")


def test_a_file_that_cannot_be_written_is_an_error_at_the_start(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "none" / "access.log"
    started = run_python("-m", "freight", "serve", str(site), "--port", "0", "--admin", "none", "--log-file", str(path))
    assert started.returncode == 2
    assert started.stderr.splitlines() == [f"freight: --log-file: there is no directory {path.parent}; make it first"]
