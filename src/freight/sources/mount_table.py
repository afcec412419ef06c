"""Which mount a path belongs to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Names = tuple[str, ...]

T = TypeVar("T")


class MountTable(Generic[T]):
    """What is mounted, by the names of its mount point. The point ``()`` is the root, which may have a mount too."""

    def __init__(self, mounts: Mapping[Names, T]) -> None:
        self._mounts = dict(mounts)
        self._deepest = max(map(len, self._mounts), default=0)
        self._below: dict[Names, dict[str, T | None]] = {}
        for point, mount in self._mounts.items():
            for depth, name in enumerate(point):
                entries = self._below.setdefault(point[:depth], {})
                entries.setdefault(name, None)
                if depth == len(point) - 1:
                    entries[name] = mount

    def find(self, names: Names) -> tuple[Names, T] | None:
        """Return the longest mount point that a path begins with, and its mount; None if there is none."""
        for depth in range(min(len(names), self._deepest), -1, -1):
            mount = self._mounts.get(names[:depth])
            if mount is not None:
                return names[:depth], mount
        return None

    def entries(self, names: Names) -> Mapping[str, T | None] | None:
        """Return the entries of a directory that are mounts, or, with None, lead to one. None: nothing is below it."""
        return self._below.get(names)

    def nested(self) -> Iterator[tuple[Names, T]]:
        """Yield each point that is below another one, with the mount of that one; the root's is not one of them."""
        for point in self._mounts:
            for depth in range(1, len(point)):
                mount = self._mounts.get(point[:depth])
                if mount is not None:
                    yield point, mount
