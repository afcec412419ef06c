"""Read a file of secrets as text lines, and replace it completely or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freight.access.files import MAX_FILE_BYTES
from freight.config.operator_file import read_secret
from freight.errors import ConfigurationError

NEW_MODE = 0o600


def read(path: Path) -> bytes:
    """Return the content, b"" if there is no file. Raise ConfigurationError."""
    try:
        return read_secret(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Let no other command of freight change the file meanwhile. Yield the path with its links resolved.

    The directory is locked, because the file is replaced.
    """
    real = Path(os.path.realpath(path))
    try:
        directory = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield real
    finally:
        os.close(directory)


def replace(path: Path, lines: list[bytes]) -> None:
    """Write a file. A new one has mode 0600; an existing one keeps its mode and its owner. Raise OSError."""
    partial = path.with_name(f".freight-{os.urandom(8).hex()}.part")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, NEW_MODE)
        with os.fdopen(fd, "wb") as file:
            _keep_owner(fd, path)
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(fd)
        os.replace(partial, path)
    except BaseException as error:
        if os.path.lexists(partial):
            os.unlink(partial)
        if isinstance(error, OSError) and error.filename == os.fspath(partial):
            error.filename = os.fspath(path)
        raise


def split(data: bytes) -> list[bytes]:
    """Return the lines of a file."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _keep_owner(fd: int, path: Path) -> None:
    try:
        before = os.stat(path)
    except FileNotFoundError:
        os.fchmod(fd, NEW_MODE)
        return
    new = os.fstat(fd)
    if (before.st_uid, before.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(fd, before.st_uid, before.st_gid)
    os.fchmod(fd, before.st_mode & 0o7777)
