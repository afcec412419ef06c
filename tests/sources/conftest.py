"""What the sources' tests share: descriptors counted, a pool, and both ways of opening beneath a root."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from freight.disk import DiskPool


def open_descriptors() -> list[str]:
    """What this process has open, by number and target; the listing's own descriptor is left out."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue
    return sorted(found)


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Fails a test that leaves a descriptor behind."""
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture
def pool() -> Iterator[DiskPool]:
    made = DiskPool()
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["openat2", "stepwise"])
def stepwise(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
