"""The order of a listing as keys: texts that compare as their entries are ordered. Pure.

Directories come before files, as in nginx and Caddy. Within each group the order is by name, by size or by date, in
either direction; ties are ordered by name. Names compare without case, and digits as numbers: file2 before file10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Column = Literal["name", "size", "date"]
Key = str
"""The sort key of an entry: its group ("0" or "1"), its size or date, its collated name, a NUL, and its name.

Sizes and dates are hexadecimal, of one width. Keys compare as strings, which is fast. The name makes them unique, so
the order is total. A key never has a slash.
"""

_DIGITS = re.compile("([0-9]+)")
_VALUE = re.compile(r"(-?[0-9]{1,20})/", re.ASCII)
_VALUE_MIN, _VALUE_MAX = -(2**63), 2**63 - 1
_VALUE_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by, and the direction."""

    by: Column = "name"
    descending: bool = False


def group(is_directory: bool, order: Order) -> str:
    """Return the first character of a key: it puts directories first, in either direction."""
    return "1" if is_directory is order.descending else "0"


def sort_value(value: int, order: Order) -> str:
    """Return the second part of a key: a size in bytes or a time in ns, or "" by name."""
    if order.by == "name":
        return ""
    if not _VALUE_MIN <= value <= _VALUE_MAX:
        value = _VALUE_MIN if value < 0 else _VALUE_MAX
    return f"{value - _VALUE_MIN:016x}"


def collated(names: Iterable[str]) -> list[str]:
    """Return for each name the third part of its key. All names in one call take two thirds of the time."""
    # Neither a name nor its collated text has a slash.
    parts = _DIGITS.split("/".join(names).casefold())
    parts[1::2] = [_sortable_number(digits) for digits in parts[1::2]]
    return "".join(parts).split("/")


def _sortable_number(digits: str) -> str:
    """Return digits as text whose order by code points is that of the numbers: their count, then the digits."""
    number = digits.lstrip("0")
    return f"0{chr(0x30 + len(number))}{number}"  # the count is a character from "0" on, so it is never a slash


def cursor(key: Key, order: Order) -> str:
    """Return a key as text for a query: ``NAME``, or ``NAME/`` for a directory.

    By size and by date it starts with ``VALUE/``, in bytes or in ns since the epoch.
    """
    prefix = "" if order.by == "name" else f"{int(key[1 : 1 + _VALUE_WIDTH], 16) + _VALUE_MIN}/"
    return f"{prefix}{key.rpartition(chr(0))[2]}{'/' if key[0] == group(True, order) else ''}"


def key_at(text: str, order: Order) -> Key | None:
    """Return the key of a cursor; None if it is invalid or empty."""
    value = 0
    if order.by != "name":
        found = _VALUE.match(text)
        if found is None:
            return None
        value, text = int(found[1]), text[found.end() :]
    name = text.removesuffix("/")
    if not name or "/" in name:
        return None
    return f"{group(name != text, order)}{sort_value(value, order)}{collated([name])[0]}\0{name}"
