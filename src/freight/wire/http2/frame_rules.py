"""The order and the size of received frames (RFC 9113), where h2 does not check them or uses another error. Pure."""

from __future__ import annotations

from freight.errors import Http2ConnectionError
from freight.wire.http2 import frames
from freight.wire.http2.frames import ErrorCode, Frame, FrameType

_MAX_BLOCK_FRAMES = 32  # of one field block, so that empty CONTINUATION frames cannot go on (CVE-2024-27316)


class FrameOrder:
    """Checks the order of a connection's frames: SETTINGS first, and no frame inside a field block.

    A field block on the wire may have ``max_block_bytes`` and 32 frames.
    """

    __slots__ = ("_block", "_max_block_bytes", "settings_received")

    def __init__(self, max_block_bytes: int) -> None:
        self._max_block_bytes = max_block_bytes
        self._block: tuple[int, int, int] | None = None  # of an unfinished field block: stream, bytes, frames
        self.settings_received = False

    @property
    def in_block(self) -> bool:
        """Whether a field block is unfinished."""
        return self._block is not None

    def check(self, frame: Frame) -> None:
        """Check the next frame. Raise Http2ConnectionError."""
        if not self.settings_received:
            # Section 3.4: the client's preface includes a SETTINGS frame, which must come first.
            if frame.kind != FrameType.SETTINGS or frame.flags & frames.ACK:
                raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.settings_received = True
        if self._block is not None:
            self._block = self._continue(frame, *self._block)
        elif frame.kind == FrameType.HEADERS and not frame.flags & frames.END_HEADERS:
            self._block = (frame.stream, len(frame.raw), 1)
        elif frame.kind == FrameType.SETTINGS and frame.flags & frames.ACK and frame.payload:
            # Section 6.5 demands FRAME_SIZE_ERROR, but h2 raises PROTOCOL_ERROR.
            raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with a payload")

    def _continue(self, frame: Frame, stream: int, size: int, count: int) -> tuple[int, int, int] | None:
        # Section 6.10: only CONTINUATION frames of the same stream may follow, up to END_HEADERS.
        if frame.kind != FrameType.CONTINUATION or frame.stream != stream:
            raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame that interrupts a field block")
        size += len(frame.raw)
        if size > self._max_block_bytes or count >= _MAX_BLOCK_FRAMES:
            raise Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a field block that is too large")
        return None if frame.flags & frames.END_HEADERS else (stream, size, count + 1)


def check_goaway(frame: Frame) -> None:
    """Check a GOAWAY (section 6.8): on stream 0, at least 8 bytes."""
    _check_stream_zero(frame)
    _check_min_size(frame, 8)


def check_priority_update(frame: Frame) -> int:
    """Check a PRIORITY_UPDATE (RFC 9218 section 7.1): on stream 0, at least 4 bytes. Return the prioritized stream."""
    _check_stream_zero(frame)
    _check_min_size(frame, 4)
    stream = int.from_bytes(frame.payload[:4]) & frames.LAST_STREAM
    if not stream:
        raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "a priority update for stream 0")
    return stream


def check_reset(frame: Frame, highest_stream: int) -> None:
    """Check a RST_STREAM (section 6.4): 4 bytes, on a stream that is not idle. h2 ignores one on an idle stream."""
    if not frame.stream:
        raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame on the wrong stream")
    if frame.size != 4:
        raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "a frame of the wrong size")
    if frame.stream > highest_stream:
        raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM for an idle stream")


def _check_stream_zero(frame: Frame) -> None:
    if frame.stream:
        raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame on the wrong stream")


def _check_min_size(frame: Frame, size: int) -> None:
    if frame.size < size:
        raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "a frame of the wrong size")
