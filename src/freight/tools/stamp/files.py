"""Read a manifest from a file line by line, and write one completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from freight.config.operator_file import open_regular
from freight.errors import ConfigurationError
from freight.names import from_system
from freight.sources.beneath import Root
from freight.tools.stamp import manifest
from freight.tools.stamp.compare import Read, side_by_side
from freight.tools.stamp.manifest import LINE_BYTES_MAX, Names, Stamp
from freight.tools.stamp.tree import Found, digest


def read_manifest(path: str) -> Iterator[Stamp]:
    """Read the files of a manifest. Raises ConfigurationError, with path and line, for an invalid one."""
    try:
        with open_regular(path) as file:
            yield from manifest.read(_lines(file))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def write_manifest(root: Root, found: Iterable[Found], path: str, read: Read) -> tuple[int, int]:
    """Read all files in ``found`` and write their manifest. Return the number of files and of bytes.

    An exception leaves the old manifest in place. Raises ConfigurationError for a file that changes while it is read.
    """
    path = os.path.realpath(path)
    partial = os.path.join(os.path.dirname(path), f".freight-{os.urandom(8).hex()}.part")
    count = size = 0

    def settle(each: Found, read: Read) -> Stamp:
        return _stamp(root, each, read)

    try:
        with open(partial, "x", encoding="ascii") as file:
            print(manifest.head(), file=file)
            for stamp in side_by_side(settle, found, read):
                print(manifest.write(stamp), file=file)
                count, size = count + 1, size + stamp.size
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        if os.path.lexists(partial):
            os.unlink(partial)
        if isinstance(error, OSError) and error.filename == partial:
            error.filename = path
        raise
    return count, size


def names_within(directory: str, path: str) -> tuple[Names, ...]:
    """Return the names of ``path`` below the directory, if it is there, so that a manifest does not list itself."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(directory))
    names = tuple(from_system(relative).split(os.sep))
    return () if os.pardir in names else (names,)


def _stamp(root: Root, found: Found, read: Read) -> Stamp:
    path = "/".join(found.names)
    try:
        made = digest(root, found, read)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    if made is None:
        raise ConfigurationError(f"{path}: changed while it was read; run the command again when it is complete")
    return Stamp(found.names, found.size, found.mtime_ns, made)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LINE_BYTES_MAX + 2):
        yield line.rstrip(b"\n")
