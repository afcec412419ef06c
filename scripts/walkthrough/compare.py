"""Compare two outputs, except for what differs each time: times, speeds, process ids, counts of bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .page import ANY_LINES

# What is replaced before two outputs are compared, in this order.
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?"), "<time>"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<time>"),
    (re.compile(r"\b(?:[0-9A-F]{2}:){31}[0-9A-F]{2}\b"), "<fingerprint>"),
    (re.compile(r'"[0-9a-f]{1,16}-[0-9a-f]{16}"'), '"<tag>"'),
    (re.compile(r"\b\d+(?:\.\d+)? ?[kMGT]?B/s"), "<speed>"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:kB|KiB)\b"), "<memory>"),
    (re.compile(r"\b\d+\.\d+ ?m?s\b"), "<seconds>"),
    (re.compile(r"(\bpid\b\D{1,3})\d+"), r"\1<pid>"),
    # A gigabyte is the sample's size. Any other count of bytes this long is where a download was cut, or memory.
    (re.compile(r"(?<![\d.])(?!\d+000000\b)\d{6,}\b"), "<bytes>"),
)
_NAMED = re.compile(r"<[a-z]+>")
_NUMBER = re.compile(r"\d[\w.,]*(?:/s)?|[━─=-]{4,}|-(?= |$)")


def normalised(line: str, *, numbers_vary: bool = False) -> str:
    """Return a line with placeholders for what differs each time, and without spaces at its end.

    ``numbers_vary``: replace every number with its unit, bars, and the width of columns too.
    """
    for varying, name in _VARYING:
        line = varying.sub(name, line)
    return " ".join(_NUMBER.sub("<number>", _NAMED.sub("0", line)).split()) if numbers_vary else line.rstrip()


def agree(shown: Sequence[str], printed: Sequence[str], *, numbers_vary: bool = False) -> bool:
    """Return whether a page shows what was printed. A line ``...`` matches any number of lines."""
    first, second = ([normalised(line, numbers_vary=numbers_vary) for line in lines] for lines in (shown, printed))
    return _agree(first, second)


def _agree(shown: list[str], printed: list[str]) -> bool:
    if not shown:
        return not printed
    if shown[0] == ANY_LINES:
        return any(_agree(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and _agree(shown[1:], printed[1:])


def shortened(shown: Sequence[str], printed: Sequence[str]) -> tuple[str, ...]:
    """Return the output for the page: as many lines before and after ``...`` as it shows now, or all."""
    if ANY_LINES not in shown:
        return tuple(printed)
    before, after = shown.index(ANY_LINES), list(reversed(shown)).index(ANY_LINES)
    return (*printed[:before], ANY_LINES, *printed[max(before, len(printed) - after) :])
