"""Bind a Unix socket to a path, or explain why that fails; remove its file at the end.

**Permissions.** bind(2) creates the file with the mode of the socket (fchmod(2)) less the umask, which is 0 meanwhile.
The owner is set before listen(2). So no user can connect at any moment without permission by mode and owner.

**Stale files.** The file of a server that was killed stays. It is replaced if nobody accepts connections there. A lock
of the directory makes one server of several that start at once do that; without it, each could remove the other's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.server.unix_socket import UnixListeningSocket

_LOCK_SECONDS = 1.0  # another server holds the lock for milliseconds, but any program may hold it for ever
_LOCK_POLL_SECONDS = 0.01
_CONNECT_SECONDS = 1.0
_BACKLOG = 4096  # connections, as for TCP


@dataclass(frozen=True, slots=True)
class Permissions:
    """The mode of a socket's file, and its owner: names or numbers, "" to leave it."""

    mode: int
    user: str = ""
    group: str = ""


@dataclass(slots=True)
class SocketFiles:
    """The files of the listening sockets that freight has made, which it removes at its end."""

    _made: list[tuple[str, tuple[int, int]]] = field(default_factory=list)

    def add(self, listening: socket.socket) -> None:
        """Add the file of a socket, unless that has none."""
        path = listening.getsockname()
        identity = _identity(path) if isinstance(path, str) and path else None
        if identity is not None:
            self._made.append((path, identity))

    def remove(self) -> None:
        """Remove the files of sockets on which no process listens. This one must have closed them.

        After a hand-over the successor listens, and a file may be that of another server by now.
        """
        for path, identity in self._made:
            if _identity(path) == identity and not _is_live(path):
                try:
                    os.unlink(path)
                except OSError:
                    pass  # the directory is read-only by now, for example: the next start replaces it
        self._made.clear()


def bind_unix(address: UnixAddress, permissions: Permissions, setting: str) -> socket.socket:
    """Return a bound socket that does not listen yet. Raise ConfigurationError, about ``setting`` or the owner's."""
    user, group = _ids(permissions)
    made = UnixListeningSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _directory_locked(address.path):
            _remove_stale(address, setting)
            os.fchmod(made.fileno(), permissions.mode)
            before = os.umask(0)
            try:
                made.bind(address.path)
            finally:
                os.umask(before)
            _set_owner(address.path, user, group)
            made.listen(_BACKLOG)  # before the lock is released, as others would call it stale
    except OSError as error:
        made.close()
        raise _explained(error, address, setting) from error
    except ConfigurationError:
        made.close()
        raise
    return made


def check_unix(address: UnixAddress, permissions: Permissions, setting: str) -> None:
    """Raise ConfigurationError if :func:`bind_unix` would. Change nothing."""
    _ids(permissions)
    folder = os.path.dirname(address.path) or "."
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _examine(address, setting)
    except OSError as error:
        raise _explained(error, address, setting) from error


def _identity(path: str) -> tuple[int, int] | None:
    """Return what distinguishes the socket's file at ``path`` from others; None: there is no socket."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def _is_live(path: str) -> bool:
    """Return whether a process listens there. One whose backlog is full does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass  # no permission to connect, another type of socket, or a full backlog
        return True


def _examine(address: UnixAddress, setting: str) -> bool:
    """Return whether a stale file must be removed. Raise ConfigurationError if something else is there."""
    if not os.path.lexists(address.path):
        return False
    if _identity(address.path) is None:
        raise ConfigurationError(f"{address.path} exists and is not a socket; choose another path", setting)
    if _is_live(address.path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return True


def _remove_stale(address: UnixAddress, setting: str) -> None:
    if _examine(address, setting):
        os.unlink(address.path)


@contextmanager
def _directory_locked(path: str) -> Iterator[None]:
    """Hold the lock of the file's directory, if it can be had."""
    try:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield  # it may be searchable and not readable
        return
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(folder) and time.monotonic() < until:
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(folder)


def _try_lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno != errno.EWOULDBLOCK  # where there are no locks, there is nothing to wait for
    return True


def _set_owner(path: str, user: int, group: int) -> None:
    """Set the owner of the socket at ``path``, and of nothing that has been put in its place."""
    if user == group == -1:
        return
    held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(held).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.chown(f"/proc/self/fd/{held}", user, group)
    except PermissionError as error:
        os.unlink(path)
        raise ConfigurationError(
            f"no permission to give {path} to another owner: only root can change the user, and others only the group, "
            "to one of their own",
            "socket-owner",
        ) from error
    finally:
        os.close(held)


def _ids(permissions: Permissions) -> tuple[int, int]:
    """Return the numbers of user and group; -1: leave it. Raise ConfigurationError for an unknown name."""
    user, group = permissions.user, permissions.group
    if not user and not group:
        return -1, -1
    import grp
    import pwd

    try:
        uid = -1 if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigurationError(f"there is no user {user!r}", "socket-owner") from None
    try:
        return uid, -1 if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(f"there is no group {group!r}", "socket-owner") from None


def _explained(error: OSError, address: UnixAddress, setting: str) -> ConfigurationError:
    path, folder = address.path, os.path.dirname(address.path) or "."
    match error.errno:
        case errno.EADDRINUSE:
            return ConfigurationError(f"a server listens on {path}; stop it, or choose another path", setting)
        case errno.ENOENT | errno.ENOTDIR:
            return ConfigurationError(f"there is no directory {folder}; make it first", setting)
        case errno.EACCES | errno.EPERM:
            return ConfigurationError(f"no permission to make a socket in {folder}; choose another directory", setting)
    return ConfigurationError(f"cannot listen on {address}: {os.strerror(error.errno or 0)}", setting)
