"""h2's account of one connection, the state of streams, HPACK and windows, with the bounds and codes of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.exceptions
from h2 import events as said
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKDecodingError, HPACKError

from freight.errors import Violation
from freight.wire import frames
from freight.wire.frames import Code, Frame, Kind
from freight.wire.section import section_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpack import HeaderTuple
    from hyperframe.frame import DataFrame
    from hyperframe.frame import Frame as Hyperframe

STREAMS = 100
"""How many streams of one connection may be open: as many as RFC 9113 section 6.5.2 asks for at least."""

_TABLE_BYTES = 4096  # of HPACK: what nobody has to be asked for
_TABLE_UPDATES = 2  # at the beginning of a block: more have no use (RFC 7541 section 4.2), and each takes a microsecond
_UPDATE_MASK, _UPDATE = 0xE0, 0x20  # how a change of the table's size begins (RFC 7541 section 6.3)
_UPDATE_PREFIX = 0x1F  # a size that goes on in the next bytes (RFC 7541 section 5.1)
_CLOSED_KEPT = 256  # streams whose end is remembered; h2's 65,536 are megabytes a connection


_SETTINGS = frozenset(number.to_bytes(2) for number in range(1, 7))  # those of RFC 9113


class _Encoder(Encoder):
    """hpack's, with a table that stays small whatever the client allows: it is searched line by line."""

    @property
    def header_table_size(self) -> int:
        """How large the table may grow, in bytes as RFC 7541 section 4.1 counts them."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        size = min(value, _TABLE_BYTES)
        self.header_table.maxsize = size
        if self.header_table.resized:
            least = min([size, *self.table_size_changes])
            self.table_size_changes = [size] if least == size else [least, size]  # RFC 7541 section 4.2: two at most


class _Decoder(Decoder):
    """hpack's, which takes any number of changes of its table's size."""

    decoded_bytes = 0
    """How large the last section was, by the count of RFC 9113 section 6.5.2; whoever reads it says 0 again."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """See hpack. Raises HPACKDecodingError for more changes than a compressor has a use for."""
        at = updates = 0
        while at < len(data) and data[at] & _UPDATE_MASK == _UPDATE:
            updates += 1
            if updates > _TABLE_UPDATES:
                raise HPACKDecodingError("too many changes of the table's size")
            goes_on = data[at] & _UPDATE_PREFIX == _UPDATE_PREFIX
            at += 1
            while goes_on and at < len(data):
                goes_on = data[at] >= 0x80
                at += 1
        lines = super().decode(data, raw)
        self.decoded_bytes = section_bytes(lines)
        return lines


class Machine(H2Connection):
    """The server's side, with the prefaces behind it. ``head_bytes``: how large a header section may be when it is
    decoded. Up to half as much again it is decoded all the same, so that it can be answered; beyond that it is the end.
    """

    MAX_CLOSED_STREAMS = _CLOSED_KEPT
    decoder: _Decoder

    def __init__(self, head_bytes: int) -> None:
        super().__init__(H2Configuration(False, None, False, False, False, False, False))
        wanted = {SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS, SettingCodes.MAX_HEADER_LIST_SIZE: head_bytes}
        self.encoder, self.decoder = _Encoder(), _Decoder()
        self.local_settings = Settings(client=False, initial_values=wanted)
        self.decoder.max_header_list_size = self.head_bytes_most = head_bytes * 3 // 2
        self.resets = 0  # how many RST_STREAM frames have been made, whoever had a reason to
        self.initiate_connection()
        self.receive_data(frames.PREFACE)  # the splitter has seen to it

    @property
    def open_inbound_streams(self) -> int:
        """h2 ends the connection of who opens too many; who has not had our settings yet may do so in good faith.

        So the count is ours, and the stream is refused. To ask h2 for it makes it forget those that are closed.
        """
        return min(super().open_inbound_streams, STREAMS - 1)

    def _prepare_for_sending(self, frames: list[Hyperframe]) -> None:
        """h2's one way out for its frames: it resets streams by itself too, for a window that overflows, say."""
        for frame in frames:
            self.resets += frame.type == Kind.RST_STREAM
        super()._prepare_for_sending(frames)

    def hear(self, frame: Frame) -> list[said.Event]:
        """What a frame means. Raises Violation; that it has to be told is the caller's to know."""
        try:
            return self.receive_data(_known(frame) if frame.kind == Kind.SETTINGS else frame.raw)
        except h2.exceptions.ProtocolError as error:
            self.clear_outbound_data_buffer()  # its GOAWAY
            code = Code.COMPRESSION_ERROR if isinstance(error.__cause__, HPACKError) else error.error_code
            if isinstance(error, h2.exceptions.DenialOfServiceError):
                code = Code.ENHANCE_YOUR_CALM
            raise Violation(int(code), "against the rules of HTTP/2") from error

    def cut(self, stream: int, code: Code) -> bytes:
        """Reset a stream, even one that malformed trailers have just closed behind our own end; what is to be sent."""
        try:
            self.reset_stream(stream, code)
        except h2.exceptions.StreamClosedError:
            self.resets += 1
            return frames.pack(Kind.RST_STREAM, 0, stream, code.to_bytes(4))
        return self.data_to_send()

    def _handle_data_on_closed_stream(
        self, events: list[said.Event], exc: h2.exceptions.StreamClosedError, frame: DataFrame
    ) -> tuple[list[Hyperframe], list[said.Event]]:
        """h2 resets a stream that its client has ended; RFC 7540 section 5.1 ends the connection, as for HEADERS."""
        if self._stream_is_closed_by_end(frame.stream_id):
            raise exc
        return super()._handle_data_on_closed_stream(events, exc, frame)


def _known(frame: Frame) -> bytes:
    """SETTINGS without those that are not known (section 6.5.2): h2 keeps each, and 65,536 of them are 57 MB."""
    payload = frame.payload
    if len(payload) % 6:
        return frame.raw  # which is a fault, and h2's to find
    parts = (payload[start : start + 6] for start in range(0, len(payload), 6))
    return frames.pack(
        Kind.SETTINGS, frame.flags, frame.stream, b"".join(part for part in parts if part[:2] in _SETTINGS)
    )
