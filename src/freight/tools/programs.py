"""Where other programs are."""

from __future__ import annotations

import os
import shutil
import sys

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in every user's PATH


def find_program(name: str) -> str | None:
    """Return the path of a program: next to this Python, where some packages install one, in PATH, or in sbin."""
    beside = os.path.dirname(sys.executable)
    return shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath), *_SBIN]))
