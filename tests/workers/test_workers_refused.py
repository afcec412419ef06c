"""If the system refuses what several workers need, the start fails with one line that says what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.processes import environment, run


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["memfd_create", "eventfd2"])
def test_a_refused_system_call_is_named_with_a_remedy(tmp_path: Path, call: str) -> None:
    (tmp_path / "file").write_text("x")
    ended = run(
        *("strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:error=EPERM", "-o", os.devnull),
        *(sys.executable, "-m", "freight", "serve", str(tmp_path), "--port", "0", "--admin", "none"),
        *("--workers", "2"),
        env=environment(),
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "use --workers 1" in ended.stderr, ended.stderr
