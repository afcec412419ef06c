"""Fixtures of the sources' tests: a check for descriptor leaks, a pool, and both ways of opening beneath a root."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

import pytest

from freight.sources.disk_pool import DiskPool

CLOSE_SECONDS = 5.0  # a thread closes the files of /proc, which counts as a remote file system


def open_descriptors() -> list[str]:
    """Return the open descriptors by number and target, without the one that lists them."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue
    return sorted(found)


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Fail a test that leaves a descriptor open."""
    gc.collect()  # what an earlier test has left to the collector is not this one's
    before = open_descriptors()
    yield
    deadline = time.monotonic() + CLOSE_SECONDS
    while (now := open_descriptors()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert now == before


@pytest.fixture
def pool() -> Iterator[DiskPool]:
    made = DiskPool()
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["openat2", "stepwise"])
def stepwise(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
