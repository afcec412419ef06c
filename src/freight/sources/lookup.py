"""Look-up: from a request target to a file or a directory below the root, by a stat through an O_PATH descriptor.

Nothing is opened that could block or act, such as a FIFO or a device.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freight.http.target import Target, encode
from freight.model import IDENTITY, NotFound, NotFoundReason, Resource
from freight.sources import page
from freight.sources.entries import Directory
from freight.sources.listing import HTML, JSON, PAGES
from freight.sources.types import is_compressed, media_type
from freight.sources.unsized import is_doubtful, size_holds

Opener = Callable[[Sequence[str], int], int]
"""The names of a path and flags of open(2) -> a descriptor: a method of :class:`~freight.sources.beneath.Root`."""

Identity = tuple[int, int, int, int]
"""Device, inode, size, mtime_ns: descriptors with the same identity read the same bytes."""

BUSY = NotFound(NotFoundReason.BUSY)
UNRESPONSIVE = NotFound(NotFoundReason.UNRESPONSIVE)
ABSENT = NotFound(NotFoundReason.ABSENT)

# Some tools give all files one time. The Nix store and container images: in 1970. Zip tools: 1980-01-01. Gradle:
# 1980-02-01. Yarn: 1984-06-22. npm: 1985-10-26.
_FIRST_REAL_MTIME_NS = 504_921_600 * 10**9  # 1986-01-01
# rules_pkg of Bazel: 2000-01-01. Cargo: 2006-07-24 01:21:28. Bazel's zip files: 2010-01-01. Hatch: 2020-02-02.
_STAMPS_NS = frozenset(seconds * 10**9 for seconds in (946_684_800, 1_153_704_088, 1_262_304_000, 1_580_601_600))

# O_NONBLOCK: if a FIFO or a device has replaced the file since it was located, the open must not wait for it.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""The flags to open files and directories for reading."""

PATH_ONLY = os.O_PATH | os.O_CLOEXEC
"""The flags to look at what a path names."""

_BY_ERROR = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), NotFound(NotFoundReason.UNREADABLE)),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), BUSY),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG), ABSENT),
    **dict.fromkeys((errno.ENXIO, errno.ENODEV, errno.EINVAL, errno.EILSEQ, errno.ESTALE), ABSENT),
    # A file system that has lost its server: FUSE gives the first two, and NFS, CIFS and Ceph the others.
    **dict.fromkeys((errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN), UNRESPONSIVE),
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET), UNRESPONSIVE),
    **dict.fromkeys((errno.ECONNREFUSED, errno.ECONNRESET, errno.ESHUTDOWN, errno.EREMOTEIO), UNRESPONSIVE),
}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What of the root is served, and how: the settings of these names.

    ``stepwise``: walk paths one name at a time although openat2(2) exists. ``precompressed``: files may have compressed
    forms beside them.
    """

    follow_symlinks: bool = True
    allow_links_to: tuple[str, ...] = ()
    show_hidden: bool = False
    chunked: bool = False
    stepwise: bool = False
    precompressed: bool = False


@dataclass(frozen=True, slots=True)
class FileKey:
    """The way back to a regular file. ``size`` is here too, because a Resource without a length does not have it.

    ``unsized``: the size may be wrong (:mod:`freight.sources.unsized`). ``original``: the way to the file of which this
    is the compressed form.
    """

    names: tuple[str, ...]
    size: int
    identity: Identity
    unsized: bool = False
    original: FileKey | None = None

    @property
    def device(self) -> int:
        """The ``st_dev`` of its file system."""
        return self.identity[0]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Finds what targets name.

    ``served`` is the name of all that is served, and ``point`` the place of this root in it. ``only_file`` is the name
    of the one file served, or "".
    """

    options: SourceOptions
    served: str
    only_file: str
    point: tuple[str, ...] = ()

    @property
    def absent(self) -> NotFound:
        """The outcome for a target that names nothing."""
        return NotFound(NotFoundReason.ABSENT, only_file=self.only_file) if self.only_file else ABSENT

    def is_visible(self, target: Target, revealed: bool) -> bool:
        """Return whether the settings allow this target. ``revealed``: a rule allows its names with a dot."""
        if target.unresolvable:
            return False
        if self.only_file:
            return (target.segments == (self.only_file,) and not target.directory) or not target.segments
        return self.options.show_hidden or revealed or not any(name.startswith(".") for name in target.segments)

    def find(self, target: Target, raw: str, open_path: Opener) -> Resource | NotFound:
        """Return what a visible target names. ``raw`` is its text.

        Raises BlockingIOError as ``open_path`` does, and OSError for a failing disk.
        """
        names = (self.only_file,) if self.only_file else target.segments
        try:
            fd = open_path(names, PATH_ONLY)
            try:
                found = os.fstat(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return not_found(error)
        if stat.S_ISREG(found.st_mode) and (self.only_file or not target.directory):
            return self.file(names, found, unsized=is_doubtful(found))
        if stat.S_ISDIR(found.st_mode) and not self.only_file:
            if not target.directory:
                return NotFound(NotFoundReason.MOVED, encode(self.point + names, True) + query_of(raw))
            return listing(Directory.from_query(names, target.query, self.served, self.point))
        return self.absent

    def measure(self, doubtful: Resource, open_path: Opener) -> Resource | NotFound:
        """Return a file whose key is ``unsized`` as a read finds it: with its stated size, or without any. May block.

        Raises as :meth:`find` does.
        """
        assert isinstance(doubtful.key, FileKey)
        try:
            fd = open_path(doubtful.key.names, READ)
            try:
                found = os.fstat(fd)
                unsized = is_doubtful(found) and not size_holds(fd, found)
            finally:
                os.close(fd)
        except OSError as error:
            return not_found(error)
        return self.file(doubtful.key.names, found, unsized=unsized)

    def file(self, names: tuple[str, ...], found: os.stat_result, *, unsized: bool) -> Resource:
        """Return the resource of a regular file by its stat."""
        name, types = names[-1], (media_type(names[-1]),)
        key = FileKey(names, found.st_size, identity_of(found), unsized)
        if unsized:
            return Resource(name, None, None, types, key, produced=True, only_file=self.only_file)
        size, mtime_ns = None if self.options.chunked else found.st_size, found.st_mtime_ns
        says_nothing = mtime_ns < _FIRST_REAL_MTIME_NS or mtime_ns in _STAMPS_NS
        ctime_ns = found.st_ctime_ns if says_nothing else None
        may_be_encoded = self.options.precompressed and size is not None and not is_compressed(name)
        coding = IDENTITY if may_be_encoded else ""
        return Resource(name, size, mtime_ns, types, key, only_file=self.only_file, ctime_ns=ctime_ns, coding=coding)


def listing(directory: Directory) -> Resource:
    """Return a listing as what was found."""
    return Resource("", None, None, (HTML, JSON), directory, produced=True, browser_type=PAGES, policy=page.POLICY)


def identity_of(found: os.stat_result) -> Identity:
    """Return the identity of a file by its stat."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def not_found(error: OSError) -> NotFound:
    """Return what an error of open(2) means to a client. Raise BlockingIOError, and an unexpected error, again."""
    if isinstance(error, BlockingIOError) or error.errno not in _BY_ERROR:
        try:
            raise error
        finally:
            del error  # its traceback has this frame: a cycle, which would keep all these frames and what they use
    return _BY_ERROR[error.errno]


def query_of(raw: str) -> str:
    """Return a target's query with its question mark."""
    return "".join(raw.partition("?")[1:])
