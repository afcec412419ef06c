"""Scenario "length": what wget shows of a download with a stated length and without. Both are cut and resumed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from freight.tools.lab.bench import MB, TIMEOUT_SECONDS, Bench, MeasuredServer
from freight.tools.lab.servers import freight
from freight.tools.loadgen import child_process
from freight.tools.loadgen.generator import LoadProcessLost
from freight.tools.loadgen.network import Unsupported
from freight.tools.programs import find_program

RATE = "32m"
_TERMINAL = {"COLUMNS": "72", "LC_ALL": "C"}


def length(bench: Bench) -> None:
    """Measure with a stated length, and without. Raises Unsupported without wget."""
    wget = find_program("wget")
    if wget is None:
        raise Unsupported("wget is not installed")
    file = bench.file(32 * MB)
    bench.settings = {"file_bytes": file.stat().st_size, "wget": _version(wget)}
    bench.commands["wget, cut"] = (
        f"wget --progress=bar:force:noscroll --limit-rate={RATE} http://127.0.0.1:$port/{file.name}"
    )
    bench.commands["wget, again"] = f"wget -c --progress=bar:force:noscroll http://127.0.0.1:$port/{file.name}"
    for name, more in (("length stated", ()), ("length not stated", ("--chunked",))):
        with bench.serving(freight(None, "--log-format", "json", *more, name=name), file) as measured:
            if measured:
                _cut_and_resume(bench, measured, wget, name, file)


def _cut_and_resume(bench: Bench, measured: MeasuredServer, wget: str, name: str, file: Path) -> None:
    place = bench.work / name.replace(" ", "-")
    place.mkdir()
    copy = place / file.name
    url = f"http://127.0.0.1:{measured.running.port}/{file.name}"
    words = [wget, "--no-config", "--progress=bar:force:noscroll", url]
    with (place / "cut.txt").open("wb") as said:
        first = child_process.start([*words, f"--limit-rate={RATE}"], _TERMINAL, cwd=place, stdout=said, stderr=said)
        _await_half(bench, first, copy, place / "cut.txt", file.stat().st_size // 2)
    kept = copy.stat().st_size
    with (place / "again.txt").open("wb") as said:
        again = child_process.start([*words, "-c"], _TERMINAL, cwd=place, stdout=said, stderr=said)
        status = again.wait(TIMEOUT_SECONDS)
    entry = _third_entry(measured)
    check = [sys.executable, "-m", "freight", "make-sample", "--check", str(copy)]
    right = child_process.start(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0
    bench.samples.append(
        {
            "server": name,
            "shown_half_way": _bar(place / "cut.txt"),
            "shown_at_the_end": _bar(place / "again.txt"),
            "kept_bytes": kept,
            "asked": entry["range"],
            "answered": entry["status"],
            "sent_again_bytes": entry["sent"],
            "wget_status": status,
            "whole_and_right": right and copy.stat().st_size == file.stat().st_size,
        }
    )


def _await_half(bench: Bench, wget: subprocess.Popen[bytes], copy: Path, said: Path, half_bytes: int) -> None:
    """End wget when it has half of the file and has shown progress. Raises LoadProcessLost if wget ended before."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while wget.poll() is None and time.monotonic() < end and (len(_bars(said)) < 3 or _size(copy) < half_bytes):
        bench.tick()
        time.sleep(0.005)
    if wget.poll() is not None:
        raise LoadProcessLost("wget had ended before it could be cut")
    child_process.stop(wget)


def _third_entry(measured: MeasuredServer) -> dict[str, Any]:
    """Return the server's log entry of the third request, after the check and the download that was cut."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        lines = [line for line in measured.running.log.read_text().splitlines() if line.startswith("{")]
        if len(lines) >= 3:
            entry: dict[str, Any] = json.loads(lines[2])
            return entry
        time.sleep(0.01)
    raise LoadProcessLost("the server did not log three requests")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bar(said: Path) -> str:
    """Return the last bar that wget drew."""
    return (_bars(said) or [""])[-1]


def _bars(said: Path) -> list[str]:
    """Return all progress bars that wget drew. It draws a few per second."""
    lines = re.split(r"[\r\n]", said.read_text(errors="replace"))
    return [line.strip() for line in lines if "%[" in line or "<=>" in line]


def _version(wget: str) -> str:
    done = subprocess.run([wget, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].partition(" built")[0]
