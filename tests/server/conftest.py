"""What the tests of the server share: a file that no buffer takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import HUGE_BYTES


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A file of HUGE_BYTES zeros, ``huge.bin``, sparse."""
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(HUGE_BYTES)
    return path
