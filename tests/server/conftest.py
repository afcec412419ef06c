"""The fixtures of the server's tests: a file that is larger than any buffer."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.servers import HUGE_BYTES


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """Return ``huge.bin``, a sparse file of HUGE_BYTES zeros."""
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(HUGE_BYTES)
    return path
