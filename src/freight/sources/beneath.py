"""Opening paths beneath a root, without a race between the check and the open.

The kernel does it in one call where it can: openat2(2) with RESOLVE_BENEATH (Linux 5.6). Where that call is missing or
filtered (old kernels, some sandboxes) the path is walked one name at a time from descriptor to descriptor, never
following a link in the kernel, so that there is no moment at which a swapped directory could lead outside.

Invariants: every descriptor returned is what the path named beneath the root at one moment; every descriptor is
close-on-exec; an error leaves none behind.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Literal, Self

Links = Literal["refused", "beneath", "anywhere"]
"""Symbolic links are an error, or followed while they stay beneath the root, or followed wherever they lead."""

_Openat2 = Callable[[int, bytes, int, int], int]

_SYS_OPENAT2 = 437  # the same number on every architecture Python runs on but alpha, which gets the walk
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _CACHED = 0x02, 0x04, 0x08, 0x20  # linux/openat2.h
_RESOLVE: dict[Links, int] = {
    "refused": _BENEATH | _NO_MAGICLINKS | _NO_SYMLINKS,
    "beneath": _BENEATH | _NO_MAGICLINKS,
    "anywhere": 0,
}
_ATTEMPTS = 16  # openat2 gives EAGAIN when a rename elsewhere raced with a ".."; busy trees calm down within a few
_LINKS_MAX = 40  # what the kernel itself follows before ELOOP, path_resolution(7)
_PATH_MAX = 4096
_LOOK = os.O_PATH | os.O_CLOEXEC


class Root:
    """A directory that nothing opened through it can leave. Holds one descriptor; a context manager.

    ``path`` is the operator's and may itself be or contain links. With ``stepwise`` openat2 is not used even where it
    exists. Raises OSError when the directory cannot be opened.
    """

    __slots__ = ("_cached", "_fd", "_links", "_openat2")

    def __init__(self, path: str, links: Links = "refused", *, stepwise: bool = False) -> None:
        self._links: Links = links
        self._fd = os.open(path, _LOOK | os.O_DIRECTORY)
        self._openat2 = None if stepwise else _load_openat2()
        self._cached = False
        if self._openat2 is not None:
            if not self._answers(_RESOLVE[links]):
                self._openat2 = None
            else:
                self._cached = self._answers(_RESOLVE[links] | _CACHED)

    @property
    def follows_links(self) -> bool:
        """Whether a link can lead anywhere at all."""
        return self._links != "refused"

    def open(self, names: Sequence[str], flags: int, *, cached: bool = False) -> int:
        """A new descriptor for the path made of ``names`` (decoded by surrogateescape), the root itself for none.

        ``flags`` are those of open(2), less the creating ones; O_CLOEXEC is added. With ``cached`` it raises
        BlockingIOError instead of waiting for a disk, and always where the kernel cannot promise that (before 5.12).

        Raises OSError: ELOOP for a link that is not followed, EXDEV for one that leads outside (every absolute one
        does), BlockingIOError when the tree changed under each of several attempts, and whatever open(2) raises.
        """
        path = _join(names)
        if self._openat2 is None:
            if cached:
                raise BlockingIOError(errno.EAGAIN, "this kernel cannot say whether a disk is needed")
            return self._walk(path, flags | os.O_CLOEXEC)
        if not cached:
            return self._retry(self._openat2, path, flags | os.O_CLOEXEC)
        if not self._cached:
            raise BlockingIOError(errno.EAGAIN, "this kernel cannot say whether a disk is needed")
        return self._openat2(self._fd, path, flags | os.O_CLOEXEC, _RESOLVE[self._links] | _CACHED)

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self, resolve: int) -> bool:
        assert self._openat2 is not None
        try:
            os.close(self._openat2(self._fd, b".", _LOOK, resolve))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _retry(self, openat2: _Openat2, path: bytes, flags: int) -> int:
        for _ in range(_ATTEMPTS - 1):
            try:
                return openat2(self._fd, path, flags, _RESOLVE[self._links])
            except (BlockingIOError, InterruptedError):
                continue
        return openat2(self._fd, path, flags, _RESOLVE[self._links])

    def _walk(self, path: bytes, flags: int) -> int:
        if self._links == "anywhere":
            return os.open(path, flags, dir_fd=self._fd)
        trail: list[int] = []  # the way down, so that a link's ".." goes back to where we came from, and no further
        try:
            name, is_directory = self._descend(_parts(path), trail)
            if flags & os.O_DIRECTORY and not is_directory:
                raise _refusal(errno.ENOTDIR)
            if trail and flags & os.O_PATH:
                return trail.pop()
            if is_directory:
                return os.open(b".", flags, dir_fd=trail[-1] if trail else self._fd)
            # O_NOFOLLOW: should the name have become a link since, this is ELOOP and not where it leads.
            return os.open(name, flags | os.O_NOFOLLOW, dir_fd=trail[-2] if len(trail) > 1 else self._fd)
        finally:
            for fd in trail:
                os.close(fd)

    def _descend(self, pending: list[bytes], trail: list[int]) -> tuple[bytes, bool]:
        """Walk ``pending`` (last name first), leaving descriptors in ``trail``; the last name, and if a directory."""
        name, is_directory, followed = b".", True, 0
        while pending:
            name = pending.pop()
            if not is_directory:
                raise _refusal(errno.ENOTDIR)
            if name == b"..":
                if not trail:
                    raise _refusal(errno.EXDEV)
                os.close(trail.pop())
                continue
            trail.append(os.open(name, _LOOK | os.O_NOFOLLOW, dir_fd=trail[-1] if trail else self._fd))
            mode = os.fstat(trail[-1]).st_mode
            is_directory = stat.S_ISDIR(mode)
            if stat.S_ISLNK(mode):
                followed += 1
                if self._links == "refused" or followed > _LINKS_MAX:
                    raise _refusal(errno.ELOOP)
                target = os.readlink(b"", dir_fd=trail[-1])
                if target.startswith(b"/"):
                    raise _refusal(errno.EXDEV)
                os.close(trail.pop())
                pending.extend(_parts(target))
                is_directory = True
        return name, is_directory


def _join(names: Sequence[str]) -> bytes:
    # The parser has refused these before; the root does not rely on it.
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise _refusal(errno.ENOENT)
    path = os.fsencode("/".join(names)) if names else b"."
    if len(path) >= _PATH_MAX:
        raise _refusal(errno.ENAMETOOLONG)
    return path


def _parts(path: bytes) -> list[bytes]:
    return [part for part in reversed(path.split(b"/")) if part not in {b"", b"."}]


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _load_openat2() -> _Openat2 | None:
    """openat2(directory, path, flags, resolve) -> descriptor, raising OSError; None where there is no ctypes."""
    try:
        import ctypes  # here, so that whoever makes no root does not pay its half megabyte
    except ImportError:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    open_how = ctypes.c_uint64 * 3
    get_errno = ctypes.get_errno

    def openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
        fd: int = syscall(_SYS_OPENAT2, directory, path, open_how(flags, 0, resolve), 24)
        if fd < 0:
            raise _refusal(get_errno())
        return fd

    return openat2
