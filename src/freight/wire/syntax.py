"""The grammar of RFC 9110, 9112 and 3986 that requests are held to, as patterns and small predicates.

Every pattern is possessive: it never goes back, so that the work is linear in the bytes whatever they are.
"""

from __future__ import annotations

import re

from freight.errors import ProtocolError

TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""The bytes of a token (RFC 9110 section 5.6.2)."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_WORD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,16}+"

REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]++) HTTP/([0-9])\.([0-9])\r\n")
"""``method SP request-target SP HTTP-version CRLF`` (RFC 9112 section 3), exactly one space each time.

A target may hold bytes of 0x80 and above: RFC 3986 has none, but many clients send raw UTF-8, and they harm nobody.
"""

NO_HTTP = re.compile(_WORD + rb" (?!\*)" + _WORD + rb" (?!(?i:HTTP))" + _WORD + rb"\r\n")
"""Three short words of which neither the second has the form of a target nor the third that of a version."""

FIELD_LINES = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
"""As many whole field lines as there are (RFC 9112 section 5): no fold, no space about the name, no control byte."""

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:[\t ]*+;[\t\x20-\x7e\x80-\xff]*+)?+\r\n")
"""``chunk-size [chunk-ext] CRLF`` (RFC 9112 section 7.1). Extensions are passed over, as the RFC asks."""

_NAME = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})"
_LITERAL = r"\[(?:[0-9A-Fa-f:.]++|[vV][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++)\]"

HOST = re.compile(rf"(?:{_LITERAL}|{_NAME}*+)(?::[0-9]*+)?")
"""``uri-host [ ":" port ]`` (RFC 9110 section 7.2); the empty one is valid (RFC 9112 section 3.2)."""

AUTHORITY = re.compile(rf"(?:{_LITERAL}|{_NAME}++)(?::[0-9]*+)?")
"""The same with a name: an http URI without a host is refused (RFC 9110 section 4.2.1). No userinfo (4.2.4)."""

AUTHORITY_FORM = re.compile(rf"(?:{_LITERAL}|{_NAME}++):[0-9]++")
"""``uri-host ":" port``, the target of CONNECT (RFC 9112 section 3.2.3)."""

ABSOLUTE_FORM = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+)://([^/?]*+)(.*+)", re.DOTALL)
"""``scheme "://" authority`` and what follows it (RFC 9112 section 3.2.2)."""

CONTENT_LENGTH = re.compile(r"[0-9]{1,18}+")
"""``1*DIGIT`` (RFC 9110 section 8.6), and what every 64-bit parser on the way reads as the same number."""


_MAX_COMMAS = 64  # of a list that decides about framing: "a reasonable number of empty elements" (section 5.6.1.2)


def listed(values: list[str]) -> list[str]:
    """The elements of a list field, lower-case, without the empty ones (RFC 9110 section 5.6.1).

    Raises ProtocolError, 400, for a longer list than anybody has a use for.
    """
    if sum(value.count(",") for value in values) > _MAX_COMMAS:
        raise ProtocolError(400, "too long a list in a header field")
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t").lower())]


ACCEPT = re.compile(rb"(?:^|\n)accept:[ \t]*+([^\r\n]{0,1000})", re.IGNORECASE)
"""An Accept field anywhere in a section that need not be well-formed."""
