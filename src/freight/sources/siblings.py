"""Compressed forms of a file: ``huge.csv.zst``, ``huge.csv.br`` and ``huge.csv.gz`` beside ``huge.csv``.

A form is used only if it is a regular file that the source would serve by its own name, and not older than the file.
A tool that compresses gives its output the time of its input, or the present time; both count.

Any error of a look-up means that there is no such form, because the file itself can be served in its place.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

from freight.http.content_coding import SUFFIXES
from freight.model import Resource
from freight.sources.lookup import PATH_ONLY, FileKey, Lookup, Opener, identity_of
from freight.sources.unsized import is_doubtful


def find(
    lookup: Lookup, original: Resource, key: FileKey, codings: tuple[str, ...], most: int, open_path: Opener
) -> tuple[Resource, ...]:
    """Return at most ``most`` forms of the file ``original``, whose key is ``key``, in the order of ``codings``.

    Raises BlockingIOError as ``open_path`` does.
    """
    forms: list[Resource] = []
    if not lookup.options.show_hidden and any(name.startswith(".") for name in key.names):
        return ()  # a rule has revealed this name, and says nothing of others
    for coding in codings:
        names = (*key.names[:-1], key.names[-1] + SUFFIXES[coding])
        found = _stat(names, open_path)
        if found is not None and _is_usable(found, original):
            forms.append(_form(lookup, original, key, coding, names, found))
            if len(forms) == most:
                break
    return tuple(forms)


def is_current(original: FileKey, open_path: Opener) -> bool:
    """Return whether a file is still the one that was located. Raises BlockingIOError as ``open_path`` does."""
    found = _stat(original.names, open_path)
    return found is not None and identity_of(found) == original.identity


def _stat(names: tuple[str, ...], open_path: Opener) -> os.stat_result | None:
    try:
        fd = open_path(names, PATH_ONLY)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
    except BlockingIOError:
        raise
    except OSError:
        return None


def _is_usable(found: os.stat_result, original: Resource) -> bool:
    # An empty file is no compressed form of anything; a file that states a size may not have it (is_doubtful).
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0 or is_doubtful(found):
        return False
    return original.mtime_ns is not None and found.st_mtime_ns >= original.mtime_ns


def _form(
    lookup: Lookup, original: Resource, key: FileKey, coding: str, names: tuple[str, ...], found: os.stat_result
) -> Resource:
    own = lookup.file(names, found, unsized=False)
    own_key = FileKey(names, found.st_size, identity_of(found), original=key)
    return replace(original, size=own.size, mtime_ns=own.mtime_ns, ctime_ns=own.ctime_ns, key=own_key, coding=coding)
