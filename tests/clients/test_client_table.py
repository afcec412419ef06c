"""The table of clients, the tests that need them, the pinned packages, and the page that lists them, agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

from support.real_clients import BROWSER_LIBRARIES, CLIENTS, NIGHTLY, PAGE, PYTHON_PACKAGES

HERE = Path(__file__).parent
NAMES = [client.name for client in CLIENTS]


def test_the_table_is_sorted_and_each_name_is_in_it_once() -> None:
    assert sorted(set(NAMES)) == NAMES


def test_the_page_has_a_row_with_a_version_for_each_client() -> None:
    rows = re.findall(r"^\| (\S+) \| (\d\S+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(name, does) for name, _, does in rows] == [(client.name, client.does) for client in CLIENTS]


def test_each_python_client_is_pinned() -> None:
    """pip is in every environment."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]
    pinned = [re.split(r"==\d", line)[0] for line in lines]
    assert all(re.fullmatch(r"[\w.-]+==\d\S+", line) for line in lines)
    assert set(pinned) >= PYTHON_PACKAGES - {"pip"}


def test_each_library_for_browsers_is_pinned_with_its_digest() -> None:
    """Exactly, and so is all that they need. The lock file names no registry."""
    asked = json.loads((HERE / "browser" / "package.json").read_bytes())["dependencies"]
    locked = json.loads((HERE / "browser" / "package-lock.json").read_bytes())["packages"]
    assert set(asked) == set(BROWSER_LIBRARIES.values())
    assert all(re.fullmatch(r"\d[\w.-]+", version) for version in asked.values())
    assert locked.pop("")["dependencies"] == asked
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in locked.values())


def test_each_nightly_client_has_a_test() -> None:
    """Named by a test, or by the name of its program in ``jobs/``."""
    text = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("test_*.py"))
    jobs = {path.stem.removeprefix("data_") for path in (HERE / "nightly" / "jobs").iterdir()}
    assert [name for name in NIGHTLY if f'"{name}"' not in text and name not in jobs] == []
