"""A request's head: its bytes in, a :class:`~freight.wire.events.Head` or a refusal out.

The lines have passed the patterns of :mod:`freight.wire.syntax`. httptools takes the field section apart. It is given
a request line of ours, because it refuses what we take: raw UTF-8 in a target, methods it does not know (those are for
the core to answer), minor versions above 1. What it lets pass and we do not is refused here. Where the RFC lets a
server choose between mending and refusing, we refuse: a proxy in front may have mended in another way (request
smuggling).
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from freight.errors import ProtocolError
from freight.model import Fields, Request
from freight.wire import syntax
from freight.wire.events import Head


class RequestLine(NamedTuple):
    """The three words of a request line; ``target`` as received, as latin-1 text."""

    method: str
    target: str
    version: tuple[int, int]


# fmt: off
_COMMON = (
    "Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Connection", "Range", "If-Range", "If-Match",
    "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Cache-Control", "Pragma", "Referer", "Cookie", "TE",
    "Authorization", "Origin", "DNT", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
    "X-Real-IP", "X-Request-ID", "Upgrade-Insecure-Requests", "Content-Length", "Content-Type", "Transfer-Encoding",
    "Expect", "Keep-Alive", "Priority", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User",
    "Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Traceparent", "Want-Digest", "Sec-GPC", "Accept-Charset",
)
# fmt: on

# One string for all the requests that carry it: thousands are held at once.
NAMES: dict[bytes, str] = {
    form.encode(): lower for name in _COMMON for lower in (name.lower(),) for form in (name, lower)
}
METHODS: dict[bytes, str] = {name.encode(): name for name in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")}

_FRAMING = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))


def parse_request_line(line: bytes) -> RequestLine:
    """The request line, CRLF included. Raises ProtocolError: 400, or 505 for another major version than 1."""
    match = syntax.REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "malformed request line")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise ProtocolError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return RequestLine(METHODS.get(method) or method.decode("ascii"), target.decode("latin-1"), (1, int(minor)))


def parse_head(line: RequestLine, section: bytes, client: str, scheme: str, content_limit: int) -> Head:
    """The head of ``line`` and its field lines ``section`` (each with CRLF, without the empty line at the end).

    Raises ProtocolError: 400, 413 (more than ``content_limit`` bytes announced), 421 (another scheme than ``scheme``),
    501 (a transfer coding other than chunked).
    """
    fields = _parse_fields(section)
    framing: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _FRAMING:
            framing.setdefault(name, []).append(value)
    version = min(line.version, (1, 1))  # a higher minor version is spoken to as ours (RFC 9110 section 2.5)
    _check_host(framing.get("host", []), version)
    content = _content(framing, version, content_limit)
    target, authority = _resolve_target(line, scheme)
    if authority is not None:
        fields = (("host", authority), *(pair for pair in fields if pair[0] != "host"))
    expects = version >= (1, 1) and content != 0 and "100-continue" in syntax.listed(framing.get("expect", []))
    # A client may have begun to speak another protocol behind CONNECT: nothing after it is read as a request.
    keep_alive = _persists(framing.get("connection"), version) and not expects and line.method != "CONNECT"
    return Head(Request(line.method, target, fields, version, client), keep_alive, content, expects)


class _Section:
    """httptools' callbacks for one field section."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        known = NAMES.get(name) or name.decode("ascii").lower()
        self.fields.append((known, value.decode("latin-1").strip(" \t")))


def _parse_fields(section: bytes) -> Fields:
    collected = _Section()
    try:
        httptools.HttpRequestParser(collected).feed_data(b"GET / HTTP/1.1\r\n" + section + b"\r\n")
    except httptools.HttpParserUpgrade:
        pass  # an Upgrade we do not take is ignored (RFC 9110 section 7.8); all the fields have been seen by now
    except httptools.HttpParserError:
        raise ProtocolError(400, "malformed field section") from None
    return tuple(collected.fields)


def _check_host(hosts: list[str], version: tuple[int, int]) -> None:
    """RFC 9112 section 3.2: exactly one valid Host; an HTTP/1.0 client may leave it out."""
    if len(hosts) > 1:
        raise ProtocolError(400, "more than one Host")
    if not hosts:
        if version >= (1, 1):
            raise ProtocolError(400, "no Host")
    elif syntax.HOST.fullmatch(hosts[0]) is None:
        raise ProtocolError(400, "invalid Host")


def _content(framing: dict[str, list[str]], version: tuple[int, int], limit: int) -> int | None:
    """How much content follows (RFC 9112 section 6.3): bytes, or None for chunked."""
    lengths, codings = framing.get("content-length"), framing.get("transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
        _check_codings(codings, version)
        return None
    if lengths is None:
        return 0
    if len(lengths) > 1 or syntax.CONTENT_LENGTH.fullmatch(lengths[0]) is None:
        raise ProtocolError(400, "invalid Content-Length")
    length = int(lengths[0])
    if length > limit:
        raise ProtocolError(413, "more request content than is taken here")
    return length


def _check_codings(values: list[str], version: tuple[int, int]) -> None:
    """RFC 9112 sections 6.1 and 6.3: chunked, once, as the last coding, and no other coding that we know."""
    if version < (1, 1):
        raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
    codings = syntax.listed(values)
    if codings.count("chunked") != 1 or codings[-1] != "chunked":
        raise ProtocolError(400, "invalid Transfer-Encoding")
    if len(codings) > 1:
        raise ProtocolError(501, "no transfer coding but chunked is implemented")
    if len(values) > 1 or values[0].lower() != "chunked":
        raise ProtocolError(400, "invalid Transfer-Encoding")


def _resolve_target(line: RequestLine, scheme: str) -> tuple[str, str | None]:
    """The target in origin form (or as CONNECT and OPTIONS have it), and the authority when it named one.

    RFC 9112 section 3.2. An absolute form's authority stands in for Host (3.2.2). A scheme that the connection does not
    have is misdirected (RFC 9110 section 7.4).
    """
    target = line.target
    if "#" in target:
        raise ProtocolError(400, "a fragment in the request target")
    if line.method == "CONNECT":
        if syntax.AUTHORITY_FORM.fullmatch(target) is None:
            raise ProtocolError(400, "invalid target for CONNECT")
        return target, None
    if target.startswith("/"):
        return target, None
    if target == "*" and line.method == "OPTIONS":
        return target, None
    match = syntax.ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise ProtocolError(400, "invalid request target")
    named, authority, rest = match.groups()
    if syntax.AUTHORITY.fullmatch(authority) is None:
        raise ProtocolError(400, "invalid authority in the request target")
    if named.lower() != scheme:
        raise ProtocolError(421, "another scheme than this connection's")
    if not rest and line.method == "OPTIONS":
        return "*", authority  # RFC 9112 section 3.2.4
    return (rest if rest.startswith("/") else "/" + rest), authority


def _persists(connection: list[str] | None, version: tuple[int, int]) -> bool:
    """RFC 9112 section 9.3."""
    if connection is None:
        return version >= (1, 1)
    options = syntax.listed(connection)
    return "close" not in options and (version >= (1, 1) or "keep-alive" in options)
