"""A file that is located, and then replaced by something else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from freight.model import Resource
from freight.sources.local import LocalSource


def located(source: LocalSource, target: str = "/data.csv") -> Resource:
    """Locate what is there, without an event loop of the test's own."""
    found = asyncio.run(source.locate(target, "192.0.2.1"))
    assert isinstance(found, Resource)
    return found


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
