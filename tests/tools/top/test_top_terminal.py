"""``freight top`` in a real terminal, beside a real server with real downloads, and in a pipe."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from terminals import Terminal

from freight.tools.sample import write_sample
from support.ports import free_port
from support.servers import Client, Serve, ServerProcess, wait_until

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")
MIB = 1 << 20
SIZE = 64 * MIB


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    for name in ("taken.csv", "still.csv"):
        write_sample(root / name, SIZE)
    return root


@pytest.fixture
def server(serve: Serve, site: Path) -> ServerProcess:
    return serve(site, "--memory", "2MB", *PATIENT, admin=True)


@pytest.fixture
def download(server: ServerProcess) -> Iterator[Callable[[str], Client]]:
    """Begins a download, and takes nothing of it by itself."""
    with ExitStack() as stack:

        def begin(target: str) -> Client:
            client = stack.enter_context(server.connect(64 * 1024))
            client.get(target)
            assert client.read_head()[0] == 200
            return client

        yield begin


def percent(terminal: Terminal, name: str) -> int:
    """How far a download is, as its line on the screen says; -1: it has none."""
    found = re.search(r" (\d+)% ", terminal.line(name))
    return int(found[1]) if found else -1


def test_downloads_progress_on_80_by_24_and_a_stalled_one_is_marked(
    server: ServerProcess, download: Callable[[str], Client]
) -> None:
    taken, _ = download("/taken.csv"), download("/still.csv")
    with Terminal("top", str(server.admin_port), "--interval", "200ms") as terminal:
        terminal.wait(lambda: percent(terminal, "/taken.csv") >= 0 and " 2 of " in terminal.line("slots"))
        taken.read_exactly(16 * MIB)
        terminal.wait(lambda: 25 <= percent(terminal, "/taken.csv") < 50)
        taken.read_exactly(16 * MIB)
        terminal.wait(lambda: 50 <= percent(terminal, "/taken.csv") < 75)
        terminal.wait(lambda: terminal.line("/still.csv").endswith("stalled"))
        lines = terminal.lines()
        assert lines[0].startswith("freight ")
        assert f"127.0.0.1:{server.admin_port}" in lines[0]
        assert [line.split()[0] for line in lines[1:7]] == ["memory", "slots", "queue", "rate", "aborted", "blocked"]
        assert "of 2MB: process" in lines[1]
        assert lines[-1].startswith("q quit")
        taken.read_exactly(32 * MIB)
        taken.socket.close()
        terminal.wait(lambda: "1 downloads completed" in terminal.line("rate") and not terminal.line("/taken.csv"))


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (lambda terminal: terminal.type("q"), 0),
        (lambda terminal: terminal.type("\x03"), 130),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), 143),
    ],
    ids=["q", "Ctrl-C", "SIGTERM"],
)
def test_however_it_ends_the_terminal_is_as_it_was(
    stop: Callable[[Terminal], None], status: int, server: ServerProcess
) -> None:
    with Terminal("top", str(server.admin_port)) as terminal:
        terminal.wait(lambda: terminal.line("no downloads"))
        assert terminal.attributes() != terminal.before
        stop(terminal)
        assert terminal.end() == status
        assert terminal.attributes() == terminal.before
        shown, hidden = (terminal.said.rfind(b"\x1b[?25" + letter) for letter in (b"h", b"l"))
        left, entered = (terminal.said.rfind(b"\x1b[?1049" + letter) for letter in (b"l", b"h"))
        assert 0 <= hidden < shown
        assert 0 <= entered < left


def test_keys_choose_the_order_and_turn_it(server: ServerProcess, download: Callable[[str], Client]) -> None:
    _ = download("/taken.csv"), download("/still.csv")

    def order() -> list[str]:
        return re.findall(r"/(taken|still)\.csv", "\n".join(terminal.lines()))

    with Terminal("top", str(server.admin_port)) as terminal:
        terminal.wait(lambda: order() == ["taken", "still"])  # by age
        terminal.type("t")
        terminal.wait(lambda: order() == ["still", "taken"])
        terminal.type("t")
        terminal.wait(lambda: order() == ["taken", "still"])
        assert "target\u25bc" in terminal.lines()[-1]
        terminal.type("\x1b[A")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.fixture
def many(serve: Serve, site: Path, clients: ExitStack) -> ServerProcess:
    """A server with thirty downloads and twelve requests that wait."""
    limits = ("--max-per-client", "30", "--queue-timeout", "1h")
    server = serve(site, "--memory", "20MB", *PATIENT, *limits, admin=True)
    for at in range(42):
        client = clients.enter_context(server.connect(64 * 1024))
        client.get(f"/still.csv?{at:02}")
        if at < 30:
            assert client.read_head()[0] == 200
    wait_until(lambda: server.gate()["waiting"] == 12, "twelve wait")
    return server


def numbers(terminal: Terminal, state: str) -> list[int]:
    """The downloads, or with ``max-per-client`` the waiting requests, that are on the screen."""
    return [int(found[1]) for line in terminal.lines() if state in line and (found := re.search(r"\?(\d\d)", line))]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_both_tables_are_on_the_screen_and_are_scrolled_by_keys(many: ServerProcess, columns: int) -> None:
    with Terminal("top", str(many.admin_port), columns=columns, lines=40) as terminal:
        terminal.wait(lambda: terminal.line(f"1-{len(numbers(terminal, 'stalled'))} of 30") and terminal.line(" of 12"))
        assert "12 max-per-client" in terminal.line("queue")
        downloads, waiters = numbers(terminal, "stalled"), numbers(terminal, "max-per-client")
        assert downloads == list(range(len(downloads))) and waiters == list(range(30, 30 + len(waiters)))
        terminal.type("\x1b[B")
        terminal.wait(lambda: numbers(terminal, "stalled") == [each + 1 for each in downloads])
        terminal.type("\x1b[A\x1b[6~")  # one up and a page down: several keys may come at once
        terminal.wait(lambda: numbers(terminal, "stalled")[-1:] == [29])
        terminal.type("\x1b[H\t\x1b[F")
        terminal.wait(lambda: numbers(terminal, "max-per-client")[-1:] == [41])
        assert numbers(terminal, "stalled") == downloads
        terminal.type("q")
        assert terminal.end() == 0


def test_the_help_page_opens_and_closes(server: ServerProcess) -> None:
    with Terminal("top", str(server.admin_port)) as terminal:
        terminal.wait(lambda: terminal.line("no downloads"))
        terminal.type("?")
        terminal.wait(lambda: terminal.line("PgUp PgDn") and not terminal.line("no downloads"))
        terminal.type("?")
        terminal.wait(lambda: terminal.line("no downloads"))


def test_another_size_is_drawn_as_it_is(server: ServerProcess) -> None:
    with Terminal("top", str(server.admin_port)) as terminal:
        terminal.wait(lambda: terminal.lines()[23].startswith("q quit"))
        terminal.resize(40, 10)
        terminal.wait(lambda: terminal.lines()[0].startswith("freight ") and terminal.lines()[9].startswith("q quit"))
        assert [line.split()[0] for line in terminal.lines()[1:6]] == ["memory", "slots", "queue", "rate", "aborted"]


def test_a_server_that_stopped_is_polled_until_it_is_back(serve: Serve, site: Path) -> None:
    port = free_port()
    server = serve(site, "--memory", "2MB", "--admin", f"127.0.0.1:{port}")
    with Terminal("top", str(port), "--interval", "100ms") as terminal:
        terminal.wait(lambda: "of 2MB" in terminal.line("memory"))
        server.close()
        terminal.wait(lambda: "not reachable, trying again; seen " in terminal.line("freight"))
        assert "of 2MB" in terminal.line("memory")  # what was seen last stays
        serve(site, "--memory", "3MB", "--admin", f"127.0.0.1:{port}")
        terminal.wait(lambda: "of 3MB" in terminal.line("memory") and "not reachable" not in terminal.lines()[0])


def test_one_that_never_answers_does_not_hold_up_the_keys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, Terminal("top", str(silent.getsockname()[1])) as terminal:
        terminal.wait(lambda: terminal.lines()[0].endswith("connecting"))
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"LANG": "C"}, {"LANG": "de_DE.ISO-8859-1"}], ids=str)
def test_where_the_locale_has_no_utf_8_all_is_ascii(variables: dict[str, str], server: ServerProcess) -> None:
    with Terminal("top", str(server.admin_port), **variables) as terminal:
        terminal.wait(lambda: terminal.line("no downloads"))
        assert "......" in terminal.line("memory")
        assert all(line.isascii() for line in terminal.lines())


def test_no_color_where_none_is_wanted(server: ServerProcess) -> None:
    def colors(**environment: str) -> list[bytes]:
        with Terminal("top", str(server.admin_port), **environment) as terminal:
            terminal.wait(lambda: terminal.line("no downloads"))
            return re.findall(rb"\x1b\[(?:\d+;)*(?:3|4|9)\d[\d;]*m", terminal.said)

    assert colors()
    assert colors(NO_COLOR="1") == []


def test_without_a_usable_terminal_the_error_says_what_to_do() -> None:
    with Terminal("top", TERM="dumb") as terminal:
        assert terminal.end() == 2
        assert terminal.line("freight: this is not a terminal; use --once to print a snapshot")


def once(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "freight", "top", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_once_prints_a_look_into_a_pipe(server: ServerProcess, download: Callable[[str], Client]) -> None:
    _ = download("/taken.csv"), download("/still.csv")
    run = once("--once", f"http://127.0.0.1:{server.admin_port}/")
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].startswith("freight ")
    assert [line.split()[1] for line in lines[-2:]] == ["/taken.csv", "/still.csv"]
    assert "\x1b" not in run.stdout
    assert max(map(len, lines)) <= 80
    assert max(map(len, once("--once", str(server.admin_port), COLUMNS="120").stdout.splitlines())) > 80


def test_once_without_a_server_is_one_line_and_status_1(server: ServerProcess) -> None:
    run = once("--once", str(server.port))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        f"freight: 127.0.0.1:{server.port}: no admin listener (/status answers 404 Not Found); "
        "is a server running with this --admin address?\n"
    )
    port = server.admin_port
    server.close()
    run = once("--once", str(port))
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert f"freight: 127.0.0.1:{port}: not reachable (Connection refused)" in run.stderr
