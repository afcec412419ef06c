"""File names as text: UTF-8 with ``surrogateescape``, whatever the locale.

On Linux a name is bytes, and in URLs and pages it is UTF-8. Python decodes names by the locale instead, and cannot
encode an ``é`` where that is ASCII. So text of other encodings never gets far: names that Python has decoded pass
through :func:`from_system`, and system calls get :func:`to_bytes`. The command line runs in Python's UTF-8 mode
(:mod:`freight.cli.start_up`); an application that uses freight as a library has the locale that it has.
"""

from __future__ import annotations

import os
import sys

_IS_UTF8 = sys.getfilesystemencoding() == "utf-8"


def to_bytes(name: str) -> bytes:
    """Return the bytes of a name or a path. Raises UnicodeEncodeError for a surrogate that stands for no byte."""
    return name.encode("utf-8", "surrogateescape")


def from_bytes(name: bytes) -> str:
    """Return the text of a name or a path. A byte that is not UTF-8 is a surrogate, U+DC80 to U+DCFF (PEP 383)."""
    return name.decode("utf-8", "surrogateescape")


def from_system(name: str) -> str:
    """Return the text of a name or a path as Python gives it (os.fsdecode), such as an argument or by os.scandir."""
    return name if _IS_UTF8 else from_bytes(os.fsencode(name))


def shown(name: str) -> str:
    r"""Return a name in characters only, for JSON and messages: a byte that is not UTF-8 as ``\xNN``."""
    return to_bytes(name).decode("utf-8", "backslashreplace")
