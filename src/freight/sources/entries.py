"""The entries of a directory in order, in memory that does not grow with their number.

A directory is never held whole. Each pass over it keeps the next few thousand entries behind the last one given, in
order, and the passes go on until none is left: O(1) memory at the price of O(n^2 / at_once) time. What fits one
window is read once, as is a page for a browser. Because a pass goes on behind an entry and not at a number,
an entry that does not change is given exactly once, whatever else comes and goes meanwhile.

Directories come before files, as in nginx and Caddy; within each by name, by size or by date, in either order; equals
by name. Names compare as people count: without case, and digits as numbers, so that file2 stands before file10.
"""

from __future__ import annotations

import errno
import operator
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from freight.errors import ShortRead
from freight.sources.beneath import Root

Column = Literal["name", "size", "date"]
Key = str
"""Where an entry stands: its group ("0" or "1"), its size or date, its collated name, a NUL, and its name.

Sizes and dates are hexadecimal, of one width. Keys compare as strings, which is quick, and are unique by the name, so
that the order is total.
"""

WINDOW = 4096  # about 1 MiB; sorting them holds the interpreter for some milliseconds, the loop's limit is 10
_STRIDE = 256  # entries between two pauses: 0.2 to 1 ms

# What a look at one entry may say without anything being wrong: it went, or it is not to be had from here.
_GONE = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ESTALE}
)
_DIGITS = re.compile("[0-9]+")
_VALUE = re.compile(r"(-?[0-9]{1,20})/", re.ASCII)
_VALUE_MIN, _VALUE_MAX = -(2**63), 2**63 - 1
_VALUE_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by, and which way."""

    by: Column = "name"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Where a page begins: behind the entry at ``key``, or, ``backwards``, it ends in front of it.

    None is the edge of the directory: its beginning, or its end. There need not be an entry at the key any more.
    """

    key: Key | None
    backwards: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """The way back to a directory, and what was asked of its listing.

    ``names`` lead to it from the root, which is called ``served``. ``matching``: only names that hold this text, in
    any case. ``start``: one page, which begins there; None asks for no page in particular.
    """

    names: tuple[str, ...]
    order: Order = Order()
    served: str = ""
    matching: str = ""
    start: Start | None = None

    @classmethod
    def asked(cls, names: tuple[str, ...], query: Iterable[tuple[str, str]], served: str) -> Directory:
        """What a query asks for. What it does not say, or says wrong, is the default.

        ``sort=name|size|date`` and ``order=asc|desc``; ``filter=TEXT``; ``after=KEY`` or ``before=KEY`` for one page,
        KEY by :func:`cursor`, or empty for the first and the last.
        """
        pairs = dict(query)
        columns: dict[str, Column] = {"size": "size", "date": "date"}
        order = Order(columns.get(pairs.get("sort", ""), "name"), pairs.get("order") == "desc")
        start = None
        for name in ("after", "before"):
            if name in pairs:
                start = Start(_key_at(pairs[name], order), name == "before")
        return cls(names, order, served, pairs.get("filter", ""), start)


@dataclass(frozen=True, slots=True)
class Item:
    """One entry. ``size`` in bytes, None for a directory; ``name`` decoded by surrogateescape."""

    name: str
    size: int | None
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbours in order: their keys, how many entries stand ``ahead`` of them, and how many there are in all."""

    keys: list[Key]
    ahead: int
    directories: int
    files: int

    @property
    def behind(self) -> int:
        """How many entries follow."""
        return self.directories + self.files - self.ahead - len(self.keys)


@dataclass(frozen=True, slots=True)
class Entries:
    """The visible entries of the open directory ``fd``, in ``directory.order``.

    Visible is what can be had at its own target: files and directories, and links to them where ``root`` follows
    links; names with a leading dot only when ``hidden``; and of these the ones that ``directory.matching`` asks for.
    ``pause`` is called every few entries and may raise.

    Every call here blocks on the disk. Raises :class:`~freight.errors.ShortRead` when the directory is removed
    meanwhile, and OSError when it cannot be read on.
    """

    fd: int
    directory: Directory
    root: Root
    hidden: bool
    pause: Callable[[], None]
    at_once: int = WINDOW

    def windows(self, most: int | None = None) -> Iterator[Window]:
        """All entries, a window at a time, or one page: the ``most`` that stand where ``directory.start`` has them.

        At least one window, which is empty when there is nothing; its keys are gone once the next one is asked for. A
        page that ends in front of fewer than ``most`` entries is the first page.
        """
        after = None if most is None else self._behind(most)
        while True:
            window = self._pass(after, self.at_once if most is None else min(most, self.at_once), forwards=True)
            yield window
            most = None if most is None else most - len(window.keys)
            if not window.behind or not window.keys or most == 0:
                return
            after = window.keys[-1]
            window.keys.clear()  # two windows at once would be twice the memory

    def _behind(self, most: int) -> Key | None:
        """The key that the page of ``most`` entries stands behind."""
        start = self.directory.start
        if start is None or not start.backwards:
            return None if start is None else start.key
        edge, left = start.key, most + 1
        while left:
            window = self._pass(edge, min(left, self.at_once), forwards=False)
            if len(window.keys) < left and not window.behind:
                return None
            edge, left = window.keys[-1], left - len(window.keys)
        return edge

    def items(self, window: Window) -> Iterator[Item]:
        """The entries of a window, as :class:`Item`; one that has gone meanwhile is left out."""
        for count, key in enumerate(window.keys):
            if count % _STRIDE == _STRIDE - 1:
                self.pause()
            name = _name_of(key)
            found = self._look(name)
            if found is not None:
                size = None if stat.S_ISDIR(found.st_mode) else found.st_size
                yield Item(name, size, found.st_mtime_ns)

    def _pass(self, after: Key | None, most: int, *, forwards: bool) -> Window:
        """The first ``most`` entries behind ``after``: in the order, or from its end on."""
        descending = self.directory.order.descending is forwards
        precedes = operator.gt if descending else operator.lt
        kept: list[Key] = []
        bound: Key | None = None
        full = most + max(1, most // 4)  # so few more, as each is a long string
        ahead = directories = files = 0
        of_directories = _group(True, self.directory.order)
        with os.scandir(self.fd) as entries:
            for count, entry in enumerate(entries):
                if count % _STRIDE == _STRIDE - 1:
                    self.pause()
                key = self._key(entry)
                if key is None:
                    continue
                if key[0] == of_directories:
                    directories += 1
                else:
                    files += 1
                if after is not None and not precedes(after, key):
                    ahead += 1
                elif bound is None or precedes(key, bound):
                    kept.append(key)
                    if len(kept) == full:
                        kept.sort(reverse=descending)
                        del kept[most:]
                        bound = kept[-1]
        # A removed directory reads as an empty one: only its link count tells the two apart.
        if os.fstat(self.fd).st_nlink == 0:
            raise ShortRead("the directory was removed while it was listed")
        kept.sort(reverse=descending)
        return Window(kept[:most], ahead, directories, files)

    def _key(self, entry: os.DirEntry[str]) -> Key | None:
        """Where an entry stands in the order; None when it is not visible."""
        name, order = entry.name, self.directory.order
        if name[0] == "." and not self.hidden:
            return None
        if self.directory.matching and self.directory.matching.casefold() not in name.casefold():
            return None
        if order.by == "name":
            # The type comes with the name: no stat until the entry is due.
            if entry.is_file(follow_symlinks=False):
                return ("0" if order.descending else "1") + _collated(name)
            if entry.is_dir(follow_symlinks=False):
                return ("1" if order.descending else "0") + _collated(name)
        found = self._look(name)
        if found is None:
            return None
        is_directory = stat.S_ISDIR(found.st_mode)
        value = found.st_mtime_ns if order.by == "date" else found.st_size if order.by == "size" else 0
        return _key(name, is_directory, 0 if is_directory and order.by == "size" else value, order)

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


def cursor(key: Key, order: Order) -> str:
    """A key as a text for a query: ``NAME``, ``NAME/`` for a directory; ``VALUE/`` in front by size (bytes) and by
    date (ns since the epoch).
    """
    in_front = "" if order.by == "name" else f"{int(key[1 : 1 + _VALUE_WIDTH], 16) + _VALUE_MIN}/"
    return f"{in_front}{_name_of(key)}{'/' if key[0] == _group(True, order) else ''}"


def _key_at(text: str, order: Order) -> Key | None:
    """The key of a cursor; None for one that is none, or empty."""
    value = 0
    if order.by != "name":
        found = _VALUE.match(text)
        if found is None:
            return None
        value, text = int(found[1]), text[found.end() :]
    name = text.removesuffix("/")
    return _key(name, name != text, value, order) if name else None


def _key(name: str, is_directory: bool, value: int, order: Order) -> Key:
    counted = "" if order.by == "name" else f"{min(max(value, _VALUE_MIN), _VALUE_MAX) - _VALUE_MIN:0{_VALUE_WIDTH}x}"
    return f"{_group(is_directory, order)}{counted}{_collated(name)}"


def _group(is_directory: bool, order: Order) -> str:
    return "1" if is_directory is order.descending else "0"


def _collated(name: str) -> str:
    """What a name is compared by, and, behind a NUL, itself. NUL sorts first: a name stands before what it begins."""
    return f"{_DIGITS.sub(_counted, name.casefold())}\0{name}"


def _counted(digits: re.Match[str]) -> str:
    """A number that compares by code points as it counts: how many digits it has, and they."""
    number = digits[0].lstrip("0")
    return f"0{chr(len(number) + 1)}{number}"


def _name_of(key: Key) -> str:
    return key.rpartition("\0")[2]
