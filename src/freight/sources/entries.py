"""The entries of a directory in order, in memory that does not grow with their number.

Goal: list a directory of any size from a fixed amount of memory, and as few times as that allows.

Plan: a pass over the directory looks at every entry once and keeps those after the last one yielded, sorted and packed
(:mod:`freight.sources.sorted_runs`). If they do not fit the memory, it keeps the first of them, and another pass
follows. So a directory that fits is read once. Others take O(1) memory and O(n^2) time, with a small factor.

Invariant: a pass continues after an entry and not at an index. So an entry that does not change is yielded exactly
once, whatever else is created or removed meanwhile.

An entry that cannot be examined (its file system is dead, its server unreachable) is an entry without size and time.
"""

from __future__ import annotations

import errno
import itertools
import operator
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from freight.errors import ShortRead
from freight.names import from_system, to_bytes
from freight.protocols import MoreMemory
from freight.sources.beneath import OtherMount, Root
from freight.sources.ordering import Column, Key, Order, collated, group, key_at, sort_value
from freight.sources.records import Facts, Kind, Stamp, key_of, record_of
from freight.sources.scans import Scans
from freight.sources.sorted_runs import SortedRuns

MEMORY_BYTES = 1024 * 1024
_STRIDE = 512  # entries between two yields of the interpreter: 0.5 to 3 ms
_LEAST_STRIDE = 16
_STRIDE_DIVISOR, _STRIDE_COST = 16, 500  # a stride takes at most 1/16 of the memory, an entry of it 500 bytes

_TYPE_MASK = 0o170000  # of the bits of a mode that tell the type, inode(7)

# A link is left out if a request for it would be 404: it dangles, leads outside or to itself.
_NO_TARGET = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG})

_BY_NAME = Order()


@dataclass(frozen=True, slots=True)
class Start:
    """A page starts after the entry at ``key``, or, ``backwards``, ends before it.

    None is the start of the directory, or its end. The entry at the key may have been removed.
    """

    key: Key | None
    backwards: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory, and how to list it.

    ``names`` is its path from the root that it is opened beneath, and ``point`` that root's place in what is served,
    whose own name is ``served``. ``matching``: only names that contain this text, in any case. ``start``: list one
    page, from there; None: no page in particular. ``mounted``: entries that are served from elsewhere, by name.
    """

    names: tuple[str, ...]
    order: Order = _BY_NAME
    served: str = ""
    matching: str = ""
    start: Start | None = None
    point: tuple[str, ...] = ()
    mounted: tuple[tuple[str, Facts], ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """The names of its URL path."""
        return self.point + self.names

    @classmethod
    def from_query(
        cls, names: tuple[str, ...], query: Iterable[tuple[str, str]], served: str, point: tuple[str, ...] = ()
    ) -> Directory:
        """Return the listing that a query asks for. A missing or invalid value means the default.

        ``sort=name|size|date`` and ``order=asc|desc``; ``filter=TEXT``; ``after=KEY`` or ``before=KEY`` for one page,
        with a KEY of :func:`freight.sources.ordering.cursor`, or empty for the first page or the last.
        """
        pairs = dict(query)
        columns: dict[str, Column] = {"size": "size", "date": "date"}
        order = Order(columns.get(pairs.get("sort", ""), "name"), pairs.get("order") == "desc")
        start = None
        for name in ("after", "before"):
            if name in pairs:
                start = Start(key_at(pairs[name], order), name == "before")
        return cls(names, order, served, pairs.get("filter", ""), start, point)


class _MountedEntry:
    """An entry that is served from elsewhere. Its ``name`` is as os.scandir gives names."""

    __slots__ = ("facts", "name")

    def __init__(self, name: str, facts: Facts) -> None:
        self.name = os.fsdecode(to_bytes(name))
        self.facts = facts

    def is_file(self, *, follow_symlinks: bool) -> bool:
        """Return whether it is a file."""
        return self.facts[0] == "file"

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Return whether it is a directory."""
        return self.facts[0] == "directory"


_Entry = os.DirEntry[str] | _MountedEntry


@dataclass(slots=True)
class Pass:
    """What a pass over the directory has found, in order.

    - ``preceding``: how many entries come before these.
    - ``directories``, ``files``: how many there are in all. Entries of unknown kind count as files.
    - ``total_size``: of all files of the pass, in bytes.
    """

    runs: SortedRuns
    preceding: int = 0
    directories: int = 0
    files: int = 0
    total_size: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the pass has kept every entry."""
        return self.runs.bound is None and not self.preceding

    @property
    def entries(self) -> int:
        """The number of entries in all."""
        return self.directories + self.files


@dataclass(frozen=True, slots=True)
class _Stride:
    """The records of some entries for a pass, and what these entries count in it; the fields are those of Pass."""

    records: list[str]
    preceding: int = 0
    directories: int = 0
    files: int = 0
    total_size: int = 0

    def with_counts_of(self, other: _Stride) -> _Stride:
        """Return the sums of both, without records."""
        return _Stride(
            [],
            self.preceding + other.preceding,
            self.directories + other.directories,
            self.files + other.files,
            self.total_size + other.total_size,
        )


@dataclass(frozen=True, slots=True)
class Entries:
    """The visible entries of the open directory ``fd``, in ``directory.order``.

    An entry is visible if a client can request it: a file, a directory, or a link to one if ``root`` follows links.
    Names with a leading dot are visible only with ``show_hidden``. ``directory.matching`` selects from these.
    The records have the times that ``stamp`` returns. ``yield_interpreter`` is called every 512 entries and may raise.
    A pass takes ``memory_bytes``, and what ``more_memory`` grants. ``avoided``: the entries that are not examined,
    since a remote file system is mounted there, which may never answer; links to other file systems are not examined
    then either. None: nothing remote is mounted. ``scans``: the passes over ``fd``.
    The ``mounted`` entries of the directory hide those of the same name. Without a ``root`` there are no others, and
    ``fd`` is not read.

    Every method blocks on the disk. Raises :class:`~freight.errors.ShortRead` if the directory is removed meanwhile,
    and OSError if it cannot be read further.
    """

    fd: int
    directory: Directory
    root: Root | None
    show_hidden: bool
    stamp: Stamp
    yield_interpreter: Callable[[], None]
    memory_bytes: int
    more_memory: MoreMemory
    avoided: frozenset[str] | None
    scans: Scans

    def first_pass(self, max_entries: int | None = None) -> Pass:
        """Return a pass for all entries, or for the ``max_entries`` from ``directory.start``.

        A page that would end before the first ``max_entries`` entries is the first page.
        """
        return self._pass(None if max_entries is None else self._page_edge(max_entries), max_entries)

    def records(self, first: Pass, max_entries: int | None = None) -> Iterator[list[str]]:
        """Yield all records, or ``max_entries``, a few at a time: those of :meth:`first_pass`, and of further passes.

        :mod:`freight.sources.records` reads them.
        """
        part, left = first, max_entries
        while True:
            last = None
            for records in part.runs.merged():
                last = records[-1]
                if left is None:
                    yield records
                else:
                    yield records[:left]
                    left -= len(records)
                    if left <= 0:
                        return
            if last is None or part.runs.bound is None:
                return
            part = self._pass(key_of(last), left)

    def has_more_than(self, count: int) -> bool:
        """Return whether there are more names than ``count`` to look at, without a look at any entry."""
        seen = 0
        for entries in self._strides():
            seen += len(entries)
            if seen > count:
                return True
        return False

    def examined(self) -> Iterator[list[tuple[str, Facts]]]:
        """Yield the name of each visible entry and what a stat tells about it, some at a time, in no order."""
        for entries in self._strides():
            found = [(name, self._examine(name, each)) for each in entries for name in [from_system(each.name)]]
            yield [(name, facts) for name, facts in found if facts is not None]

    def _page_edge(self, max_entries: int) -> Key | None:
        """Return the key after which the page starts; None: the start of the directory."""
        start = self.directory.start
        if start is None or not start.backwards:
            return None if start is None else start.key
        edge, left = start.key, max_entries + 1
        while left:
            part = self._pass(edge, left, backwards=True)
            records = list(itertools.islice(itertools.chain.from_iterable(part.runs.merged()), left))
            if len(records) < left and part.runs.bound is None:
                return None
            edge, left = key_of(records[-1]), left - len(records)
        return edge

    def _pass(self, after: Key | None, max_entries: int | None, *, backwards: bool = False) -> Pass:
        """Return the entries after ``after`` in the order or, ``backwards``, in its reverse; at least ``max_entries``.

        A pass of limited memory returns fewer, but at least one if there is any.
        """
        order = self.directory.order
        descending = order.descending is not backwards
        precedes = operator.gt if descending else operator.lt
        runs = SortedRuns(
            self.memory_bytes, self.more_memory, self.yield_interpreter, max_entries, descending=descending
        )
        total = _Stride([])
        for entries in self._strides():
            if after is None and runs.bound is None and not isinstance(entries[0], _MountedEntry):
                stride = self._stride_of_all(entries)
            else:
                stride = self._stride_between(entries, after, runs.bound, precedes)
            runs.add(stride.records)
            total = total.with_counts_of(stride)
        # A removed directory reads as an empty one. Only its link count differs.
        if os.fstat(self.fd).st_nlink == 0:
            raise ShortRead("the directory was removed while it was listed")
        return Pass(runs, total.preceding, total.directories, total.files, total.total_size)

    def _stride_between(
        self, entries: list[_Entry], after: Key | None, bound: Key | None, precedes: Callable[[Key, Key], bool]
    ) -> _Stride:
        """Return the entries that come after ``after`` and not after ``bound``, and count the others."""
        records = []
        preceding = directories = files = total_size = 0
        for key, entry, kind, facts in self._keyed(entries):
            if after is not None and not precedes(after, key):
                preceding += 1
            elif bound is None or not precedes(bound, key):
                if facts is None and (facts := self._examine(from_system(entry.name), entry)) is None:
                    continue
                records.append(record_of(key, facts, self.stamp))
                total_size += facts[1]
            if kind == "directory":
                directories += 1
            else:
                files += 1
        return _Stride(records, preceding, directories, files, total_size)

    def _stride_of_all(self, entries: list[_Entry]) -> _Stride:
        """Return all entries, of which none is mounted.

        The stat of a regular file becomes a record at once, without a call or another object for each entry.
        """
        order, fd, avoided = self.directory.order, self.fd, self.avoided or frozenset()
        stat_at, stamp = os.stat, self.stamp
        by_name, by_size = order.by == "name", order.by == "size"
        directory_group, file_group = group(True, order), group(False, order)
        names = [from_system(entry.name) for entry in entries]
        records: list[str] = []
        directories = total_size = 0
        for entry, name, sort_text in zip(entries, names, collated(names), strict=True):
            try:
                found = None if name in avoided else stat_at(entry.name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:  # removed meanwhile
                continue
            except OSError:
                found = None
            if found is not None and found.st_mode & _TYPE_MASK == stat.S_IFREG:
                size, mtime_ns = found.st_size, found.st_mtime_ns
                total_size += size
                value = "" if by_name else sort_value(size if by_size else mtime_ns, order)
                records.append(f"{file_group}{value}{sort_text}\0{name}\0{size}\0{stamp(mtime_ns)}")
            elif facts := _unexamined(entry) if found is None else self._facts_of(name, entry, found):
                kind, size, changed_ns, _ = facts
                directories += kind == "directory"
                total_size += size
                group_sign = directory_group if kind == "directory" else file_group
                value = "" if by_name else sort_value(size if by_size else changed_ns or 0, order)
                records.append(record_of(f"{group_sign}{value}{sort_text}\0{name}", facts, stamp))
        return _Stride(records, 0, directories, len(records) - directories, total_size)

    def _keyed(self, entries: list[_Entry]) -> list[tuple[Key, _Entry, Kind, Facts | None]]:
        """Return key and kind of each visible entry, and what a stat has told, if one was needed."""
        order, examine = self.directory.order, self._examine
        names = [from_system(entry.name) for entry in entries]
        directory_group, other_group = group(True, order), group(False, order)
        keyed: list[tuple[Key, _Entry, Kind, Facts | None]] = []
        for entry, name, sort_text in zip(entries, names, collated(names), strict=True):
            # readdir returns the kind with the name. So by name, only the entries of a pass need a stat.
            if order.by == "name" and (kind := _kind_of(entry)) != "other":
                group_sign = directory_group if kind == "directory" else other_group
                keyed.append((f"{group_sign}{sort_text}\0{name}", entry, kind, None))
            elif facts := examine(name, entry):
                kind, size, mtime_ns, _ = facts
                group_sign = directory_group if kind == "directory" else other_group
                value = sort_value(size if order.by == "size" else mtime_ns or 0, order)
                keyed.append((f"{group_sign}{value}{sort_text}\0{name}", entry, kind, facts))
        return keyed

    def _strides(self) -> Iterator[list[_Entry]]:
        """Yield the entries whose names are visible, some at a time, with a yield of the interpreter between them."""
        mounted: list[_Entry] = [_MountedEntry(name, facts) for name, facts in self.directory.mounted]
        if mounted := self._visible(mounted):
            yield mounted
        if self.root is not None:
            yield from self._scanned()

    def _scanned(self) -> Iterator[list[_Entry]]:
        mounted = frozenset(name for name, _ in self.directory.mounted)
        stride: list[_Entry]
        size = max(_LEAST_STRIDE, min(_STRIDE, self.memory_bytes // _STRIDE_DIVISOR // _STRIDE_COST))
        examined = 0
        with self.scans.scan() as entries:
            while stride := list(itertools.islice(entries, size)):
                if mounted:
                    stride = [entry for entry in stride if from_system(entry.name) not in mounted]
                if stride := self._visible(stride):
                    yield stride
                examined += size
                if examined >= _STRIDE:
                    examined = 0
                    self.yield_interpreter()

    def _visible(self, entries: list[_Entry]) -> list[_Entry]:
        matching = self.directory.matching.casefold()
        if not self.show_hidden:
            entries = [entry for entry in entries if entry.name[0] != "."]
        if matching:
            entries = [entry for entry in entries if matching in from_system(entry.name).casefold()]
        return entries

    def _examine(self, name: str, entry: _Entry) -> Facts | None:
        """Return what a stat tells about an entry, or only its kind if that fails; None if it is not visible."""
        if isinstance(entry, _MountedEntry):
            return entry.facts
        if self.avoided is not None and name in self.avoided:
            return _unexamined(entry)
        try:
            found = os.stat(entry.name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:  # removed meanwhile
            return None
        except OSError:
            return _unexamined(entry)
        return self._facts_of(name, entry, found)

    def _facts_of(self, name: str, entry: _Entry, found: os.stat_result) -> Facts | None:
        """Return what the stat of an entry tells, or of a link's target; None if it is not visible."""
        if stat.S_ISLNK(found.st_mode):
            if self.root is None or not self.root.follows_links:
                return None
            open_path = self.root.open if self.avoided is None else self.root.open_on_own_mount
            try:
                fd = open_path((*self.directory.names, name), os.O_PATH)
            except OtherMount:
                return _unexamined(entry)
            except OSError as error:
                return None if error.errno in _NO_TARGET else _unexamined(entry)
            try:
                found = os.fstat(fd)
            except OSError:
                return _unexamined(entry)
            finally:
                os.close(fd)
        if stat.S_ISREG(found.st_mode):
            return "file", found.st_size, found.st_mtime_ns, found.st_ctime_ns
        if stat.S_ISDIR(found.st_mode):
            return "directory", 0, found.st_mtime_ns, found.st_ctime_ns
        return None


def _unexamined(entry: _Entry) -> Facts:
    return _kind_of(entry), 0, None, None


def _kind_of(entry: _Entry) -> Kind:
    """Return the kind that readdir tells; "other" for links, for what is neither file nor directory, and if unknown."""
    try:
        if entry.is_file(follow_symlinks=False):
            return "file"
        return "directory" if entry.is_dir(follow_symlinks=False) else "other"
    except OSError:  # readdir does not tell, and neither does a stat
        return "other"
