"""Run scenarios one after another, and write the folder: ``results.json``, ``report.html``, one SVG per figure."""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from freight import __version__
from freight.errors import ConfigurationError
from freight.tools.lab import busy, load
from freight.tools.lab.bench import Bench
from freight.tools.lab.scenarios import BY_NAME, Scenario
from freight.tools.lab.servers import Server
from freight.tools.lab.summary import SUMMARIES
from freight.tools.loadgen import gauge
from freight.tools.loadgen.child_process import raise_descriptor_limit
from freight.tools.loadgen.generator import LoadProcessLost
from freight.tools.loadgen.network import Unsupported
from freight.tools.programs import find_program

Results = dict[str, Any]
OnProgress = Callable[[Scenario, float], None]
"""Called often with the scenario that runs, and the seconds that it has run."""


def run(
    names: Iterable[str], peers: Sequence[Server], before: dict[str, Any], *, quick: bool, on_progress: OnProgress
) -> Results:
    """Measure the scenarios of these names. The record of a skipped one has only ``skipped``, the reason.

    ``before``: how busy the machine was before, from :func:`freight.tools.lab.load.look`.
    """
    raise_descriptor_limit()
    begin = time.monotonic()
    installed = [peer for peer in peers if peer.missing() is None]
    results: Results = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": quick,
        "machine": gauge.machine(),
        "versions": _versions(installed),
        "scenarios": {},
    }
    watch = load.LoadMonitor()
    with tempfile.TemporaryDirectory(prefix="freight-lab-") as work:
        for name in names:
            results["scenarios"][name] = _measure(BY_NAME[name], Path(work), installed, quick, on_progress)
    during = watch.read()
    results["load"] = {"before": before, "during": during}
    results["busy"] = busy.warning(results["machine"]["cores"], before, during)
    for peer in peers:
        if why := peer.missing():
            for record in results["scenarios"].values():
                record.get("left_out", {})[peer.name] = why
    results["seconds"] = round(time.monotonic() - begin, 1)
    return results


def _measure(
    scenario: Scenario, work: Path, peers: Sequence[Server], quick: bool, on_progress: OnProgress
) -> dict[str, Any]:
    begin, watch = time.monotonic(), load.LoadMonitor()
    bench = Bench(work, quick, tuple(peers), lambda: on_progress(scenario, time.monotonic() - begin))
    bench.tick()
    try:
        scenario.measure(bench)
    except (Unsupported, LoadProcessLost, OSError) as why:
        return {"skipped": str(why)}
    if not bench.samples:
        return {"skipped": "; ".join(f"{what}: {why}" for what, why in bench.left_out.items())}
    return {
        "command": bench.commands,
        "settings": bench.settings,
        "left_out": bench.left_out,
        "load": watch.read(),
        "summary": SUMMARIES[scenario.name](bench.samples),
        "samples": bench.samples,
    }


def write(results: Results, folder: Path) -> Path:
    """Write the folder's files; return the path of the report."""
    from freight.tools.lab.figures import DRAWINGS
    from freight.tools.lab.report import page

    pictures = {
        name: DRAWINGS[name](record) for name, record in results["scenarios"].items() if "skipped" not in record
    }
    titles = {name: (scenario.title, scenario.question) for name, scenario in BY_NAME.items()}
    (folder / "results.json").write_text(dumped(results), encoding="utf-8")
    for drawn in pictures.values():
        for name, picture in drawn.items():
            (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    report = folder / "report.html"
    report.write_text(page(results, pictures, titles), encoding="utf-8")
    return report


def prepare(folder: Path) -> None:
    """Make the folder before the first measurement. Raises ConfigurationError if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"out: cannot write to {folder}: {error.strerror}; choose another folder with --out"
        ) from None


def dumped(results: Results) -> str:
    """Return the results as JSON, one sample per line."""
    scenarios = results["scenarios"]
    marks = {name: f"<samples of {name}>" for name, record in scenarios.items() if "samples" in record}
    short = {name: record | ({"samples": marks[name]} if name in marks else {}) for name, record in scenarios.items()}
    text = json.dumps(results | {"scenarios": short}, indent=1)
    for name, mark in marks.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in scenarios[name]["samples"])
        text = text.replace(json.dumps(mark), f"[\n{lines}\n]")
    return text + "\n"


def _versions(peers: Iterable[Server]) -> dict[str, str]:
    found = {"freight": __version__, "Python": platform.python_version(), "matplotlib": version("matplotlib")}
    for peer in peers:
        words = [find_program(peer.needs) or peer.needs, "-v" if peer.needs == "nginx" else "version"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines() or ["unknown"]
        found[peer.needs] = lines[0].removeprefix("nginx version: ").partition(" h1:")[0]
    return found
