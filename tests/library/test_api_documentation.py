"""The pages about the Python API: made from the docstrings, complete, and their examples run."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

import freight
from support.processes import environment, run

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_what_the_docstrings_say() -> None:
    done = run(sys.executable, str(ROOT / "scripts" / "api.py"), "--check", env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_on_the_page() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in freight.__all__:
        assert f"## freight.{name}\n" in text or f"`freight.{name}`" in text


def test_the_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_bytes(b"a,b\n1,2\n")
    page = ROOT / "docs" / "how-to" / "python.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 8
    assert result.failed == 0
