"""What wget shows of a download whose length is stated, and of one whose length is not; both are cut and resumed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from freight.lab import tether
from freight.lab.bench import MB, PATIENCE_SECONDS, Bench, Station
from freight.lab.crowd import Lost
from freight.lab.servers import Unfit, freight, program

RATE = "32m"
_TERMINAL = {"COLUMNS": "72", "LC_ALL": "C"}


def length(bench: Bench) -> None:
    """Measure with a stated length, and without. Raises Unfit without wget."""
    wget = program("wget")
    if wget is None:
        raise Unfit("wget is not installed")
    file = bench.file(32 * MB)
    bench.settings = {"file_bytes": file.stat().st_size, "wget": _version(wget)}
    bench.commands["wget, cut"] = (
        f"wget --progress=bar:force:noscroll --limit-rate={RATE} http://127.0.0.1:$port/{file.name}"
    )
    bench.commands["wget, again"] = f"wget -c --progress=bar:force:noscroll http://127.0.0.1:$port/{file.name}"
    for name, more in (("length stated", ()), ("length not stated", ("--no-length",))):
        with bench.serving(freight(None, "--log-format", "json", *more, name=name), file) as station:
            if station:
                _cut_and_resume(bench, station, wget, name, file)


def _cut_and_resume(bench: Bench, station: Station, wget: str, name: str, file: Path) -> None:
    place = bench.work / name.replace(" ", "-")
    place.mkdir()
    copy = place / file.name
    url = f"http://127.0.0.1:{station.process.port}/{file.name}"
    words = [wget, "--no-config", "--progress=bar:force:noscroll", url]
    with (place / "cut.txt").open("wb") as said:
        first = tether.start([*words, f"--limit-rate={RATE}"], _TERMINAL, cwd=place, stdout=said, stderr=said)
        _await_half(bench, first, copy, place / "cut.txt", file.stat().st_size // 2)
    kept = copy.stat().st_size
    with (place / "again.txt").open("wb") as said:
        again = tether.start([*words, "-c"], _TERMINAL, cwd=place, stdout=said, stderr=said)
        status = again.wait(PATIENCE_SECONDS)
    entry = _third_entry(station)
    check = [sys.executable, "-m", "freight", "sample", "--check", str(copy)]
    right = tether.start(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0
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
    """End wget when it has half of the file and has shown its progress. Raises Lost when wget ended before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while wget.poll() is None and time.monotonic() < end and (len(_bars(said)) < 3 or _size(copy) < half_bytes):
        bench.tick()
        time.sleep(0.005)
    if wget.poll() is not None:
        raise Lost("wget had ended before it could be cut")
    tether.stop(wget)


def _third_entry(station: Station) -> dict[str, Any]:
    """The server's log entry of the third request, after the proof and the download that was cut."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        lines = [line for line in station.process.log.read_text().splitlines() if line.startswith("{")]
        if len(lines) >= 3:
            entry: dict[str, Any] = json.loads(lines[2])
            return entry
        time.sleep(0.01)
    raise Lost("the server did not log three requests")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bar(said: Path) -> str:
    """The last bar that wget drew."""
    return (_bars(said) or [""])[-1]


def _bars(said: Path) -> list[str]:
    """All progress bars that wget drew; it draws a new one a few times a second."""
    lines = re.split(r"[\r\n]", said.read_text(errors="replace"))
    return [line.strip() for line in lines if "%[" in line or "<=>" in line]


def _version(wget: str) -> str:
    done = subprocess.run([wget, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].partition(" built")[0]
