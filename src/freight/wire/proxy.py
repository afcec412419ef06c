"""Parse PROXY protocol headers, versions 1 and 2: the first bytes of a connection in, its source out. Sans-IO.

Sections are those of HAProxy's proxy-protocol.txt. A receiver that expects a header must accept nothing else: if it
guessed, any client could send one (section 2). The result depends only on the bytes, not on how they were split, and
bytes that cannot become a header are refused at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from freight.errors import ProtocolError

_WORD = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

_LINE_BYTES = 107  # section 2.1: the longest line, CRLF included
_FIXED_BYTES = 16  # section 2.2: the part before the addresses
_HEADER_BYTES = 4096  # senders use up to 536 (section 2); certificates in TLVs may take a few KiB

_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT = rb"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
_IPV4 = rb"(?:" + _OCTET + rb"\.){3}" + _OCTET
_IPV6 = rb"[0-9A-Fa-f:.]{2,45}"
# The text after UNKNOWN is ignored, but a bare CR or LF in it would end the line for another parser.
_LINE = re.compile(
    rb"PROXY (?:"
    rb"TCP4 (?P<four>" + _IPV4 + rb") " + _IPV4 + rb" " + _PORT + rb" " + _PORT + rb"|"
    rb"TCP6 (?P<six>" + _IPV6 + rb") (?P<to>" + _IPV6 + rb") " + _PORT + rb" " + _PORT + rb"|"
    rb"UNKNOWN(?: [^\r\n]*+)?"
    rb")\r\n"
)

_LOCAL, _PROXY = 0, 1
_STREAM_4, _STREAM_6 = 0x11, 0x21
_ADDRESS_BYTES = {0: 0, 1: 12, 2: 36, 3: 216}  # by family: unspecified, IPv4, IPv6, Unix
_PROTOCOLS = 3  # unspecified, stream, datagram


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A complete header.

    ``source`` is the address of the client. None: the header names none (UNKNOWN, LOCAL, another family than IP,
    another protocol than TCP), and the caller keeps the peer's address. ``rest`` are the bytes after the header.
    """

    source: str | None
    rest: bytes


class ProxyHeaderParser:
    """The header at the start of one connection: ``feed()`` bytes, call ``next()`` until it returns one.

    It buffers at most 4 KiB of header, and the bytes that came with its end.
    """

    __slots__ = ("_buffer", "_refusal")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._refusal: str | None = None

    @property
    def idle(self) -> bool:
        """Whether no byte has been fed."""
        return not self._buffer and self._refusal is None

    def feed(self, data: bytes) -> None:
        """Add received bytes. Never raises: ``next()`` reports errors."""
        if self._refusal is None:
            self._buffer += data

    def next(self) -> ProxyHeader | None:
        """Return the header, or None while more bytes are needed.

        Raise ProtocolError (400) for anything else than a header, and again on each later call.
        """
        if self._refusal is None:
            try:
                return self._read()
            except ProtocolError as error:
                self._refusal = str(error)
                self._buffer.clear()
        raise ProtocolError(400, self._refusal)

    def _read(self) -> ProxyHeader | None:
        buffer = self._buffer
        if _may_start_with(buffer, _SIGNATURE):
            return self._read_block() if len(buffer) >= _FIXED_BYTES else None
        if not _may_start_with(buffer, _WORD):
            raise ProtocolError(400, "the connection does not start with a PROXY header")
        end = buffer.find(b"\n", 0, _LINE_BYTES) + 1
        if end:
            return ProxyHeader(_source_of_line(bytes(buffer[:end])), bytes(buffer[end:]))
        if len(buffer) >= _LINE_BYTES:
            raise ProtocolError(400, "PROXY line too long")
        return None

    def _read_block(self) -> ProxyHeader | None:
        """Read version 2: the addresses; the TLVs after them are ignored."""
        buffer = self._buffer
        end = _FIXED_BYTES + int.from_bytes(buffer[14:16], "big")
        if end > _HEADER_BYTES:
            raise ProtocolError(400, "PROXY header too long")
        has_addresses = _check_block(buffer[12], buffer[13], end - _FIXED_BYTES)
        if len(buffer) < end:
            return None
        source = _source_of_block(buffer[13], bytes(buffer[_FIXED_BYTES:end])) if has_addresses else None
        return ProxyHeader(source, bytes(buffer[end:]))


def _may_start_with(data: bytearray, prefix: bytes) -> bool:
    """Return whether ``data``, which may be incomplete, starts with ``prefix``."""
    return data.startswith(prefix) if len(data) >= len(prefix) else prefix.startswith(data)


def _source_of_line(line: bytes) -> str | None:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProtocolError(400, "malformed PROXY line")
    if found["six"]:
        _read_ipv6(found["to"].decode("ascii"))
        return _read_ipv6(found["six"].decode("ascii"))
    return found["four"].decode("ascii") if found["four"] else None


def _read_ipv6(text: str) -> str:
    from ipaddress import IPv6Address  # loaded only once a client uses IPv6

    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ProtocolError(400, "malformed address in a PROXY line") from None


def _check_block(command: int, transport: int, length: int) -> bool:
    """Return whether to read the block's addresses. Raise ProtocolError where section 2.2 demands it."""
    if command >> 4 != 2:
        raise ProtocolError(400, "unknown version of a PROXY header")
    if command & 15 == _LOCAL:
        return False  # a health check, say: section 2.2 has the receiver ignore the rest
    if command & 15 != _PROXY:
        raise ProtocolError(400, "unknown command in a PROXY header")
    family, protocol = transport >> 4, transport & 15
    if family not in _ADDRESS_BYTES or protocol >= _PROTOCOLS:
        raise ProtocolError(400, "unknown family or protocol in a PROXY header")
    if protocol and length < _ADDRESS_BYTES[family]:
        raise ProtocolError(400, "truncated address in a PROXY header")
    return True


def _source_of_block(transport: int, block: bytes) -> str | None:
    if transport == _STREAM_4:
        return ".".join(map(str, block[:4]))
    if transport == _STREAM_6:
        from ipaddress import IPv6Address

        return str(IPv6Address(block[:16]))
    return None
