"""Passes over a directory, none of which fails because the process has no descriptor left.

os.scandir needs a descriptor of its own in each pass, and an answer that has started can only be aborted. So one is
held for it between the passes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class Scans:
    """Reads the directory that ``fd`` is open on, which is not closed. Raises OSError without a descriptor."""

    __slots__ = ("_fd", "_spare")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._spare = os.dup(fd)

    @contextmanager
    def scan(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Return the entries of the directory from its start, within the context."""
        self.close()
        with os.scandir(self._fd) as entries:
            yield entries
        try:
            self._spare = os.dup(self._fd)
        except OSError:
            pass  # the next pass, if there is one, may find a free descriptor

    def close(self) -> None:
        """Close the descriptor that is held."""
        spare, self._spare = self._spare, -1
        if spare >= 0:
            os.close(spare)
