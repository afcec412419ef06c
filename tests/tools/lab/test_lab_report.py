"""The folder of a run of three scenarios, and the messages about leaks and what cannot be measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from freight.tools.lab import experiments
from freight.tools.lab.bench import Bench
from freight.tools.lab.command import conclude
from freight.tools.lab.report_text import remarks, sentences, verdict
from freight.tools.lab.runner import write
from freight.tools.lab.servers import Server
from freight.tools.lab.summary import SUMMARIES
from support.page_facts import check_derived, read
from support.processes import environment, run, running
from support.servers import wait_until

LEAKY = """
import sys, threading, socket
kept = []
def answer(link):
    with link:
        link.recv(65536)
        data = open(sys.argv[2], "rb").read()
        kept.append(data)  # for ever
        link.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(data))
        try:
            link.sendall(data)
        except OSError:
            pass
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()
"""


def run_lab(*arguments: str, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = environment() if path is None else environment(PATH=path)
    return run(sys.executable, "-m", "freight", "lab", *arguments, cwd=cwd, env=env, seconds=120)


def session_of(pid: str) -> int:
    """The session of a process (proc(5)), -1 if it has ended, even before its status was collected."""
    try:
        state, _, _, session, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if state in "ZX" else int(session)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quick run of three scenarios."""
    place = tmp_path_factory.mktemp("lab")
    done = run_lab("--quick", *("--scenario", "memory", "--scenario", "stalled", "--scenario", "length"), cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "freight-lab/report.html"
    return place / "freight-lab"


def test_every_number_of_the_report_is_derived_from_the_samples(folder: Path) -> None:
    results = check_derived(folder)
    assert list(results["scenarios"]) == ["memory", "stalled", "length"]
    for record in results["scenarios"].values():
        assert record["command"]
        assert record["samples"]


def test_the_process_returns_its_memory(folder: Path) -> None:
    rows = read(folder)["scenarios"]["memory"]["samples"]
    used = {
        phase: [row["process_bytes"] for row in rows if row["phase"] == phase] for phase in ("start", "flight", "after")
    }
    assert abs(median(used["after"]) - median(used["start"])) <= 1 << 20
    assert max(used["flight"]) - median(used["start"]) <= 1 << 20  # of 256 MB that were sent
    assert "LEAKING" not in (folder / "report.html").read_text()
    assert "needs almost no memory" in (folder / "report.html").read_text()
    last = rows[-1]
    assert (last["at"], last["kernel_bytes"], last["connections"]) == ({"whole": 1}, 0, 0)
    assert last["taken_bytes"] - rows[0]["taken_bytes"] >= 256_000_000


def test_the_window_holds_what_the_kernel_would_take(folder: Path) -> None:
    rows = read(folder)["scenarios"]["stalled"]["samples"]
    held: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["phase"] == "held":
            held.setdefault(row["server"], []).append(row)
    bound, free = held["freight --memory 20MB"], held["zero-copy"]
    assert all(row["at"] == {"stalled": row["clients"]} for row in [*bound, *free])
    assert all(row["kernel_bytes"] <= row["clients"] * (32 + 16) << 10 for row in bound)
    assert min(row["kernel_bytes"] for row in free) > 5 * max(row["kernel_bytes"] for row in bound)
    assert max(row["process_bytes"] for row in free) < 2 * max(
        row["process_bytes"] for row in bound
    )  # the process shows nothing


@pytest.mark.needs("wget")
def test_only_a_download_with_a_stated_length_resumes(folder: Path) -> None:
    stated, unstated = read(folder)["scenarios"]["length"]["samples"]
    assert (stated["answered"], unstated["answered"]) == (206, 200)
    assert "%" in stated["shown_half_way"]
    assert "<=>" in unstated["shown_half_way"]
    size = read(folder)["scenarios"]["length"]["settings"]["file_bytes"]
    assert stated["kept_bytes"] + stated["sent_again_bytes"] == size
    assert size <= unstated["sent_again_bytes"] < size + 1024  # the frames of the chunks count
    assert stated["whole_and_right"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_that_was_started_outlives_a_lab_that_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "freight", "lab", "--quick", "--scenario", "stalled", "--out", str(tmp_path / "out")]
    with running(words, env=environment(TMPDIR=str(tmp_path)), stderr=subprocess.DEVNULL) as lab:

        def family() -> list[int]:
            pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
            return [int(pid) for pid in pids if session_of(pid) == lab.pid and int(pid) != lab.pid]

        wait_until(lambda: len(family()) >= 2, "a server and its clients run")
        lab.send_signal(number)
        status = lab.wait(20)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    wait_until(lambda: not family(), "all have ended")
    if number is not signal.SIGKILL:
        assert not list(tmp_path.glob("freight-lab-*"))  # its files are gone too


def test_no_machine_and_no_directory_is_named(folder: Path) -> None:
    text = (folder / "results.json").read_text() + (folder / "report.html").read_text()
    assert os.uname().nodename not in text
    assert "/tmp" not in text
    assert str(Path.home()) not in text


def test_a_server_that_keeps_what_it_sent_is_reported_as_leaking(tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(LEAKY)
    bench = Bench(tmp_path, quick=True)
    experiments.memory(bench, Server("leaky", ("$python", str(tmp_path / "leaky.py"), "$port", "$file")))
    record = {"settings": bench.settings, "samples": bench.samples, "summary": SUMMARIES["memory"](bench.samples)}
    assert record["summary"]["returned"] is False
    assert record["summary"]["left_bytes"] >= 256_000_000
    assert "LEAKING" in " ".join(sentences("memory", record))
    results = {
        **{"made": "today", "seconds": 1.0, "quick": True, "versions": {"freight": "0"}},
        "machine": {"cores": 2, "cpu": "one", "memory_bytes": 1 << 30, "kernel": "6", "sysctl": {}},
        "scenarios": {"memory": {"command": bench.commands, "left_out": {}, **record}},
    }
    report = write(results, tmp_path)
    assert report.read_text().count('<strong class="bad">leaking</strong>') == 2  # in the overview and in its section
    assert "needs almost no memory" not in report.read_text()
    assert conclude(results, report) == 1


def test_a_busy_machine_is_named_on_the_page_and_on_the_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = read(folder)
    assert results["load"].keys() == {"before", "during"}
    assert all(record["load"].keys() == {"load", "others_share", "steal_share"} for record in measured(results))
    busy = "This machine was busy (load 6.9 on 2 processors): do not trust these numbers."
    for said in (busy, None):
        report = write(results | {"busy": said}, tmp_path)
        assert (f'<p class="banner" role="alert">{busy}</p>' in report.read_text()) is (said is not None)
        assert conclude(results | {"busy": said}, report) == 0
        printed = capsys.readouterr().out.splitlines()
        assert (printed[-2] == busy) is (said is not None)
        assert printed[-1] == str(report)


def measured(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [record for record in results["scenarios"].values() if "skipped" not in record]


@pytest.mark.needs("wget")
def test_the_terminal_has_one_verdict_for_each_scenario_and_says_before_how_long_it_takes(tmp_path: Path) -> None:
    done = run_lab("--quick", "--scenario", "length", cwd=tmp_path)
    results = read(tmp_path / "freight-lab")
    record = results["scenarios"]["length"]
    said = [verdict("length", record), *([] if results["busy"] else remarks(record))]
    expected = " ".join(said).replace("\N{NO-BREAK SPACE}", " ")
    shown = " ".join(done.stdout.split())
    assert shown.startswith(f"length {expected} ")
    told = [line for line in done.stderr.splitlines() if "busy now" not in line]
    assert told == [
        "freight: 1 scenario, about 5 s on a quiet machine",
        "freight: length: A download without a stated length (about 5 s to go)",
    ]


def test_what_cannot_be_measured_is_skipped_by_name_and_never_invented(tmp_path: Path) -> None:
    done = run_lab("--quick", "--scenario", "length", cwd=tmp_path, path="/nowhere")
    assert "skipped: wget is not installed" in done.stdout
    record = json.loads((tmp_path / "freight-lab" / "results.json").read_text())["scenarios"]["length"]
    assert record == {"skipped": "wget is not installed"}
    assert "wget is not installed" in (tmp_path / "freight-lab" / "report.html").read_text()


@pytest.mark.needs("setpriv")
def test_without_the_right_to_make_namespaces_the_long_line_is_skipped_by_name(tmp_path: Path) -> None:
    lab = (sys.executable, "-m", "freight", "lab", "--quick", "--scenario", "path")
    less = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin") if os.geteuid() == 0 else ()
    done = run(*less, *lab, cwd=tmp_path, env=environment(), seconds=120)
    reason = "only root may make network namespaces: Operation not permitted"
    if not Path("/dev/net/tun").exists():
        reason = "a long line needs /dev/net/tun, which is not there"
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"path        skipped: {reason}")
    assert read(tmp_path / "freight-lab")["scenarios"] == {"path": {"skipped": reason}}
    report = (tmp_path / "freight-lab" / "report.html").read_text()
    assert report.count(f">skipped</span>: {reason}") + report.count(f">Skipped</span>: {reason}") == 2


def test_scenarios_are_listed_without_measuring(tmp_path: Path) -> None:
    done = run_lab("--list", cwd=tmp_path)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["memory", "strategies", "buffer", "stalled", "crowd", "budget", "length", "path"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scenario", "speed"), "freight: scenario: there is no 'speed'; there are memory, strategies, buffer,"),
        (("--against", "nginx,apache"), "freight: against: there is no 'apache'; there are nginx, caddy, go"),
        (("--against", "foo", "--list"), "freight: against: there is no 'foo'; there are nginx, caddy, go"),
        (("--scenario", "foo", "--list"), "freight: scenario: there is no 'foo'; there are memory, strategies,"),
        (("--out", "/proc/here"), "freight: out: cannot write to /proc/here: "),
        (("--fast",), "freight: --fast: no such option"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = run_lab(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    text = "import sys; sys.modules['matplotlib'] = None; from freight.cli.main import main; sys.exit(main(['lab']))"
    words = [sys.executable, "-c", text]
    done = run(*words, cwd=tmp_path, env=environment())
    assert done.returncode == 2
    assert done.stderr.startswith("freight: freight lab needs matplotlib, which is not installed; run: ")
    assert len(done.stderr.splitlines()) == 1
