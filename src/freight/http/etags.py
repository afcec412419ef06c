"""Entity tags (RFC 9110 section 8.8.3): make them from facts that all replicas share, parse and compare them. Pure.

A tag is its field text, with quotes and ``W/``: comparing tags compares texts.
"""

from __future__ import annotations

import re

_ETAGC = r"[!#-~\x80-\xff]"
_ENTITY_TAG = re.compile(rf'(?:W/)?"{_ETAGC}*+"')
# A tag and its terminator after any number of empty elements, as recipients must accept (section 5.6.1.2). One match
# consumes a whole run of commas. It is possessive: with backtracking a long run would take quadratic time.
_ELEMENT = re.compile(rf'[ \t,]*+((?:W/)?"{_ETAGC}*+")?[ \t]*+(,|\Z)')

MAX_TAGS = 64
"""Largest number of tags in a list. Caches send one or a few."""


def strong(size: int, mtime_ns: int, variant: int = 0, ctime_ns: int | None = None, coding: str = "") -> str:
    """Return the strong entity tag of a representation of ``size`` bytes, last modified at ``mtime_ns`` nanoseconds.

    The inode is not part of it: replicas and restored backups must agree, so that a download can resume on another
    node. ``variant`` distinguishes the representations of one negotiated resource, as section 8.8.3.3 demands.
    ``ctime_ns`` is the time of the last status change, for a file whose modification time does not tell its versions
    apart. Replicas do not agree on it. ``coding`` is the content coding, "" without one.
    """
    tag = f"{size:x}-{mtime_ns:x}-{variant:x}" if variant else f"{size:x}-{mtime_ns:x}"
    if coding:
        tag = f"{tag}-{coding}"
    return f'"{tag}"' if ctime_ns is None else f'"{tag}+{ctime_ns:x}"'


def weak(tag: str, variant: str) -> str:
    """Return the weak entity tag of a representation whose source says ``tag``, for one of its ``variant`` texts."""
    return f'W/"{tag}-{variant}"'


def is_tag(text: str) -> bool:
    """Return whether the text is one entity tag, weak or strong."""
    return _ENTITY_TAG.fullmatch(text) is not None


def parse_list(value: str) -> tuple[str, ...]:
    """Return the tags of ``1#entity-tag`` in order; () for a malformed list or more than 64 tags.

    A tag may contain commas. One malformed element empties the list, which is safe: no tag matches, so If-Match fails
    with 412 and If-None-Match sends the whole representation.
    """
    tags: list[str] = []
    at = 0
    while len(tags) <= MAX_TAGS and (found := _ELEMENT.match(value, at)):
        if found[1]:
            tags.append(found[1])
        if not found[2]:
            return tuple(tags) if len(tags) <= MAX_TAGS else ()
        at = found.end()
    return ()


def match_strong(one: str, other: str) -> bool:
    """Compare strongly (section 8.8.3.2): both are strong and equal."""
    return one == other and not one.startswith("W/")


def match_weak(one: str, other: str) -> bool:
    """Compare weakly (section 8.8.3.2): equal apart from ``W/``."""
    return one.removeprefix("W/") == other.removeprefix("W/")
