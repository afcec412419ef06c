r"""Escape characters that are invisible or change how the text around them is displayed. Pure.

A file name or a request can hold any character. Control characters are commands to a terminal. Bidirectional overrides
and isolates display a name in another order (UAX 9, CVE-2021-42574). Line and paragraph separators and byte order marks
hide where a name ends. The log, the pages, ``freight top`` and the JSON listing use this table.
"""

from __future__ import annotations

_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
HIDDEN = (*range(0x20), *range(0x7F, 0xA0), *_BIDIRECTIONAL, 0x2028, 0x2029, 0xFEFF)
"""The code points that are escaped."""

ESCAPES = {
    **{code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in HIDDEN},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
}
r"""For :meth:`str.translate`: each code point as ``\xNN`` or ``\uNNNN``, and so the bytes that are not UTF-8, as
``surrogateescape`` decodes them."""

_FIELD_CHARACTERS = 1024
_COUNT_CHARACTERS = 24  # length of the suffix that counts the characters left out

JSON_ESCAPES = {code: f"\\u{code:04x}" for code in HIDDEN if code >= 0x7F}
"""For JSON text, where these code points occur in strings only: JSON's own escapes (RFC 8259 section 7), so that a
program reads the original string. JSON writers already escape the code points below U+007F."""


def printable(text: str) -> str:
    """Return a text, decoded with ``surrogateescape``, with all of :data:`HIDDEN` escaped."""
    return text.translate(ESCAPES)


def shorten(text: str, characters: int = _FIELD_CHARACTERS) -> str:
    """Return a field of a request for the log and ``/status``: the first characters and the count of the rest.

    A shortened text is not shortened again.
    """
    if len(text) <= characters + _COUNT_CHARACTERS:
        return text
    return f"{text[:characters]}...[{len(text) - characters} more]"
