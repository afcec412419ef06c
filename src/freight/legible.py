r"""Characters that a reader cannot see, or that rearrange what is around them, spelt out: one table for all outputs.

A file name or a request can hold anything. Control characters are commands to a terminal; bidirectional overrides and
isolates show a name in another order than it has (UAX 9, CVE-2021-42574); line and paragraph separators, and a byte
order mark, hide where a name ends. The log, the pages, ``freight top`` and the listing in JSON all use this table.
"""

from __future__ import annotations

_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
HIDDEN = (*range(0x20), *range(0x7F, 0xA0), *_BIDIRECTIONAL, 0x2028, 0x2029, 0xFEFF)
"""The code points."""

SPELT = {
    **{code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in HIDDEN},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
}
r"""For :meth:`str.translate`: each of them as ``\xNN`` or ``\uNNNN``, and so bytes that are not UTF-8, which
``surrogateescape`` has decoded."""

_FIELD_CHARACTERS = 1024  # of a target or a range: what is longer tells nobody more
_COUNT_CHARACTERS = 24  # that say how much more there was

IN_JSON = {code: f"\\u{code:04x}" for code in HIDDEN if code >= 0x7F}
"""For the text of JSON, where these stand in strings only: the escapes of JSON itself (RFC 8259 section 7), so that a
program reads the same string. What is below is escaped by any writer of JSON."""


def legible(text: str) -> str:
    """A text, decoded by ``surrogateescape``, with everything of :data:`HIDDEN` spelt out."""
    return text.translate(SPELT)


def cut(text: str) -> str:
    """A field of a request as the log and ``/status`` have it: what is left out of a long one is counted.

    What was cut once is not cut again.
    """
    if len(text) <= _FIELD_CHARACTERS + _COUNT_CHARACTERS:
        return text
    return f"{text[:_FIELD_CHARACTERS]}...[{len(text) - _FIELD_CHARACTERS} more]"
