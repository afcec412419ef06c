"""The entries of a directory in order, in memory that does not grow with their number.

A directory is never held whole. Each pass over it keeps the next few thousand entries behind the last one given, in
order, and the passes go on until none is left: O(1) memory at the price of O(n^2 / at_once) time. What fits one
window is read once. Because a pass goes on behind an entry and not at a number, an entry that does not change is given
exactly once, whatever else comes and goes meanwhile.

Directories come before files, as in nginx and Caddy; within each by name (code points), by size or by date, in either
order; equals by name.
"""

from __future__ import annotations

import errno
import operator
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from freight.errors import ShortRead
from freight.sources.beneath import Root

Column = Literal["name", "size", "date"]
_Key = tuple[int, int, str]  # group, value, name: unique by the name, so the order is total

WINDOW = 4096  # about 1 MiB; sorting two of them holds the interpreter for some milliseconds, the loop's limit is 10
_STRIDE = 256  # entries between two pauses: 0.2 to 1 ms

# What a look at one entry may say without anything being wrong: it went, or it is not to be had from here.
_GONE = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ESTALE}
)


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by, and which way."""

    by: Column = "name"
    descending: bool = False

    @classmethod
    def asked(cls, query: Iterable[tuple[str, str]]) -> Order:
        """What ``sort=name|size|date`` and ``order=asc|desc`` ask for; by name, ascending, for all they do not say."""
        pairs = dict(query)
        columns: dict[str, Column] = {"size": "size", "date": "date"}
        return cls(columns.get(pairs.get("sort", ""), "name"), pairs.get("order") == "desc")


@dataclass(frozen=True, slots=True)
class Directory:
    """The way back to a directory: its names from the root, and the order asked for."""

    names: tuple[str, ...]
    order: Order


@dataclass(frozen=True, slots=True)
class Item:
    """One entry. ``size`` in bytes, None for a directory; ``name`` decoded by surrogateescape."""

    name: str
    size: int | None
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Entries:
    """The visible entries of the open directory ``fd``, as :class:`Item`, in ``directory.order``.

    Visible is what can be had at its own target: files and directories, and links to them where ``root`` follows
    links; names with a leading dot only when ``hidden``. ``pause`` is called every few entries and may raise.

    Iterating blocks on the disk. Raises :class:`~freight.errors.ShortRead` when the directory is removed meanwhile,
    and OSError when it cannot be read on.
    """

    fd: int
    directory: Directory
    root: Root
    hidden: bool
    pause: Callable[[], None]
    at_once: int = WINDOW

    def __iter__(self) -> Iterator[Item]:
        after: _Key | None = None
        more = True
        while more:
            keys, more = self._window(after)
            for count, (_, _, name) in enumerate(keys):
                if count % _STRIDE == _STRIDE - 1:
                    self.pause()
                found = self._look(name)
                if found is not None:
                    size = None if stat.S_ISDIR(found.st_mode) else found.st_size
                    yield Item(name, size, found.st_mtime_ns)
            after = keys[-1] if keys else None

    def _window(self, after: _Key | None) -> tuple[list[_Key], bool]:
        """The first keys behind ``after`` in order, and whether there are more behind them."""
        order = self.directory.order
        descending = order.descending
        precedes = operator.gt if descending else operator.lt
        kept: list[_Key] = []
        bound: _Key | None = None
        with os.scandir(self.fd) as entries:
            for count, entry in enumerate(entries):
                if count % _STRIDE == _STRIDE - 1:
                    self.pause()
                key = self._key(entry, order)
                if key is None or (after and not precedes(after, key)) or (bound and not precedes(key, bound)):
                    continue
                kept.append(key)
                if len(kept) == 2 * self.at_once:
                    kept.sort(reverse=descending)
                    del kept[self.at_once :]
                    bound = kept[-1]
        # A removed directory reads as an empty one: only its link count tells the two apart.
        if os.fstat(self.fd).st_nlink == 0:
            raise ShortRead("the directory was removed while it was listed")
        kept.sort(reverse=descending)
        more = bound is not None or len(kept) > self.at_once
        return kept[: self.at_once], more

    def _key(self, entry: os.DirEntry[str], order: Order) -> _Key | None:
        """Where an entry stands in the order; None when it is not visible."""
        name, by, descending = entry.name, order.by, order.descending
        if name[0] == "." and not self.hidden:
            return None
        if by == "name":
            # The type comes with the name: no stat until the entry is due.
            if entry.is_file(follow_symlinks=False):
                return (not descending, 0, name)
            if entry.is_dir(follow_symlinks=False):
                return (descending, 0, name)
        found = self._look(name)
        if found is None:
            return None
        is_directory = stat.S_ISDIR(found.st_mode)
        value = 0 if by == "name" else found.st_mtime_ns if by == "date" else 0 if is_directory else found.st_size
        return (is_directory is descending, value, name)

    def _look(self, name: str) -> os.stat_result | None:
        """What is to be had under a name: a regular file's or a directory's stat, or None."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                if not self.root.follows_links:
                    return None
                fd = self.root.open((*self.directory.names, name), os.O_PATH)
                try:
                    found = os.fstat(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else None
