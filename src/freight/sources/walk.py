"""Open a path one name at a time, from descriptor to descriptor. The kernel follows no link on the way.

The walk holds an O_PATH descriptor for each directory that it has descended from. A ".." goes back one of them.

A link may lead out of the root if some directory is allowed. What the walk then arrives at is opened only if the root
or an allowed directory is among the directories that it holds, or above them. So the check is of what was opened, and
not of a path, which could name something else a moment later. On the way nothing is opened that could act: an O_PATH
descriptor only names a file (open(2)).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

LINKS_MAX = 40
"""The kernel's own limit before ELOOP, path_resolution(7)."""

PATH_ONLY = os.O_PATH | os.O_CLOEXEC
DIRECTORY = PATH_ONLY | os.O_DIRECTORY

Node = tuple[int, int]
"""Device and inode. While a descriptor is open, no other file gets the same."""


class Walk:
    """One walk from the directory ``root_fd``; a context manager, which closes what the walk holds.

    ``follows_links``: follow links beneath the root, and ``allowed``, directories to which links may lead besides.
    """

    __slots__ = ("_allowed", "_follows_links", "_held", "_outside", "_root_fd")

    def __init__(self, root_fd: int, *, follows_links: bool, allowed: Sequence[str]) -> None:
        self._root_fd = root_fd
        self._follows_links = follows_links
        self._allowed = allowed
        # The directories on the way here: from below the root, or from the first outside, which may not be left.
        self._held: list[int] = []
        self._outside = False

    def open(self, path: bytes, flags: int) -> int:
        """Return a descriptor of what ``path`` names, opened with ``flags``.

        Raises OSError: ELOOP for a link that is not followed, EXDEV for a path that leads outside, and any error of
        open(2).
        """
        name, is_directory = self._descend(_parts(path))
        if self._outside and not self._is_allowed():
            raise refusal(errno.EXDEV)
        if flags & os.O_DIRECTORY and not is_directory:
            raise refusal(errno.ENOTDIR)
        if self._held and flags & os.O_PATH:
            return self._held.pop()
        if is_directory:
            return os.open(b".", flags, dir_fd=self._here)
        # O_NOFOLLOW: if the name has become a link meanwhile, fail with ELOOP.
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=self._held[-2] if len(self._held) > 1 else self._root_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        while self._held:
            os.close(self._held.pop())

    @property
    def _here(self) -> int:
        return self._held[-1] if self._held else self._root_fd

    def _descend(self, pending: list[bytes]) -> tuple[bytes, bool]:
        """Walk ``pending``, last name first. Return the name at the end, and whether it is a directory."""
        name, is_directory, followed = b".", True, 0
        while pending:
            name = pending.pop()
            if not is_directory:
                raise refusal(errno.ENOTDIR)
            if name == b"..":
                self._ascend()
                continue
            self._held.append(os.open(name, PATH_ONLY | os.O_NOFOLLOW, dir_fd=self._here))
            mode = os.fstat(self._here).st_mode
            is_directory = stat.S_ISDIR(mode)
            if stat.S_ISLNK(mode):
                followed += 1
                if not self._follows_links or followed > LINKS_MAX:
                    raise refusal(errno.ELOOP)
                pending.extend(self._follow())
                is_directory = True
        return name, is_directory

    def _follow(self) -> list[bytes]:
        """Go back to where the link is, or to "/" if it is absolute. Return the names of its target, the last first.

        A magic link of /proc is followed by its text, like any other.
        """
        target = os.readlink(b"", dir_fd=self._here)
        os.close(self._held.pop())
        if target.startswith(b"/"):
            self._leave_for(b"/")
        return _parts(target)

    def _ascend(self) -> None:
        if len(self._held) > self._outside:
            os.close(self._held.pop())
        else:
            self._leave_for(b"..")

    def _leave_for(self, path: bytes) -> None:
        """Continue outside the root. What is held then starts with the directory that ``path`` names from here."""
        if not self._allowed:
            raise refusal(errno.EXDEV)
        outside = os.open(path, DIRECTORY, dir_fd=self._here)
        while self._held:
            os.close(self._held.pop())
        self._held.append(outside)
        self._outside = True

    def _is_allowed(self) -> bool:
        """Return whether the root or an allowed directory is held, or is above what is held."""
        allowed = {node_of(self._root_fd), *_existing(self._allowed)}
        return any(node in allowed for node in (*map(node_of, self._held), *_above(self._held[0])))


def node_of(fd: int) -> Node:
    """Return the node that a descriptor has open."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def refusal(number: int) -> OSError:
    """Return an OSError with its usual text."""
    return OSError(number, os.strerror(number))


def _parts(path: bytes) -> list[bytes]:
    return [part for part in reversed(path.split(b"/")) if part not in {b"", b"."}]


def _existing(paths: Sequence[str]) -> Iterator[Node]:
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        yield found.st_dev, found.st_ino


def _above(directory: int) -> Iterator[Node]:
    """Yield the directories above a directory, from its parent to "/", which is its own parent."""
    below, here = node_of(directory), os.open(b"..", DIRECTORY, dir_fd=directory)
    try:
        while (node := node_of(here)) != below:
            yield node
            below, parent = node, os.open(b"..", DIRECTORY, dir_fd=here)
            os.close(here)
            here = parent
    finally:
        os.close(here)
