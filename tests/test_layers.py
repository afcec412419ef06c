"""The house's walls: who may import whom, and what the pure core never touches."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "freight"
IMPURE = {"asyncio", "os", "io", "socket", "ssl", "time", "random", "posix", "select", "selectors", "threading"}
PURE_FILES = sorted(path for name in ("core", "wire") for path in (PACKAGE / name).rglob("*.py"))
PURE_FILES += [
    PACKAGE / "lab" / f"{name}.py" for name in ("busy", "facts", "summary", "sums", "tables", "wording", "words")
]
PURE_FILES += [PACKAGE / "fleet" / f"{name}.py" for name in ("description", "room", "sheets")]
PURE_FILES += [PACKAGE / "fleet" / f"{name}.py" for name in ("caddy", "compose", "envoy", "haproxy", "k8s")]
PURE_FILES += [
    PACKAGE / "fleet" / "simulate" / f"{name}.py" for name in ("cache", "model", "node", "policies", "sharing")
]


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names of all modules a file imports, however deep in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_pure_never_waits_opens_or_reads_a_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not IMPURE & set(imported(tree))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not {"open", "__import__", "input", "print"} & called


def test_an_import_is_seen_wherever_it_stands() -> None:
    text = "import a.b\ndef f():\n    from c.d import e\n    import g as h\nfrom . import i\n"
    assert set(imported(ast.parse(text))) == {"a", "c", "g"}


def test_a_layer_imports_only_what_stands_below_it() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
