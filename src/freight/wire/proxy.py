"""The PROXY protocol, versions 1 and 2, receiving: a connection's first bytes in, whose it is out. Sans-IO.

By HAProxy's proxy-protocol.txt; sections are of that. Who expects a header takes nothing else: to guess whether one is
there would let anybody write one (section 2). What comes out depends on the bytes alone, and a header that cannot
become one is refused as soon as that shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from freight.errors import ProtocolError

_WORD = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

_LINE_BYTES = 107  # section 2.1: no line is longer, CRLF included
_FIXED_BYTES = 16  # section 2.2: what stands before the addresses
_HEADER_BYTES = 4096  # senders keep to 536 (section 2); certificates in TLVs may take some KiB

_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT = rb"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
_IPV4 = rb"(?:" + _OCTET + rb"\.){3}" + _OCTET
_IPV6 = rb"[0-9A-Fa-f:.]{2,45}"
# Behind UNKNOWN anything is to be ignored; but a CR or LF of its own would end the line for somebody else.
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
class Introduction:
    """A header that has come whole. ``source`` is the address that the connection comes from; None: it names none
    (UNKNOWN, LOCAL, another family than IP, another protocol than TCP), and the peer's own is to be kept. ``rest`` is
    what came behind it.
    """

    source: str | None
    rest: bytes


class Inbound:
    """The first bytes of one connection: ``feed()`` them, ask ``next()`` until it answers.

    It keeps at most 4 KiB of header, and what came with its end.
    """

    __slots__ = ("_buffer", "_refusal")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._refusal: str | None = None

    @property
    def idle(self) -> bool:
        """Nothing has come."""
        return not self._buffer and self._refusal is None

    def feed(self, data: bytes) -> None:
        """Take what the socket gave. Never raises: a refusal is ``next()``'s to tell."""
        if self._refusal is None:
            self._buffer += data

    def next(self) -> Introduction | None:
        """The header, once it is whole; None: more bytes are needed.

        Raises ProtocolError (400) for anything else than a header, and the same again each time after that.
        """
        if self._refusal is None:
            try:
                return self._read()
            except ProtocolError as error:
                self._refusal = str(error)
                self._buffer.clear()
        raise ProtocolError(400, self._refusal)

    def _read(self) -> Introduction | None:
        buffer = self._buffer
        if _begins(buffer, _SIGNATURE):
            return self._read_block() if len(buffer) >= _FIXED_BYTES else None
        if not _begins(buffer, _WORD):
            raise ProtocolError(400, "this does not begin with a PROXY header")
        end = buffer.find(b"\n", 0, _LINE_BYTES) + 1
        if end:
            return Introduction(_source_of_line(bytes(buffer[:end])), bytes(buffer[end:]))
        if len(buffer) >= _LINE_BYTES:
            raise ProtocolError(400, "PROXY line too long")
        return None

    def _read_block(self) -> Introduction | None:
        """Version 2: the addresses, and behind them TLVs, which are passed over."""
        buffer = self._buffer
        end = _FIXED_BYTES + int.from_bytes(buffer[14:16], "big")
        if end > _HEADER_BYTES:
            raise ProtocolError(400, "PROXY header too long")
        fits = _check_block(buffer[12], buffer[13], end - _FIXED_BYTES)
        if len(buffer) < end:
            return None
        source = _source_of_block(buffer[13], bytes(buffer[_FIXED_BYTES:end])) if fits else None
        return Introduction(source, bytes(buffer[end:]))


def _begins(data: bytearray, mark: bytes) -> bool:
    """Whether data begins with a mark, or may do so yet."""
    return data.startswith(mark) if len(data) >= len(mark) else mark.startswith(data)


def _source_of_line(line: bytes) -> str | None:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProtocolError(400, "malformed PROXY line")
    if found["six"]:
        _read_ipv6(found["to"].decode("ascii"))
        return _read_ipv6(found["six"].decode("ascii"))
    return found["four"].decode("ascii") if found["four"] else None


def _read_ipv6(text: str) -> str:
    from ipaddress import IPv6Address  # not before somebody comes by IPv6

    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ProtocolError(400, "malformed address in a PROXY line") from None


def _check_block(command: int, transport: int, length: int) -> bool:
    """Whether the block's addresses are to be read; section 2.2 says what is to be refused."""
    if command >> 4 != 2:
        raise ProtocolError(400, "unknown version of a PROXY header")
    if command & 15 == _LOCAL:
        return False  # a health check, say: the rest is to be ignored, whatever it is
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
