"""h2's state of one connection (streams, HPACK, windows), with freight's limits and RFC 9113's error codes.

**Goal.** h2's state machines, without the memory that a client could make h2 keep.

**Invariants.** One connection keeps at most 100 open and 256 closed streams, a table of 4 KiB in each direction, and
the six settings of RFC 9113.

**Plan.** Subclasses override the places where h2 or hpack has no limit, or another error than the RFC. Each override
names its section.

**Left out.** DATA to send: :meth:`freight.wire.http2.session.Session.consume_window`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.exceptions
from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKDecodingError, HPACKError

from freight.errors import Http2ConnectionError
from freight.wire.http2 import frames
from freight.wire.http2.frames import ErrorCode, Frame, FrameType
from freight.wire.http2.request_head import section_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpack import HeaderTuple
    from hyperframe.frame import DataFrame
    from hyperframe.frame import Frame as Hyperframe

MAX_STREAMS = 100
"""Largest number of open streams of a connection: the least that RFC 9113 section 6.5.2 recommends."""

_TABLE_BYTES = 4096  # the default size of HPACK's dynamic table
# Size updates at the start of a block: RFC 7541 section 4.2 allows two, and each takes a microsecond.
_MAX_TABLE_UPDATES = 2
_UPDATE_MASK, _UPDATE = 0xE0, 0x20  # the first bits of a size update (RFC 7541 section 6.3)
_UPDATE_PREFIX = 0x1F  # the size continues in the next bytes (RFC 7541 section 5.1)
_MAX_CLOSED_STREAMS = 256  # h2 remembers 65,536, which take megabytes for each connection

_SETTINGS = frozenset(number.to_bytes(2) for number in range(1, 7))  # those of RFC 9113 section 6.5.2


# The first bytes of literals without indexing (RFC 7541 section 6.2.2): the names' numbers in the static table.
_UNINDEXED = {b"content-range": b"\x0f\x0f", b"content-length": b"\x0f\x0d"}
_MAX_PLAIN_LENGTH = 126  # one byte, without Huffman coding (RFC 7541 section 5.2)
_INDEXED = 0x80  # the first bit of a field that is in a table (RFC 7541 section 6.1)


class _Encoder(Encoder):
    """hpack's encoder with a table of at most 4 KiB, whatever the client allows: hpack searches it linearly.

    What differs in each response is not put into the table, where it would displace what is equal. The bytes of fields
    that are in the table are remembered until the table changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        """Return the bytes of a field."""
        known = self._known.get(to_add)
        if known is not None:
            return known
        name, value = to_add
        literal = _UNINDEXED.get(name)
        if literal is not None and len(value) <= _MAX_PLAIN_LENGTH:
            return b"%b%c%b" % (literal, len(value), value)
        encoded = super().add(to_add, sensitive, huffman)
        if encoded[0] & _INDEXED:
            self._known[to_add] = encoded
        else:
            self._known.clear()  # all numbers may have changed
        return encoded

    @property
    def header_table_size(self) -> int:
        """The largest size of the table in bytes, as RFC 7541 section 4.1 counts them."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._known.clear()
        size = min(value, _TABLE_BYTES)
        self.header_table.maxsize = size
        if self.header_table.resized:
            least = min([size, *self.table_size_changes])
            self.table_size_changes = [size] if least == size else [least, size]  # two at most (RFC 7541 section 4.2)


class _Decoder(Decoder):
    """hpack's decoder, which has no limit for size updates of its table."""

    decoded_bytes = 0
    """Size of the last section as RFC 9113 section 6.5.2 counts it. The reader must reset it to 0."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """Decode a block. Raise HPACKDecodingError also for more than two size updates."""
        at = updates = 0
        while at < len(data) and data[at] & _UPDATE_MASK == _UPDATE:
            updates += 1
            if updates > _MAX_TABLE_UPDATES:
                raise HPACKDecodingError("too many size updates of the dynamic table")
            continues = data[at] & _UPDATE_PREFIX == _UPDATE_PREFIX
            at += 1
            while continues and at < len(data):
                continues = data[at] >= 0x80
                at += 1
        lines = super().decode(data, raw)
        self.decoded_bytes = section_bytes(lines)
        return lines


class H2State(H2Connection):
    """h2's server side after both prefaces. ``head_bytes``: the limit of a decoded header section.

    A section up to half as large again is still decoded, so that it can be answered with 431. A larger one ends the
    connection.
    """

    MAX_CLOSED_STREAMS = _MAX_CLOSED_STREAMS
    decoder: _Decoder

    def __init__(self, head_bytes: int) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        wanted = {SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS, SettingCodes.MAX_HEADER_LIST_SIZE: head_bytes}
        self.encoder, self.decoder = _Encoder(), _Decoder()
        self.local_settings = Settings(client=False, initial_values=wanted)
        self.decoder.max_header_list_size = self.max_head_bytes = head_bytes * 3 // 2
        self.resets = 0  # RST_STREAM frames made, by h2 or by freight
        self.initiate_connection()
        self.receive_data(frames.PREFACE)  # FrameDecoder has checked the client's

    @property
    def open_inbound_streams(self) -> int:
        """The open streams that h2 counts, always below its limit.

        h2 ends the connection at the limit, but a client without our SETTINGS may exceed it in good faith: RFC 9113
        section 5.1.2 allows REFUSED_STREAM. :class:`freight.wire.http2.session.Session` counts and refuses. The call
        to h2 is needed because it removes closed streams.
        """
        return min(super().open_inbound_streams, MAX_STREAMS - 1)

    def _prepare_for_sending(self, frames: list[Hyperframe]) -> None:
        """Count resets here, where all of h2's frames pass: h2 resets streams too, for a window overflow, say."""
        for frame in frames:
            self.resets += frame.type == FrameType.RST_STREAM
        super()._prepare_for_sending(frames)

    def receive_frame(self, frame: Frame) -> list[h2_events.Event]:
        """Return h2's events for a frame. Raise Http2ConnectionError; the caller must send the GOAWAY."""
        try:
            raw = _without_unknown_settings(frame) if frame.kind == FrameType.SETTINGS else frame.raw
            return self.receive_data(raw)
        except h2.exceptions.ProtocolError as error:
            self.clear_outbound_data_buffer()  # h2's own GOAWAY
            # Section 4.3: a decoding error is COMPRESSION_ERROR, but h2 sends PROTOCOL_ERROR.
            code = ErrorCode.COMPRESSION_ERROR if isinstance(error.__cause__, HPACKError) else error.error_code
            if isinstance(error, h2.exceptions.DenialOfServiceError):
                code = ErrorCode.ENHANCE_YOUR_CALM
            raise Http2ConnectionError(int(code), "an HTTP/2 protocol violation") from error

    def send_reset(self, stream: int, code: ErrorCode) -> bytes:
        """Reset a stream and return the frames to send.

        h2 may have closed the stream: trailers end a stream whose response is complete, even if they are malformed.
        """
        try:
            self.reset_stream(stream, code)
        except h2.exceptions.StreamClosedError:
            self.resets += 1
            return frames.pack(FrameType.RST_STREAM, 0, stream, code.to_bytes(4))
        return self.data_to_send()

    def _handle_data_on_closed_stream(
        self, events: list[h2_events.Event], exc: h2.exceptions.StreamClosedError, frame: DataFrame
    ) -> tuple[list[Hyperframe], list[h2_events.Event]]:
        """End the connection for DATA after END_STREAM, as RFC 7540 section 5.1 does. h2 only resets the stream."""
        if self._stream_is_closed_by_end(frame.stream_id):
            raise exc
        return super()._handle_data_on_closed_stream(events, exc, frame)


def _without_unknown_settings(frame: Frame) -> bytes:
    """Return SETTINGS without unknown ones (section 6.5.2): h2 keeps each, and 65,536 of them take 57 MB."""
    payload = frame.payload
    if len(payload) % 6:
        return frame.raw  # h2 reports FRAME_SIZE_ERROR
    parts = (payload[start : start + 6] for start in range(0, len(payload), 6))
    return frames.pack(
        FrameType.SETTINGS, frame.flags, frame.stream, b"".join(part for part in parts if part[:2] in _SETTINGS)
    )
