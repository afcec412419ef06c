"""HTTP/2 frames (RFC 9113 section 4): split received bytes into frames, and lay out DATA frames in a buffer. Pure.

**Goal.** Content is read from a file directly between the frame heads of a send buffer: it is never copied.

**Invariants.** A received payload is at most 16 KiB, and its size is checked once its head has come. Frame heads in a
:class:`FrameBuffer` stay valid as long as the caller writes only into the places that it returned.

**Left out.** What frames mean: see :mod:`freight.wire.http2.session`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from freight.errors import Http2ConnectionError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The client's connection preface (section 3.4)."""

HEAD_BYTES = 9
MAX_RECEIVED_PAYLOAD = 16 * 1024
"""The largest payload in bytes that every peer must accept (section 4.2), and the largest that freight accepts."""

MAX_SENT_PAYLOAD = 64 * 1024
"""The largest payload in bytes sent to a client that allows it: a started frame blocks all other streams."""

LAST_STREAM = 2**31 - 1

MAX_WINDOW = 2**31 - 1
"""The largest flow-control window in bytes (section 6.9.1)."""


class FrameType(IntEnum):
    """Frame types (section 6; RFC 9218 section 7.1)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    PRIORITY_UPDATE = 16


class ErrorCode(IntEnum):
    """The error codes (section 7) that freight sends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


END_STREAM = ACK = 1
END_HEADERS = 4

_HEAD = struct.Struct(">HBBBI")  # length (24 bits), type, flags, stream
_WINDOW_UPDATE = struct.Struct(">IBII")  # length and type, flags, stream, increment
_LENGTH_AND_TYPE = 4 << 8 | FrameType.WINDOW_UPDATE
WINDOW_UPDATE_BYTES = _WINDOW_UPDATE.size
_GOAWAY = struct.Struct(">II")


class Frame(NamedTuple):
    """One frame. ``kind`` is a :class:`FrameType` or another number; ``raw`` includes the frame head."""

    kind: int
    flags: int
    stream: int
    raw: bytes

    @property
    def payload(self) -> bytes:
        """The bytes after the frame head."""
        return self.raw[HEAD_BYTES:]

    @property
    def size(self) -> int:
        """The length of the payload in bytes."""
        return len(self.raw) - HEAD_BYTES


class FrameDecoder:
    """Splits received bytes into frames of at most 16 KiB, after the connection preface."""

    __slots__ = ("_buffer", "_preface_seen")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._preface_seen = False

    @property
    def idle(self) -> bool:
        """Whether no byte of an incomplete frame has come."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> Frame | None:
        """Return the next complete frame, or None.

        Raise Http2ConnectionError without a preface, and for a frame that is too large, as soon as its head has come.
        """
        buffer = self._buffer
        if not self._preface_seen:
            # Section 3.4: an invalid preface is a connection error.
            if not buffer.startswith(PREFACE[: len(buffer)]):
                raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "no connection preface")
            if len(buffer) < len(PREFACE):
                return None
            del buffer[: len(PREFACE)]
            self._preface_seen = True
        if len(buffer) < HEAD_BYTES:
            return None
        high, low, kind, flags, stream = _HEAD.unpack_from(buffer)
        stop = HEAD_BYTES + (high << 8 | low)
        # Section 4.2: larger than SETTINGS_MAX_FRAME_SIZE.
        if stop > HEAD_BYTES + MAX_RECEIVED_PAYLOAD:
            raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "a frame that is too large")
        if len(buffer) < stop:
            return None
        raw = bytes(buffer[:stop])
        del buffer[:stop]
        return Frame(kind, flags, stream & LAST_STREAM, raw)


def pack(kind: FrameType, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def window_updates(data: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over the WINDOW_UPDATE frames (section 6.9) that ``data`` begins with: the stream and the increment."""
    whole = len(data) - len(data) % WINDOW_UPDATE_BYTES
    for length_and_type, _, stream, increment in _WINDOW_UPDATE.iter_unpack(memoryview(data)[:whole]):
        if length_and_type != _LENGTH_AND_TYPE:
            return
        yield stream & LAST_STREAM, increment & LAST_STREAM


def goaway(last: int, code: int) -> bytes:
    """Return a GOAWAY frame (section 6.8): streams above ``last`` were not processed."""
    return pack(FrameType.GOAWAY, 0, 0, _GOAWAY.pack(last, code))


class FrameBuffer:
    """A buffer of ``size`` bytes in which DATA frames are laid out for one send after another.

    Heads of whole frames are reused: consecutive sends mostly start at the same place, and often are of the same stream
    number, on all connections. To write them again takes 20 us for 240 KB, where encryption takes 230 us.
    """

    __slots__ = ("_layout", "_whole", "buffer")

    def __init__(self, size: int) -> None:
        self.buffer = memoryview(bytearray(size))
        self._layout = (-1, 0, 0)  # where the first frame begins, the stream, and the payload of a whole frame
        self._whole: list[memoryview] = []  # the places for the payloads of whole frames whose heads are written

    def lay_out(
        self, at: int, stream: int, count: int, frame: int, last_flags: int = 0
    ) -> tuple[list[memoryview], int]:
        """Write the heads of DATA frames for ``count`` bytes, of at most ``frame`` each, into the buffer from ``at``.

        ``count`` is at least 1, and ``last_flags`` are those of the last frame: END_STREAM, or none.
        Return the places for the payloads in order, and the end of the last one. After ``at`` the caller must write
        only into these places.
        """
        if (at, stream, frame) != self._layout:
            self._layout = at, stream, frame
            self._whole.clear()
        whole, step = (count - 1) // frame, HEAD_BYTES + frame
        for head in range(at + len(self._whole) * step, at + whole * step, step):
            self._write_head(head, frame, 0, stream)
            self._whole.append(self.buffer[head + HEAD_BYTES : head + step])
        del self._whole[whole:]  # the last frame has a head of its own
        head, size = at + whole * step, count - whole * frame
        stop = head + HEAD_BYTES + size
        self._write_head(head, size, last_flags, stream)
        return [*self._whole, self.buffer[head + HEAD_BYTES : stop]], stop

    def _write_head(self, at: int, size: int, flags: int, stream: int) -> None:
        _HEAD.pack_into(self.buffer, at, size >> 8, size & 0xFF, FrameType.DATA, flags, stream)


def content_capacity(space: int, frame: int) -> int:
    """Return how much content fits into ``space`` bytes in frames of at most ``frame`` bytes."""
    whole, left = divmod(space, frame + HEAD_BYTES)
    return whole * frame + max(0, left - HEAD_BYTES)


def bytes_in_started_frames(sent: int, count: int, frame: int) -> tuple[int, int]:
    """Return the content in the frames that have started to be sent, and those frames' total size, both in bytes.

    ``count`` bytes of content were laid out in frames of ``frame`` bytes, and ``sent`` bytes of these frames were sent.
    """
    frames = -(-sent // (frame + HEAD_BYTES))
    payload = min(count, frames * frame)
    return payload, payload + frames * HEAD_BYTES
