"""Which file system a path lies on, found without touching that file system.

Goal: a look-up waits in the queue of the file system that it will touch, and never touches one that may not answer on
the event loop.

Plan: the kernel's table of mounts (proc_pid_mountinfo(5)) has the mount points below the root. A path is compared with
them by name; nothing is opened. The table is read again when poll(2) reports that it changed.

Left out: symbolic links, which lead to other places than their names say. The caller must open with RESOLVE_NO_XDEV
where that matters. Without ``/proc`` the table is unknown, and every place counts as one that may be remote.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from freight.names import from_bytes, to_bytes
from freight.sources.file_systems import is_local_name

_TABLE = "/proc/self/mountinfo"
_ESCAPED = re.compile(rb"\\([0-7]{3})")  # space, tab, newline and backslash are octal in the table
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its ``st_dev``, where it is mounted, its type by name, and the ids of mountinfo."""

    device: int
    path: bytes
    type: str
    number: int
    parent: int

    @property
    def is_local(self) -> bool:
        """Whether it waits for no other machine or program."""
        return is_local_name(self.type)


class Mounts:
    """The mounts below the directory that ``fd`` is open on, which is not closed.

    ``allowed``: absolute paths of directories that links may lead to.
    """

    def __init__(self, fd: int, allowed: Sequence[str] = ()) -> None:
        self._fd = fd
        self._allowed = tuple(map(os.fsencode, allowed))
        self._top = b""
        self._home: int | None = None
        self._below: dict[tuple[int, bytes], Mount] = {}  # by the number of the mount above, and the path
        self._table: int | None = None  # opened by each process for itself: a change is reported once for a descriptor
        self._poll = select.poll()
        self.has_remote = True
        """Whether a file system below the directory, or at or below an allowed one, may be remote."""
        table = _open_table()
        if table is not None:
            self._read(table)
            os.close(table)

    @property
    def is_known(self) -> bool:
        """Whether the table could be read."""
        return self._home is not None

    def close(self) -> None:
        """Close the table's descriptor."""
        if self._table is not None:
            os.close(self._table)
            self._table = None

    def at(self, names: Sequence[str]) -> Mount | None:
        """Return the mount below the directory that the path of ``names`` lies on; None: the directory's own.

        Takes a few microseconds, more with more names only if anything is mounted below the directory.
        """
        self._update()
        if not self._below or self._home is None:
            return None
        found, number, path = None, self._home, self._top.rstrip(b"/")
        for name in names:
            path += b"/" + to_bytes(name)
            while (mount := self._below.get((number, path))) is not None:  # several may be mounted at one place
                found, number = mount, mount.number
        return found

    def remote_entries(self, names: Sequence[str]) -> frozenset[str]:
        """Return the names in the directory ``names`` where remote file systems are mounted. Callable in any thread."""
        above = b"/".join((self._top.rstrip(b"/"), *map(to_bytes, names)))
        parts = [mount.path.rpartition(b"/") for mount in self._below.values() if not mount.is_local]
        return frozenset(from_bytes(name) for parent, _, name in parts if parent == above)

    def path_of(self, device: int) -> str | None:
        """Return where a file system is mounted below the directory, or None."""
        paths = [mount.path for mount in self._below.values() if mount.device == device]
        return from_bytes(min(paths, key=len)) if paths else None

    def watch(self) -> None:
        """Open the table for this process. Without a descriptor to spare, :meth:`at` tries again."""
        if self._table is None and (table := _open_table()) is not None:
            self._table = table
            self._poll.register(table, select.POLLPRI)  # with POLLERR it reports that the table has changed
            self._read(table)

    def _update(self) -> None:
        if self._table is None:
            self.watch()
        elif self._has_changed():
            self._read(self._table)

    def _has_changed(self) -> bool:
        try:
            return bool(self._poll.poll(0))
        except OSError:  # no memory, or a limit of no descriptors (poll(2))
            return False

    def _read(self, table: int) -> None:
        try:
            self._top = os.readlink(f"/proc/self/fd/{self._fd}".encode())
            self._home = _mount_number(self._fd)
            os.lseek(table, 0, os.SEEK_SET)
            mounts = list(_parse(_whole(table)))
        except (OSError, ValueError):
            self._home, self._below, self.has_remote = None, {}, True
            return
        below = [mount for mount in mounts if _is_below(mount.path, self._top)]
        self._below = {(mount.parent, mount.path): mount for mount in below}
        linked = [mount for path in self._allowed for mount in _mounts_of(path, mounts)]
        self.has_remote = not all(mount.is_local for mount in (*below, *linked))


def _open_table() -> int | None:
    try:
        return os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _is_below(path: bytes, top: bytes) -> bool:
    return path.startswith(top.rstrip(b"/") + b"/")


def _mounts_of(path: bytes, mounts: Sequence[Mount]) -> Iterable[Mount]:
    """Yield the mount that a directory lies on by its name, and those at or below it."""
    above = [mount for mount in mounts if mount.path == path or _is_below(path, mount.path)]
    yield from sorted(above, key=lambda mount: len(mount.path))[-1:]  # of several at one place the last one counts
    yield from (mount for mount in mounts if _is_below(mount.path, path))


def _whole(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, _PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def _mount_number(fd: int) -> int:
    """Return the number of the mount that a descriptor is on (proc_pid_fdinfo(5)). Raises OSError and ValueError."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        for line in info:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    raise ValueError("no mnt_id")


def _parse(table: bytes) -> Iterable[Mount]:
    """Yield the mounts of a table. Raises ValueError if it is not one."""
    for line in table.splitlines():
        before, _, after = line.partition(b" - ")
        number, parent, device, _, path = before.split(b" ")[:5]
        major, minor = (int(part) for part in device.split(b":"))
        yield Mount(
            device=os.makedev(major, minor),
            path=_ESCAPED.sub(lambda found: bytes((int(found[1], 8),)), path),
            type=after.split(b" ", 1)[0].decode("ascii", "replace"),
            number=int(number),
            parent=int(parent),
        )
