"""A header section of HTTP/2 (RFC 9113 section 8): decoded field lines in, a :class:`~freight.model.Request` out.

What HTTP/1 has refused, :mod:`freight.wire.request`, is refused here too: a proxy may make one of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from freight.errors import ProtocolError
from freight.model import Fields, Request
from freight.wire import syntax
from freight.wire.http1 import Limits
from freight.wire.request import METHODS, NAMES

VERSION = (2, 0)

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*+(?<![\t ]))?+)?+")
_TARGET = re.compile(r"[^\x00-\x20\x7f#]++")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
_OF_CONNECTIONS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_ENTRY_OVERHEAD = 32  # RFC 9113 section 6.5.2: what a field counts besides its text


def read_section(lines: Iterable[tuple[bytes, bytes]], size: int, ended: bool, client: str, limits: Limits) -> Request:
    """The request of a header section of ``size`` bytes, by :func:`section_bytes`; ``ended``: no content follows it.

    Raises ProtocolError: 400 for a malformed one, which is to be a stream error (section 8.1.1), and 413, 414 or 431,
    which are to be answered.
    """
    pseudo, fields = _sort(lines)
    if len(fields) > limits.fields or size > limits.head:
        raise ProtocolError(431, "this request has too many header fields, or too large ones")
    method, target, authority = _control(pseudo, limits)
    _check_length([value for name, value in fields if name == "content-length"], ended, limits.content)
    return Request(method, target, _with_host(fields, authority), VERSION, client)


def section_bytes(lines: Iterable[Sequence[bytes]]) -> int:
    """How large a section is by the count of RFC 9113 section 6.5.2."""
    return sum([len(name) + len(value) + _ENTRY_OVERHEAD for name, value in lines])


def read_trailers(lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Trailers are checked and dropped. Raises ProtocolError: 400."""
    if _sort(lines)[0]:
        raise ProtocolError(400, "a pseudo-header field in trailers")


def _sort(lines: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[tuple[str, str]]]:
    """Pseudo-header fields, and the others (sections 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[str, str]] = []
    cookies: list[str] = []
    for name, value in lines:
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or fields or cookies:
                raise ProtocolError(400, "a pseudo-header field out of place")
            pseudo[name] = value
            continue
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ProtocolError(400, "malformed header field")
        if name in _OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
            raise ProtocolError(400, "a header field of connections")
        if name == b"cookie":  # section 8.2.3
            cookies.append(value.decode("latin-1"))
        else:
            fields.append((NAMES.get(name) or name.decode("ascii"), value.decode("latin-1")))
    if cookies:
        fields.append(("cookie", "; ".join(cookies)))
    return pseudo, fields


def _control(pseudo: dict[bytes, bytes], limits: Limits) -> tuple[str, str, str | None]:
    """The method, the target, and the authority where there is one (section 8.3.1)."""
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise ProtocolError(400, "no valid method")
    named = pseudo.get(b":authority")
    authority = None if named is None else named.decode("latin-1")
    if authority and syntax.AUTHORITY.fullmatch(authority) is None:
        raise ProtocolError(400, "invalid authority")
    text = METHODS.get(method) or method.decode("ascii")
    if text == "CONNECT":
        if authority is None or b":scheme" in pseudo or b":path" in pseudo:
            raise ProtocolError(400, "malformed CONNECT")
        return text, authority, None
    if pseudo.get(b":scheme", b"").lower() not in (b"http", b"https"):  # either: a proxy may have had TLS for us
        raise ProtocolError(400, "no scheme that is spoken here")
    target = pseudo.get(b":path", b"").decode("latin-1")
    if len(target) > limits.line:
        raise ProtocolError(414, "the address is too long")
    if not (target.startswith("/") and _TARGET.fullmatch(target)) and not (target == "*" and text == "OPTIONS"):
        raise ProtocolError(400, "invalid request target")
    return text, target, authority or None


def _with_host(fields: list[tuple[str, str]], authority: str | None) -> Fields:
    """The fields with one Host, which is the authority (section 8.3.1)."""
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1 or (hosts and syntax.HOST.fullmatch(hosts[0]) is None):
        raise ProtocolError(400, "invalid Host")
    if authority is None:
        if not hosts:
            raise ProtocolError(400, "no authority and no Host")
        return tuple(fields)
    if hosts and hosts[0].lower() != authority.lower():
        raise ProtocolError(400, "Host is not the authority")
    return (("host", authority), *(pair for pair in fields if pair[0] != "host"))


def _check_length(lengths: list[str], ended: bool, most: int) -> None:
    if not lengths:
        return
    if len(lengths) > 1 or syntax.CONTENT_LENGTH.fullmatch(lengths[0]) is None:
        raise ProtocolError(400, "invalid Content-Length")
    if ended and int(lengths[0]):
        raise ProtocolError(400, "less content than its length")
    if int(lengths[0]) > most:
        raise ProtocolError(413, "more request content than is taken here")
