"""The grammar of RFC 9110, 9112 and 3986 for requests, as patterns and small predicates.

Every pattern is possessive and never backtracks, so the work is linear in the bytes.
"""

from __future__ import annotations

import re

from freight.errors import ProtocolError
from freight.rfc9110 import TCHAR

TOKEN_BYTES = frozenset(map(ord, re.findall(TCHAR, bytes(range(128)).decode())))
"""The bytes of a token (RFC 9110 section 5.6.2)."""

_TOKEN = rf"{TCHAR}++".encode()
_WORD = rf"{TCHAR}{{1,16}}+".encode()

REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]++) HTTP/([0-9])\.([0-9])\r\n")
"""``method SP request-target SP HTTP-version CRLF`` (RFC 9112 section 3), exactly one space each time.

A target may hold bytes from 0x80: RFC 3986 excludes them, but many clients send raw UTF-8, which is harmless.
"""

OTHER_PROTOCOL = re.compile(_WORD + rb" (?!\*)" + _WORD + rb" (?!(?i:HTTP))" + _WORD + rb"\r\n")
"""A line of three short words: the second is not a target and the third is not an HTTP version."""

FIELD_LINES = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
"""All complete field lines (RFC 9112 section 5) without folding, spaces around the name, or control bytes."""

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:[\t ]*+;[\t\x20-\x7e\x80-\xff]*+)?+\r\n")
"""``chunk-size [chunk-ext] CRLF`` (RFC 9112 section 7.1). Extensions are ignored, as the RFC demands."""

_NAME = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})"
# The zone of a link-local address (RFC 6874 section 2); clients also write its "%" alone, as on a command line.
_ZONE = r"(?:%(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})++)?"
_LITERAL = rf"\[(?:[0-9A-Fa-f:.]++{_ZONE}|[vV][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++)\]"

HOST = re.compile(rf"(?:{_LITERAL}|{_NAME}*+)(?::[0-9]*+)?")
"""``uri-host [ ":" port ]`` (RFC 9110 section 7.2); an empty one is valid (RFC 9112 section 3.2)."""

AUTHORITY = re.compile(rf"(?:{_LITERAL}|{_NAME}++)(?::[0-9]*+)?")
"""HOST with a non-empty host, which RFC 9110 section 4.2.1 demands, and without userinfo (4.2.4)."""

AUTHORITY_FORM = re.compile(rf"(?:{_LITERAL}|{_NAME}++):[0-9]++")
"""``uri-host ":" port``, the target of CONNECT (RFC 9112 section 3.2.3)."""

ABSOLUTE_FORM = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+)://([^/?]*+)(.*+)", re.DOTALL)
"""``scheme "://" authority`` and the rest (RFC 9112 section 3.2.2)."""

CONTENT_LENGTH = re.compile(r"[0-9]{1,18}+")
"""``1*DIGIT`` (RFC 9110 section 8.6), short enough that every 64-bit parser reads the same number."""

_MAX_COMMAS = 64  # "a reasonable number of empty elements" (RFC 9110 section 5.6.1.2)


def list_elements(values: list[str]) -> list[str]:
    """Return the elements of a list field, lower-case, without empty ones (RFC 9110 section 5.6.1).

    Raise ProtocolError (400) for more than 64 commas.
    """
    if sum(value.count(",") for value in values) > _MAX_COMMAS:
        raise ProtocolError(400, "a list in a header field is too long")
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t").lower())]


ACCEPT = re.compile(rb"(?:^|\n)accept:[ \t]*+([^\r\n]{0,1000})", re.IGNORECASE)
"""An Accept field anywhere in a section that may be malformed."""
