"""Opening paths beneath a root, without a race between the check and the open.

The kernel does it in one call: openat2(2) with RESOLVE_BENEATH (Linux 5.6). If that call is missing or filtered (old
kernels, some sandboxes), the path is walked one name at a time (:mod:`freight.sources.walk`). Where the operator allows
links to other directories, openat2 refuses such a link, and then the path is walked too.

Invariants:

1. Every descriptor returned is what the path named, beneath the root or an allowed directory, at one moment.
2. Every descriptor is close-on-exec.
3. An error leaves no descriptor open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Literal, Self

from freight.names import to_bytes
from freight.sources.file_systems import is_local
from freight.sources.walk import DIRECTORY, PATH_ONLY, Walk, node_of, refusal

Links = Literal["refused", "beneath", "anywhere"]
"""Symbolic links are an error, or followed only beneath the root (and what is allowed), or followed anywhere."""

_Openat2 = Callable[[int, bytes, int, int], int]

_SYS_OPENAT2 = 437  # on every architecture that Python runs on, except alpha, which gets the walk
# linux/openat2.h
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _CACHED = 0x01, 0x02, 0x04, 0x08, 0x20
_AT_FDCWD = -100  # linux/fcntl.h
_RESOLVE: dict[Links, int] = {
    "refused": _BENEATH | _NO_MAGICLINKS | _NO_SYMLINKS,
    "beneath": _BENEATH | _NO_MAGICLINKS,
    "anywhere": 0,
}
_ATTEMPTS = 16  # openat2 fails with EAGAIN when a rename elsewhere raced with a ".."; a few attempts are enough
_PATH_MAX = 4096


class OtherMount(Exception):
    """A path leads to another mounted file system than that of the root, or outside."""


class Root:
    """A directory: paths opened through it cannot leave it. Holds one descriptor; a context manager.

    ``path`` is the operator's, and may be or contain links. ``allowed``: directories that links may lead to besides,
    looked up each time. ``stepwise``: walk although openat2 exists. The descriptor is closed with the last reference.

    Raises OSError when the directory cannot be opened.
    """

    __slots__ = ("_cached", "_cached_own_mount", "_fd", "_links", "_node", "_openat2", "_path", "allowed", "is_local")

    def __init__(
        self, path: str, links: Links = "refused", allowed: Sequence[str] = (), *, stepwise: bool = False
    ) -> None:
        self._fd = -1
        self._path = path
        self._links: Links = links
        self._cached_own_mount = _RESOLVE[links] | _CACHED | _NO_XDEV
        self.allowed = tuple(allowed) if links == "beneath" else ()
        """The directories that links may lead to besides."""
        self._fd = os.open(path, DIRECTORY)
        self._node = node_of(self._fd)
        self.is_local = is_local(self._fd)
        """Whether it is on a local file system."""
        self._openat2 = None if stepwise else _load_openat2()
        self._cached = False
        if self._openat2 is not None:
            if not self._supports(_RESOLVE[links]):
                self._openat2 = None
            else:
                self._cached = self._supports(_RESOLVE[links] | _CACHED)

    @property
    def device(self) -> int:
        """The ``st_dev`` of the directory."""
        return self._node[0]

    @property
    def leads_elsewhere(self) -> bool:
        """Whether a link may lead to a directory that is not below this one."""
        return bool(self.allowed)

    @property
    def follows_links(self) -> bool:
        """Whether links are followed at all."""
        return self._links != "refused"

    def is_current(self) -> bool:
        """Return whether the path still names this directory. May wait for a disk.

        It does not after a link on the path was turned, or after another directory was moved or mounted there. Raises
        OSError when the path names no directory.
        """
        return self._is_open_at(os.open(self._path, DIRECTORY))

    def is_current_cached(self) -> bool:
        """Return what :meth:`is_current` does, but raise BlockingIOError instead of waiting for a disk."""
        if self._openat2 is None or not self._cached:
            raise not_cached()
        return self._is_open_at(self._openat2(_AT_FDCWD, os.fsencode(self._path), DIRECTORY, _CACHED))

    def _is_open_at(self, fd: int) -> bool:
        try:
            return node_of(fd) == self._node
        finally:
            os.close(fd)

    def open(self, names: Sequence[str], flags: int) -> int:
        """Return a new descriptor for the path of ``names`` (:mod:`freight.names`); without names, for the root.

        ``flags`` are those of open(2) that do not create; O_CLOEXEC is added. May wait for a disk.

        Raises OSError: ELOOP for a link that is not followed, EXDEV for one that leads outside (without ``allowed``
        every absolute one does), BlockingIOError when the tree changed during each of 16 attempts, and any error of
        open(2).
        """
        path, flags = join(names), flags | os.O_CLOEXEC
        if self._openat2 is not None:
            try:
                return self._retry(self._openat2, path, flags)
            except OSError as error:
                if error.errno != errno.EXDEV or not self.allowed:
                    raise
        return self._walk(path, flags)

    def open_cached(self, names: Sequence[str], flags: int) -> int:
        """Open as :meth:`open` does, but raise BlockingIOError instead of waiting for a disk.

        Always raises it if the kernel cannot say whether a disk is needed (before Linux 5.12).
        """
        path = join(names)
        if self._openat2 is None or not self._cached:
            raise not_cached()
        try:
            return self._openat2(self._fd, path, flags | os.O_CLOEXEC, _RESOLVE[self._links] | _CACHED)
        except OSError as error:
            if error.errno == errno.EXDEV and self.allowed:
                raise not_cached() from error
            raise

    def open_on_own_mount(self, names: Sequence[str], flags: int) -> int:
        """Open as :meth:`open` does, but raise OtherMount instead of touching another mounted file system.

        Without openat2(2) it is touched.
        """
        if self._openat2 is None:
            return self.open(names, flags)
        try:
            return self._retry(self._openat2, join(names), flags | os.O_CLOEXEC, _NO_XDEV)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise OtherMount from error
            raise

    def open_cached_on_own_mount(self, names: Sequence[str], flags: int) -> int:
        """Open as :meth:`open_cached` does, but touch no other mounted file system."""
        path = join(names)
        if self._openat2 is None or not self._cached:
            raise not_cached()
        try:
            return self._openat2(self._fd, path, flags | os.O_CLOEXEC, self._cached_own_mount)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise not_cached() from error
            raise

    def stat_cached(self, path: bytes) -> os.stat_result:
        """Return the stat of what a path of :func:`join` names, as :meth:`open_cached_on_own_mount` finds it."""
        if self._openat2 is None or not self._cached:
            raise not_cached()
        fd = self._openat2(self._fd, path, PATH_ONLY, self._cached_own_mount)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _supports(self, resolve: int) -> bool:
        assert self._openat2 is not None
        try:
            os.close(self._openat2(self._fd, b".", PATH_ONLY, resolve))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _retry(self, openat2: _Openat2, path: bytes, flags: int, more: int = 0) -> int:
        for _ in range(_ATTEMPTS - 1):
            try:
                return openat2(self._fd, path, flags, _RESOLVE[self._links] | more)
            except (BlockingIOError, InterruptedError):
                continue
        return openat2(self._fd, path, flags, _RESOLVE[self._links] | more)

    def _walk(self, path: bytes, flags: int) -> int:
        if self._links == "anywhere":
            return os.open(path, flags, dir_fd=self._fd)
        with Walk(self._fd, follows_links=self.follows_links, allowed=self.allowed) as walk:
            return walk.open(path, flags)


def join(names: Sequence[str]) -> bytes:
    """Return the path of names, relative to a root. Raise OSError for names that could lead out of it."""
    # The parser has rejected these names before, but the root does not rely on that.
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise refusal(errno.ENOENT)
    path = to_bytes("/".join(names)) if names else b"."
    if len(path) >= _PATH_MAX:
        raise refusal(errno.ENAMETOOLONG)
    return path


def not_cached() -> BlockingIOError:
    """Return the error of a call that would have to wait for a disk."""
    return BlockingIOError(errno.EAGAIN, "a disk may be needed")


def _load_openat2() -> _Openat2 | None:
    """Return openat2(directory, path, flags, resolve) -> descriptor, which raises OSError; None without ctypes."""
    try:
        import ctypes  # imported here: it costs 512 KiB, which a process without a root need not pay
    except ImportError:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    open_how = ctypes.c_uint64 * 3
    get_errno = ctypes.get_errno
    made: dict[tuple[int, int], ctypes.Array[ctypes.c_uint64]] = {}  # few forms of calls are made very often

    def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
        how = made.get((flags, resolve)) or made.setdefault((flags, resolve), open_how(flags, 0, resolve))
        fd: int = syscall(_SYS_OPENAT2, directory, path, how, 24)
        if fd < 0:
            raise refusal(get_errno())
        return fd

    return openat2
