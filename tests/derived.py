"""Holds a lab's folder to its own samples: whoever reads results.json must be able to derive all that is said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from freight.lab.figures import DRAWINGS
from freight.lab.report import page
from freight.lab.scenarios import BY_NAME
from freight.lab.summary import SUMMARIES
from freight.lab.words import sentences


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def check_derived(folder: Path) -> dict[str, Any]:
    """Summaries, figures and the report made anew from the samples alone are those that are there; the results."""
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
    """Each number in the scenario's part of the page is one that the sentences, made from the samples, have."""
    section = report.split(f'<section id="{name}"')[1].split("</section>")[0]
    paragraphs = re.findall(r"<p>(.*?)</p>", section)
    said = set(re.findall(r"\d[\d,.]*", " ".join(sentences(name, record))))
    shown = set(re.findall(r"\d[\d,.]*", re.sub(r"&#?\w+;|<[^>]*>", " ", " ".join(paragraphs))))
    assert shown
    assert shown == said, name
