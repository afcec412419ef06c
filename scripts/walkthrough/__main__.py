"""Type what the pages say, and write what is printed into them. usage: python -m walkthrough [--check] [PAGE ...]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .checkout import ROOT, make_place
from .pages import play_page, played_pages

_QUIET_SECONDS = 2.0


def main(words: list[str]) -> int:
    """Play these pages, or all. Return 1 if a page could not be played, or with ``--check`` if it is not right."""
    if unknown := [word for word in words if word.startswith("-") and word != "--check"]:
        print(f"usage: scripts/transcripts [--check] [PAGE]...   ({unknown[0]} is no option)", file=sys.stderr)
        return 2
    check, status = "--check" in words, 0
    wanted = [(Path.cwd() / word).resolve() for word in words if not word.startswith("-")] or played_pages()
    for path in wanted:
        print(f"{path.relative_to(ROOT)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # gigabytes, which a tmpfs would keep in memory
            place = make_place(Path(folder), fetches=False, as_typed=not check)
            played = play_page(path, place, quiet_seconds=_QUIET_SECONDS)
        for difference in played.differences:
            print(difference)
            if check or not difference.is_repaired:
                status = 1
        if not check:
            path.write_text(played.page, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
