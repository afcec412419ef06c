"""What is at the path that a source serves, found out once, before a server starts."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from freight.errors import ConfigurationError
from freight.names import from_system
from freight.sources.file_systems import is_local
from freight.sources.lookup import READ


class ServedPath(NamedTuple):
    """A path that can be served: the directory ``root``, or of it only the file ``only_file``, if that is not "".

    ``device`` is its file system, and ``on_local`` whether that is a local one.
    """

    root: str
    only_file: str
    device: int
    on_local: bool


def examine(path: str, setting: str) -> ServedPath:
    """Find out what ``path`` names. Raise OSError if it cannot be read, and ConfigurationError if it cannot be served.

    It is opened for reading, so that the operator learns at the start that it cannot be, and not the first client.
    """
    whole = os.path.abspath(path)
    probe = os.open(whole, READ)
    try:
        found, on_local = os.fstat(probe), is_local(probe)
    finally:
        os.close(probe)
    if stat.S_ISREG(found.st_mode):
        root, name = os.path.split(whole)
        return ServedPath(root, from_system(name), found.st_dev, on_local)
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{path} is neither a file nor a directory", setting)
    return ServedPath(whole, "", found.st_dev, on_local)
