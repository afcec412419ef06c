"""Check that everything in a lab's folder can be derived from the samples in its results.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from freight.tools.lab.figures import DRAWINGS
from freight.tools.lab.report import page
from freight.tools.lab.report_text import sentences
from freight.tools.lab.scenarios import BY_NAME
from freight.tools.lab.summary import SUMMARIES


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def check_derived(folder: Path) -> dict[str, Any]:
    """Check that the samples alone give the same summaries, figures and report. Return the results."""
    results = read(folder)
    pictures: dict[str, dict[str, str]] = {}
    measured = {name: record for name, record in results["scenarios"].items() if "skipped" not in record}
    for name, record in measured.items():
        assert json.loads(json.dumps(SUMMARIES[name](record["samples"]))) == record["summary"], name
        pictures[name] = DRAWINGS[name](record)
        for figure, picture in pictures[name].items():
            assert (folder / f"{figure}.svg").read_text() == picture, figure
    titles = {name: (scenario.title, scenario.question) for name, scenario in BY_NAME.items()}
    report = (folder / "report.html").read_text()
    assert report == page(results, pictures, titles)
    for name, record in measured.items():
        check_numbers(name, record, report)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", report)  # it needs no network
    assert "<script" not in report
    assert report.count("<img ") == len(re.findall(r'<img alt="[^"]{20,}" src="data:image/svg\+xml', report)) > 0
    return results


def check_numbers(name: str, record: dict[str, Any], report: str) -> None:
    """Check that a scenario's section has exactly the numbers of the sentences made from its samples."""
    section = report.split(f'<section id="{name}"')[1].split("</section>")[0]
    paragraphs = re.findall(r"<p>(.*?)</p>", section)
    said = set(re.findall(r"\d[\d,.]*", " ".join(sentences(name, record))))
    shown = set(re.findall(r"\d[\d,.]*", re.sub(r"&#?\w+;|<[^>]*>", " ", " ".join(paragraphs))))
    assert shown
    assert shown == said, name
