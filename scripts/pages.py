"""Write a lab's numbers into the pages, and draw its figures. usage: pages.py FOLDER [--check]

A number is between ``<!-- lab:crowd.per_client -->`` and ``<!-- /lab -->``. Its name is a scenario's and a fact's
(:mod:`freight.tools.lab.findings`). With ``--check``, print which files are not up to date, and write nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freight.tools.lab.figures import DRAWINGS
from freight.tools.lab.findings import FACTS
from freight.tools.lab.report import machine

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "explanation" / "how-it-works.md")
MARK = re.compile(r"(<!-- lab:([\w.]+) -->).*?(<!-- /lab -->)", re.DOTALL)


def facts_of(results: dict[str, Any]) -> dict[str, str]:
    """Return the text of each number by its name, such as ``crowd.per_client``, and of the machine."""
    texts = {"machine": machine(results["machine"], results["versions"]), "made": results["made"].partition(" ")[0]}
    for name, record in _measured(results):
        texts |= {f"{name}.{fact}": said for fact, said in FACTS[name](record).items()}
    return texts


def _measured(results: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the scenarios that were not skipped, with their records."""
    return [(name, record) for name, record in results["scenarios"].items() if "skipped" not in record]


def filled(page: str, texts: dict[str, str]) -> str:
    """Return the page with each number in its place."""
    return MARK.sub(lambda mark: f"{mark[1]}{texts.get(mark[2], 'not measured')}{mark[3]}", page)


def made(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file that follows from a lab's results, and its text."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    texts = facts_of(results)
    for page in PAGES:
        yield page, filled(page.read_text(encoding="utf-8"), texts)
    for name, record in _measured(results):
        for figure, picture in DRAWINGS[name](record).items():
            yield folder / f"{figure}.svg", picture


def main(folder: Path, *, check: bool) -> int:
    stale = 0
    for path, text in made(folder):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            if check:
                print(f"{path.name} is not what {folder.name}/results.json says: ./scripts/figures --again")
            else:
                path.write_text(text, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), check="--check" in sys.argv))
