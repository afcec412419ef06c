"""Parse a request's head: its bytes in, a :class:`~freight.wire.events.Head` or a ProtocolError out.

The lines have matched the patterns of :mod:`freight.wire.http1.grammar`. httptools parses the field section. It gets a
fixed request line, because it refuses what freight accepts: raw UTF-8 in a target, unknown methods
(:mod:`freight.http.decide` answers those), minor versions above 1. What httptools accepts and freight does not is
refused here. Where an RFC lets a server repair or refuse, freight refuses: a proxy in front may have repaired it
differently (request smuggling).
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from freight.errors import ProtocolError
from freight.model import Fields, Request
from freight.wire.events import Head
from freight.wire.http1 import grammar


class RequestLine(NamedTuple):
    """The parts of a request line; ``target`` is verbatim, as latin-1 text."""

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

# One string for all requests with that field: thousands are in memory at once.
NAMES: dict[bytes, str] = {
    form.encode(): lower for name in _COMMON for lower in (name.lower(),) for form in (name, lower)
}
METHODS: dict[bytes, str] = {name.encode(): name for name in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")}

_FRAMING = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))


def parse_request_line(line: bytes) -> RequestLine:
    """Parse a request line with its CRLF. Raise ProtocolError: 400, or 505 for another major version than 1."""
    match = grammar.REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "malformed request line")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise ProtocolError(505, "only HTTP/1.0 and HTTP/1.1 are supported here")
    return RequestLine(METHODS.get(method) or method.decode("ascii"), target.decode("latin-1"), (1, int(minor)))


def parse_head(
    line: RequestLine, section: bytes, client: str, scheme: str, content_limit: int, client_key: str | bytes
) -> Head:
    """Return the head of ``line`` and its field lines ``section`` (each with CRLF, without the final empty line).

    Raise ProtocolError: 400, 413 (more than ``content_limit`` bytes declared), 421 (another scheme than ``scheme``),
    501 (a transfer coding other than chunked).
    """
    fields = _parse_fields(section)
    framing: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _FRAMING:
            framing.setdefault(name, []).append(value)
    version = min(line.version, (1, 1))  # a higher minor version is treated as 1.1 (RFC 9110 section 2.5)
    _check_host(framing.get("host", []), version)
    content = _content(framing, version, content_limit)
    target, authority = _resolve_target(line, scheme)
    if authority is not None:
        fields = (("host", authority), *(pair for pair in fields if pair[0] != "host"))
    expects = version >= (1, 1) and content != 0 and "100-continue" in grammar.list_elements(framing.get("expect", []))
    # A client may speak another protocol after CONNECT, so nothing after it is parsed as a request.
    keep_alive = _persists(framing.get("connection"), version) and not expects and line.method != "CONNECT"
    return Head(Request(line.method, target, fields, version, client, client_key), keep_alive, content, expects)


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
        pass  # Upgrade is ignored (RFC 9110 section 7.8); httptools has reported all fields by now
    except httptools.HttpParserError:
        raise ProtocolError(400, "malformed field section") from None
    return tuple(collected.fields)


def _check_host(hosts: list[str], version: tuple[int, int]) -> None:
    """Demand exactly one valid Host (RFC 9112 section 3.2); HTTP/1.0 clients may omit it."""
    if len(hosts) > 1:
        raise ProtocolError(400, "more than one Host")
    if not hosts:
        if version >= (1, 1):
            raise ProtocolError(400, "the Host field is missing")
    elif grammar.HOST.fullmatch(hosts[0]) is None:
        raise ProtocolError(400, "invalid Host")


def _content(framing: dict[str, list[str]], version: tuple[int, int], limit: int) -> int | None:
    """Return the size of the content (RFC 9112 section 6.3) in bytes, or None for chunked."""
    lengths, codings = framing.get("content-length"), framing.get("transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ProtocolError(400, "both Content-Length and Transfer-Encoding")
        _check_codings(codings, version)
        return None
    if lengths is None:
        return 0
    if len(lengths) > 1 or grammar.CONTENT_LENGTH.fullmatch(lengths[0]) is None:
        raise ProtocolError(400, "invalid Content-Length")
    length = int(lengths[0])
    if length > limit:
        raise ProtocolError(413, "the request content is too large")
    return length


def _check_codings(values: list[str], version: tuple[int, int]) -> None:
    """Demand chunked, once, as the last coding (RFC 9112 sections 6.1 and 6.3); no other coding is implemented."""
    if version < (1, 1):
        raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
    codings = grammar.list_elements(values)
    if codings.count("chunked") != 1 or codings[-1] != "chunked":
        raise ProtocolError(400, "invalid Transfer-Encoding")
    if len(codings) > 1:
        raise ProtocolError(501, "the only supported transfer coding is chunked")
    if len(values) > 1 or values[0].lower() != "chunked":
        raise ProtocolError(400, "invalid Transfer-Encoding")


def _resolve_target(line: RequestLine, scheme: str) -> tuple[str, str | None]:
    """Return the target in origin, authority or asterisk form, and the authority of an absolute form (RFC 9112 3.2).

    That authority replaces Host (section 3.2.2). Another scheme than the connection's is 421 (RFC 9110 section 7.4).
    """
    target = line.target
    if "#" in target:
        raise ProtocolError(400, "a fragment in the request target")
    if line.method == "CONNECT":
        if grammar.AUTHORITY_FORM.fullmatch(target) is None:
            raise ProtocolError(400, "invalid target for CONNECT")
        return target, None
    if target.startswith("/"):
        return target, None
    if target == "*" and line.method == "OPTIONS":
        return target, None
    match = grammar.ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise ProtocolError(400, "invalid request target")
    named, authority, rest = match.groups()
    if grammar.AUTHORITY.fullmatch(authority) is None:
        raise ProtocolError(400, "invalid authority in the request target")
    if named.lower() != scheme:
        raise ProtocolError(421, "the target has another scheme than this connection")
    if not rest and line.method == "OPTIONS":
        return "*", authority  # RFC 9112 section 3.2.4
    return (rest if rest.startswith("/") else "/" + rest), authority


def _persists(connection: list[str] | None, version: tuple[int, int]) -> bool:
    """Return whether the connection persists (RFC 9112 section 9.3)."""
    if connection is None:
        return version >= (1, 1)
    options = grammar.list_elements(connection)
    return "close" not in options and (version >= (1, 1) or "keep-alive" in options)
