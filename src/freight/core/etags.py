"""Entity tags (RFC 9110 section 8.8.3): made from what every replica of a file agrees on, read and compared.

A tag is kept as its field text, quotes and ``W/`` included, so that comparing is comparing text.
"""

from __future__ import annotations

import re

_ETAGC = r"[!#-~\x80-\xff]"
_ENTITY_TAG = re.compile(rf'(?:W/)?"{_ETAGC}*+"')
# A tag, and what ends it, behind any number of empty elements: the recipient's side of the list rule (section 5.6.1.2).
# One match takes all of a row of commas. Possessive, as giving blanks back would make a long row cost its square.
_ELEMENT = re.compile(rf'[ \t,]*+((?:W/)?"{_ETAGC}*+")?[ \t]*+(,|\Z)')

MAX_TAGS = 64
"""How many tags of a list are read. Caches send one or a few."""


def strong(size: int, mtime_ns: int, variant: int = 0) -> str:
    """The strong entity tag of a representation of ``size`` bytes, last modified at ``mtime_ns`` nanoseconds.

    Never from the inode: replicas and restored backups must agree, or no download could be resumed on another node.
    ``variant`` tells apart the representations of one negotiated resource, as a strong tag must (section 8.8.3.3).
    """
    return f'"{size:x}-{mtime_ns:x}-{variant:x}"' if variant else f'"{size:x}-{mtime_ns:x}"'


def is_tag(text: str) -> bool:
    """Whether the text is one entity tag, weak or strong."""
    return _ENTITY_TAG.fullmatch(text) is not None


def parse_list(value: str) -> tuple[str, ...]:
    """The tags of ``1#entity-tag`` in order; () when the value is not such a list, or has more than MAX_TAGS.

    Commas belong to a tag inside its quotes. One bad element spoils the list: a tag that is not there matches nothing,
    which answers 412 to If-Match and the whole representation to If-None-Match, both safe.
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
    """Strong comparison (section 8.8.3.2): both strong and the same."""
    return one == other and not one.startswith("W/")


def match_weak(one: str, other: str) -> bool:
    """Weak comparison (section 8.8.3.2): the same but for weakness."""
    return one.removeprefix("W/") == other.removeprefix("W/")
