"""The pages that are played, and the state in which the reader of each starts."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from .checkout import ROOT, Place
from .page import Kind, blocks
from .story import Played, play

README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-download.md"
_NEEDED = ("bash", "git", "wget", "curl", "jq")
BEGINNINGS = (README, TUTORIAL)  # their readers have only a clone


def played_pages() -> list[Path]:
    """Return the pages that have a block to be typed; those for newcomers come first."""
    others = sorted(path for path in (ROOT / "docs").rglob("*.md") if path not in BEGINNINGS)
    return [path for path in (*BEGINNINGS, *others) if _is_played(path)]


def needed(path: Path) -> list[str]:
    """Return the programs without which a page cannot be played."""
    found = [block.words for block in blocks(path.read_text(encoding="utf-8")) if block.kind is Kind.NEEDS]
    return [*_NEEDED, *", ".join(found).split(", ")] if found else list(_NEEDED)


def play_page(path: Path, place: Place, *, quiet_seconds: float = 20.0) -> Played:
    """Play a page in a clone. On all but the first two pages, ``freight`` is a command already."""
    if path not in BEGINNINGS:
        place = with_freight(place)
    return play(path.read_text(encoding="utf-8"), place, start=place.clone, quiet_seconds=quiet_seconds)


def with_freight(place: Place) -> Place:
    """Return the place after ``./scripts/setup`` and ``. .venv/bin/activate``."""
    set_up = [place.clone / "scripts" / "setup"]
    subprocess.run(set_up, env=place.environment, capture_output=True, check=True, timeout=300)
    path = f"{place.clone / '.venv' / 'bin'}:{place.environment['PATH']}"
    return replace(place, environment={**place.environment, "PATH": path})


def _is_played(path: Path) -> bool:
    return any(block.kind is Kind.RUN for block in blocks(path.read_text(encoding="utf-8")))
