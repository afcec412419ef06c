"""Parse an HTTP/2 header section (RFC 9113 section 8): decoded field lines in, a :class:`~freight.model.Request` out.

All that :mod:`freight.wire.http1.request_head` refuses is refused here too: a proxy may translate one to the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from freight.errors import ProtocolError
from freight.model import Fields, Request
from freight.rfc9110 import TCHAR
from freight.wire.http1 import grammar
from freight.wire.http1.parser import Limits
from freight.wire.http1.request_head import METHODS, NAMES

VERSION = (2, 0)

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*+(?<![\t ]))?+)?+")
_TARGET = re.compile(r"[^\x00-\x20\x7f#]++")
_METHOD = re.compile(rf"{TCHAR}++".encode())
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
_CONNECTION_FIELDS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_ENTRY_OVERHEAD = 32  # counted for each field besides its text (section 6.5.2)


def read_head(
    lines: Iterable[tuple[bytes, bytes]],
    size: int,
    ended: bool,
    client: str,
    limits: Limits,
    client_key: str | bytes = "",
) -> Request:
    """Return the request of a header section of ``size`` bytes (:func:`section_bytes`); ``ended``: no content follows.

    Raise ProtocolError: 400 for a malformed section, which the caller must make a stream error (section 8.1.1), and
    413, 414 or 431, which it must answer.
    """
    pseudo, fields = _split_pseudo(lines)
    if len(fields) > limits.fields or size > limits.head:
        raise ProtocolError(431, "there are too many header fields, or they are too large")
    method, target, authority = _check_pseudo(pseudo, limits)
    _check_length([value for name, value in fields if name == "content-length"], ended, limits.content)
    return Request(method, target, _with_host(fields, authority), VERSION, client, client_key)


def section_bytes(lines: Iterable[Sequence[bytes]]) -> int:
    """Return the size of a section as RFC 9113 section 6.5.2 counts it."""
    return sum([len(name) + len(value) + _ENTRY_OVERHEAD for name, value in lines])


def read_trailers(lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Check trailers and discard them. Raise ProtocolError: 400."""
    if _split_pseudo(lines)[0]:
        raise ProtocolError(400, "a pseudo-header field in trailers")


def _split_pseudo(lines: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[tuple[str, str]]]:
    """Return the pseudo-header fields and the other fields (sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[str, str]] = []
    cookies: list[str] = []
    for name, value in lines:
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or fields or cookies:
                raise ProtocolError(400, "a misplaced pseudo-header field")
            pseudo[name] = value
            continue
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ProtocolError(400, "malformed header field")
        # Section 8.2.2.
        if name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise ProtocolError(400, "a connection-specific header field")
        if name == b"cookie":  # section 8.2.3: join the crumbs
            cookies.append(value.decode("latin-1"))
        else:
            fields.append((NAMES.get(name) or name.decode("ascii"), value.decode("latin-1")))
    if cookies:
        fields.append(("cookie", "; ".join(cookies)))
    return pseudo, fields


def _check_pseudo(pseudo: dict[bytes, bytes], limits: Limits) -> tuple[str, str, str | None]:
    """Return the method, the target and the authority, if there is one (section 8.3.1)."""
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise ProtocolError(400, "no valid method")
    named = pseudo.get(b":authority")
    authority = None if named is None else named.decode("latin-1")
    if authority and grammar.AUTHORITY.fullmatch(authority) is None:
        raise ProtocolError(400, "invalid authority")
    text = METHODS.get(method) or method.decode("ascii")
    if text == "CONNECT":  # section 8.5
        if b":scheme" in pseudo or b":path" in pseudo or grammar.AUTHORITY_FORM.fullmatch(authority or "") is None:
            raise ProtocolError(400, "malformed CONNECT")
        return text, authority or "", authority
    if pseudo.get(b":scheme", b"").lower() not in (b"http", b"https"):  # either one: a proxy may terminate TLS
        raise ProtocolError(400, "unsupported scheme")
    target = pseudo.get(b":path", b"").decode("latin-1")
    if len(target) > limits.line:
        raise ProtocolError(414, "the address is too long")
    if not (target.startswith("/") and _TARGET.fullmatch(target)) and not (target == "*" and text == "OPTIONS"):
        raise ProtocolError(400, "invalid request target")
    return text, target, authority or None


def _with_host(fields: list[tuple[str, str]], authority: str | None) -> Fields:
    """Return the fields with one Host, equal to the authority (section 8.3.1)."""
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1 or (hosts and grammar.HOST.fullmatch(hosts[0]) is None):
        raise ProtocolError(400, "invalid Host")
    if authority is None:
        if not hosts:
            raise ProtocolError(400, "neither :authority nor Host")
        return tuple(fields)
    if hosts and hosts[0].lower() != authority.lower():
        raise ProtocolError(400, "Host differs from :authority")
    return (("host", authority), *(pair for pair in fields if pair[0] != "host"))


def _check_length(lengths: list[str], ended: bool, most: int) -> None:
    if not lengths:
        return
    if len(lengths) > 1 or grammar.CONTENT_LENGTH.fullmatch(lengths[0]) is None:
        raise ProtocolError(400, "invalid Content-Length")
    if ended and int(lengths[0]):
        raise ProtocolError(400, "the content is shorter than Content-Length")
    if int(lengths[0]) > most:
        raise ProtocolError(413, "the request content is too large")
