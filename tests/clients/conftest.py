"""What the tests with real programs share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty directory for a client to write into."""
    path = tmp_path / "here"
    path.mkdir()
    return path


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """An empty directory to serve."""
    path = tmp_path / "there"
    path.mkdir()
    return path
