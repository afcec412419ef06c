"""Patterns of paths: ``*`` within a name, ``**`` for any number of names. Pure.

Goal: the time to match is at most proportional to the pattern's length times the path's, whatever both contain.

Plan: a pattern becomes a regular expression of which every repetition is atomic or possessive, so none is tried again.
The leftmost match of a piece leaves the most for the pieces after it, therefore no match is lost (the translation of
``fnmatch`` uses the same argument).
"""

from __future__ import annotations

import re

MAX_PATTERN = 256
"""Most characters of a pattern."""

_ANY_NAMES = r"(?:/[^/]++)"
_NAME_ENDS = r"(?=/|\Z)"
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for ``fullmatch`` on a decoded path, which ends with "/" if it is a directory's.

    ``/*.csv`` matches the files of the root with this suffix, ``/**/*.csv`` those of every directory, ``/a/**`` all at
    and below ``/a``, and ``/**/`` every directory. Every other character stands for itself. Raise ValueError with a
    sentence if the pattern can match no path, or is longer than 256 characters.
    """
    _check(pattern)
    names = pattern[1:].split("/")
    found, block, floating = "", "", False
    for at, name in enumerate(names):
        if name == "**" and at == len(names) - 1:
            return re.compile(found + _placed(block, floating, last=False) + r"(?:/.*)?", re.DOTALL)
        if name == "**":
            found += _placed(block, floating, last=False)
            block, floating = "", True
        else:
            block += "/" + _name(name)
    return re.compile(found + _placed(block, floating, last=True), re.DOTALL)


def _placed(block: str, floating: bool, *, last: bool) -> str:
    """Return the names between two ``**``: at their place, or after any number of names."""
    if not floating:
        return block
    if not last:
        return f"(?>{_ANY_NAMES}*?{block})" if block else ""
    return rf"{_ANY_NAMES}*?{block}\Z"


def _name(name: str) -> str:
    """Return the expression for one name of a pattern. No name in a path is empty."""
    if name == "*":
        return "[^/]++"
    first, *pieces = map(re.escape, name.split("*"))
    if not pieces:
        return first + (_NAME_ENDS if first else "")
    middle = "".join(f"(?>[^/]*?{piece})" for piece in pieces[:-1] if piece)
    return f"{first}{middle}(?>[^/]*{pieces[-1]}{_NAME_ENDS})"


def _check(pattern: str) -> None:
    if not pattern.startswith("/"):
        raise ValueError(f"{pattern!r} does not start with /")
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    if _CONTROL.search(pattern):
        raise ValueError(f"{pattern!r} has a control character")
    if _ESCAPE.search(pattern):
        raise ValueError(f"{pattern!r} has an escape; write the character itself, as paths are matched decoded")
    names = pattern[1:].split("/")
    if "" in names[:-1]:
        raise ValueError(f"{pattern!r} has an empty name between two slashes, which no path has")
    for name in names:
        if name in (".", ".."):
            raise ValueError(f"{pattern!r} has the name {name!r}, which no path has")
        if "**" in name and name != "**":
            raise ValueError(f"{pattern!r}: ** must stand alone between slashes, as in /maps/**/*.png")
