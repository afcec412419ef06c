"""What all tests share."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold ``@pytest.mark.needs("wget")`` to its word: skip by name where it is missing, fail where CI=true."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if find_program(program) is not None:
                continue
            if os.environ.get("CI") == "true":
                pytest.fail(f"{program} is not installed", pytrace=False)
            pytest.skip(f"{program} is not installed")


def find_program(name: str) -> str | None:
    """The path of a program, /usr/sbin included (where Debian puts nginx); None when it is missing."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
