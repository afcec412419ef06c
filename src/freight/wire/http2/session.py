"""The server's side of one HTTP/2 connection: bytes in, events out; in ``out`` all frames to send but DATA. Sans-IO.

**Goal.** RFC 9113 without memory or work that a client can drive up: what every frame costs is charged
(:mod:`freight.wire.accounting`), and every table is bounded.

**Invariants.**

1. One frame at a time: :meth:`Session.process_frame` handles one, so that other connections run between two frames.
2. A stream is in ``_open_streams`` from its request to the end of its response or its reset, then in ``_half_closed``
   while the client may still send. On any other stream no event but WindowUpdated is reported.
3. After an Http2ConnectionError the connection has no streams, and ``out`` ends with a GOAWAY.

**Plan.** h2 keeps the states of streams, HPACK and the flow-control windows (:mod:`freight.wire.http2.h2_connection`).
:mod:`freight.wire.http2.frame_rules` checks first what h2 does not. This module translates h2's events.

**Left out.** DATA frames: h2 would copy the content twice. :mod:`freight.wire.http2.frames` lays them out, and
:meth:`Session.consume_window` keeps h2's windows in step.
"""

from __future__ import annotations

from h2 import events as h2_events

from freight.errors import ClientDisconnected, Http2ConnectionError, ProtocolError
from freight.model import Plan
from freight.wire import costs, events
from freight.wire.accounting import ConnectionAccount
from freight.wire.http1.parser import Limits
from freight.wire.http2 import frame_rules, frames
from freight.wire.http2.frame_charges import WindowUpdateCharges, cost_of
from freight.wire.http2.frames import ErrorCode, Frame, FrameType
from freight.wire.http2.h2_connection import MAX_STREAMS, H2State
from freight.wire.http2.repeats import Lines, section_lines
from freight.wire.http2.request_head import read_head, read_trailers

_MAX_HALF_CLOSED = 8  # streams with a complete response whose clients may finish their requests
_MAX_IDLE_PRIORITIES = 32  # priorities of idle streams
_MAX_PRIORITY_BYTES = 64  # a priority has a few letters, and up to 32 of them are kept
_WINDOW_UPDATE_BYTES = 16 * 1024  # discarded content after which the connection's window is updated
_PING = b"freight\0"


class Session:
    """The server's side of one connection. ``charges`` is charged for all work.

    ``client`` and ``client_key`` go into each Request.

    :meth:`feed` adds bytes, and :meth:`process_frame` handles one frame of them. ``out`` holds the frames to send. The
    caller sends them and removes them from the front. It must feed nothing while ``out`` is long, and must not process
    another frame after an Http2ConnectionError.
    """

    __slots__ = (
        "_client",
        "_client_key",
        "_decoder",
        "_discarded_bytes",
        "_frame",
        "_h2",
        "_half_closed",
        "_idle_priorities",
        "_last_accepted",
        "_limits",
        "_open_streams",
        "_order",
        "_request_ended",
        "_window_updates",
        "charges",
        "out",
    )

    def __init__(
        self,
        client: str,
        limits: Limits,
        charges: ConnectionAccount | None = None,
        client_key: str | bytes = "",
    ) -> None:
        self.charges = charges or ConnectionAccount()
        self._client = client
        self._client_key = client_key
        self._limits = limits
        self._decoder = frames.FrameDecoder()
        self._frame: Frame | None = None  # the next one, complete
        self._h2 = H2State(limits.head)
        self._order = frame_rules.FrameOrder(self._h2.max_head_bytes)
        self._window_updates = WindowUpdateCharges(self.charges)
        self._open_streams: set[int] = set()
        self._request_ended: set[int] = set()  # the open streams on which the client will send no more
        self._half_closed: dict[int, None] = {}  # oldest first
        self._last_accepted = frames.LAST_STREAM
        self._discarded_bytes = 0  # of content, since the last update of the connection's window
        self._idle_priorities: dict[int, str] = {}
        self.out = bytearray(self._h2.data_to_send())

    @property
    def idle(self) -> bool:
        """Whether no frame and no field block is incomplete or waits to be processed."""
        return self._decoder.idle and self._frame is None and not self._order.in_block

    @property
    def settings_received(self) -> bool:
        """Whether the client has sent its SETTINGS, which must come first."""
        return self._order.settings_received

    @property
    def has_had_request(self) -> bool:
        """Whether the client has opened a stream."""
        return self._h2.highest_inbound_stream_id > 0

    @property
    def frame_bytes(self) -> int:
        """The largest payload of a DATA frame to send."""
        return min(self._h2.max_outbound_frame_size, frames.MAX_SENT_PAYLOAD)

    # In

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._decoder.feed(data)

    def take_window_updates(self, data: bytes) -> tuple[bytes, list[int]]:
        """Process the window updates that ``data`` begins with, and that are free. Return the rest of it.

        Also return the streams whose windows opened; 0: the connection's. With small windows, most of what a client
        sends is such updates. They change no state of h2's, so its windows are changed directly. All others, and those
        that break a rule, are left in the rest. The caller must :meth:`feed` that before anything else.
        """
        opened: list[int] = []
        if not self.idle:
            return data, opened
        # Before SETTINGS none is free: no content was delivered.
        h2, charges = self._h2, self.charges
        for stream, increment in frames.window_updates(data):
            if charges.quantum_left <= 0 or (stream and stream not in self._open_streams):
                break
            windows = h2.streams[stream] if stream else h2
            window = windows.outbound_flow_control_window + increment
            if window > frames.MAX_WINDOW or not self._window_updates.take_free(increment):
                break
            windows.outbound_flow_control_window = window
            charges.quantum_left -= costs.FREE_UPDATE
            opened.append(stream)
        return data[len(opened) * frames.WINDOW_UPDATE_BYTES :], opened

    def next_frame_cost(self) -> float | None:
        """Return the least cost of the next complete frame in microseconds, or None.

        Raise Http2ConnectionError as :meth:`process_frame` does.
        """
        if self._frame is None:
            try:
                self._frame = self._decoder.next()
            except Http2ConnectionError as violation:
                self._abort(violation)
                raise
        return None if self._frame is None else cost_of(self._frame, len(self._h2.streams))

    def process_frame(self) -> list[events.Event]:
        """Process the next complete frame, if there is one, and return its events.

        Raise Http2ConnectionError: the caller must end the connection after sending ``out``, which has the GOAWAY.
        """
        cost = self.next_frame_cost()
        if cost is None or self._frame is None:
            return []
        frame, self._frame = self._frame, None
        self.charges.charge(cost)
        try:
            found = self._receive(frame)
            if self.charges.over_limit:
                raise Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too much work requested")
        except Http2ConnectionError as violation:
            self._abort(violation)
            raise
        return found

    def _abort(self, violation: Http2ConnectionError) -> None:
        self.out += frames.goaway(self._h2.highest_inbound_stream_id, violation.code)
        for stream in [*self._open_streams, *self._half_closed]:
            self._forget(stream)

    def _receive(self, frame: Frame) -> list[events.Event]:
        kind = frame.kind
        self._order.check(frame)
        if kind == FrameType.GOAWAY:  # h2 would end the connection with its streams; section 6.8 lets them finish
            frame_rules.check_goaway(frame)
            return [events.GoAwayReceived()]
        if kind == FrameType.PRIORITY_UPDATE:
            return self._receive_priority(frame)
        if kind == FrameType.RST_STREAM:
            frame_rules.check_reset(frame, self._h2.highest_inbound_stream_id)
        if kind == FrameType.WINDOW_UPDATE:
            self._window_updates.charge(frame, len(self._open_streams))
            if frame.stream and frame.payload[:4] == bytes(4):
                # Section 6.9: an increment of 0 is a stream error, but h2 makes it a connection error.
                return self._stream_error(frame.stream, ErrorCode.PROTOCOL_ERROR)
        if kind not in costs.FRAME:
            return []  # section 5.5: unknown types are ignored
        return self._receive_by_h2(frame)

    def _receive_priority(self, frame: Frame) -> list[events.Event]:
        stream = frame_rules.check_priority_update(frame)
        if frame.size > _MAX_PRIORITY_BYTES:
            return []
        text = frame.payload[4:].decode("latin-1")
        if stream > self._h2.highest_inbound_stream_id:
            # RFC 9218 section 7.1: an update may come before the request, and servers limit how many they keep.
            if len(self._idle_priorities) < _MAX_IDLE_PRIORITIES:
                self._idle_priorities[stream] = text
        elif stream in self._open_streams:
            return [events.Reprioritized(stream, text)]
        return []

    def _receive_by_h2(self, frame: Frame) -> list[events.Event]:
        h2 = self._h2
        received = h2.receive_frame(frame)
        self.out += h2.data_to_send()
        size, h2.decoder.decoded_bytes = h2.decoder.decoded_bytes, 0
        self.charges.charge(size * costs.DECODED_BYTE)
        found: list[events.Event] = []
        for event in received:
            found += self._translate(event, size)
        self._charge_resets()
        return found

    def _translate(self, event: h2_events.Event, size: int) -> list[events.Event]:
        """Apply an event of h2's and return what it means to the server. ``size`` is that of the decoded section."""
        match event:
            case h2_events.RequestReceived():
                return self._receive_request(event, size)
            case h2_events.TrailersReceived():
                return self._receive_trailers(event)
            case h2_events.DataReceived():
                self._discard(event.flow_controlled_length or 0)
            case h2_events.StreamEnded() if event.stream_id in self._open_streams:
                self._request_ended.add(event.stream_id)
            case h2_events.StreamEnded() if event.stream_id in self._half_closed:
                self._forget(event.stream_id)
            case h2_events.StreamReset() if self._is_active(event.stream_id or 0):
                self._forget(event.stream_id)
                if event.remote_reset:
                    self.charges.charge(costs.RESET)
                return [events.StreamReset(event.stream_id)]
            case h2_events.WindowUpdated():
                return [events.WindowUpdated(event.stream_id or 0)]
            case h2_events.RemoteSettingsChanged():
                # Section 6.9.2: a new SETTINGS_INITIAL_WINDOW_SIZE changes the windows of all streams.
                return [events.WindowUpdated(0)]
            case h2_events.PingAckReceived() if event.ping_data == _PING:
                return [events.PingAcknowledged()]
        return []

    def _charge_resets(self) -> None:
        if self._h2.resets:
            self.charges.charge(self._h2.resets * costs.RESET)
            self._h2.resets = 0

    def _receive_trailers(self, event: h2_events.TrailersReceived) -> list[events.Event]:
        try:
            read_trailers(event.headers or ())
        except ProtocolError:
            return self._stream_error(event.stream_id or 0, ErrorCode.PROTOCOL_ERROR)
        return []

    def _receive_request(self, event: h2_events.RequestReceived, size: int) -> list[events.Event]:
        stream, lines = event.stream_id or 0, event.headers or ()
        ended, cost = event.stream_ended is not None, costs.REQUEST + size * costs.DECODED_BYTE
        priority = self._idle_priorities.pop(stream, None)
        self._open_streams.add(stream)
        self.charges.open_request()
        if ended:
            self._request_ended.add(stream)
        # Sections 5.1.2 and 6.8: beyond the limit, or after our GOAWAY, refuse. The client may then safely retry.
        if stream > self._last_accepted or len(self._open_streams) > MAX_STREAMS:
            self.reset_stream(stream, ErrorCode.REFUSED_STREAM)
            return []
        try:
            request = read_head(lines, size, ended, self._client, self._limits, self._client_key)
        except ProtocolError as error:
            if error.status == 400:  # section 8.1.1: a malformed request is a stream error
                self._stream_error(stream, ErrorCode.PROTOCOL_ERROR)
                return []
            self.charges.charge(costs.REQUEST)
            known = {bytes(name): bytes(value).decode("latin-1") for name, value in lines}
            return [events.RequestRefused(stream, error, known.get(b":method", "-"), known.get(b"accept"), cost)]
        self.charges.charge(costs.REQUEST)
        found: list[events.Event] = [events.RequestReceived(stream, request, cost)]
        return found if priority is None else [*found, events.Reprioritized(stream, priority)]

    def _stream_error(self, stream: int, code: ErrorCode) -> list[events.Event]:
        """Reset a stream on which the client violated the protocol (section 5.4.2)."""
        if stream > self._h2.highest_inbound_stream_id:
            raise Http2ConnectionError(code, "a frame on an idle stream")
        if not self._is_active(stream):
            return []
        self.reset_stream(stream, code)
        return [events.StreamReset(stream)]

    def _discard(self, count: int) -> None:
        """Count discarded content. Only the connection's window is updated: a stream may send one window of content."""
        self._discarded_bytes += count
        if self._discarded_bytes >= _WINDOW_UPDATE_BYTES:
            self._h2.increment_flow_control_window(self._discarded_bytes)
            self._discarded_bytes = 0
            self.out += self._h2.data_to_send()

    # Out

    def send_head(self, stream: int, plan: Plan, date: str, ends: bool) -> None:
        """Send a response's header section; ``ends``: no content follows.

        Raise ClientDisconnected for a stream that was reset, and ValueError as
        :func:`freight.wire.http1.response.check_fields` does.
        """
        self.send_section(stream, section_lines(plan, date), ends)

    def send_section(self, stream: int, lines: Lines, ends: bool) -> None:
        """Send the lines of a response's header section, as :meth:`send_head` does."""
        if stream not in self._open_streams:
            raise ClientDisconnected("the client reset the stream")
        self._h2.send_headers(stream, lines, end_stream=ends)
        self.out += self._h2.data_to_send()
        if ends:
            self._complete(stream)

    def send_window(self, stream: int) -> int:
        """Return how many bytes of content may be sent on a stream now; none if 0 or negative."""
        if stream not in self._open_streams:
            return 0
        h2 = self._h2
        return min(h2.outbound_flow_control_window, h2.streams[stream].outbound_flow_control_window)

    def stream_window(self, stream: int) -> int:
        """Return the stream's own flow-control window, regardless of the connection's."""
        return self._h2.streams[stream].outbound_flow_control_window if stream in self._open_streams else 0

    def consume_window(self, stream: int, count: int) -> None:
        """Shrink the windows by ``count`` bytes, which DATA frames of the caller have started to send.

        h2 does so only for the frames that it makes itself.
        """
        self._h2.outbound_flow_control_window -= count
        self._h2.streams[stream].outbound_flow_control_window -= count
        self._window_updates.delivered(count)

    def content_ended(self, stream: int) -> None:
        """Note that the caller's last DATA frame of a stream, which has started, has END_STREAM."""
        self._h2.end_stream(stream)
        self._h2.data_to_send()  # h2's own frame, without content
        self._complete(stream)

    def end_stream(self, stream: int) -> None:
        """Send END_STREAM, unless the last frame of the content had it: the response is complete."""
        if stream in self._open_streams:
            self._h2.end_stream(stream)
            self.out += self._h2.data_to_send()
            self._complete(stream)

    def reset_stream(self, stream: int, code: ErrorCode) -> None:
        """Reset a stream, unless it has ended."""
        if self._is_active(stream):
            self._forget(stream)
            self.out += self._h2.send_reset(stream, code)
            self._charge_resets()

    def is_half_closed(self, stream: int) -> bool:
        """Return whether a stream's response is complete and its request is not."""
        return stream in self._half_closed

    def release_stream(self, stream: int) -> None:
        """Reset a stream whose response is complete but whose request is not (section 8.1).

        Call it after a grace period, so that violations in frames that were already on their way are still reported.
        """
        if stream in self._half_closed:
            self.reset_stream(stream, ErrorCode.NO_ERROR)

    def send_goaway(self, last: int | None = None) -> None:
        """Announce that streams above ``last`` will not be processed. None: above the last one received.

        With ``last`` a PING follows, and PingAcknowledged will be reported. Call it twice, as section 6.8 advises: with
        LAST_STREAM, and after PingAcknowledged without ``last``. So requests that were on their way are accepted.
        """
        self._last_accepted = self._h2.highest_inbound_stream_id if last is None else last
        self.out += frames.goaway(self._last_accepted, ErrorCode.NO_ERROR)
        if last is not None:
            self.out += frames.pack(FrameType.PING, 0, 0, _PING)

    def _is_active(self, stream: int) -> bool:
        return stream in self._open_streams or stream in self._half_closed

    def _complete(self, stream: int) -> None:
        half_closed = stream not in self._request_ended
        self.charges.credit_request()
        self._forget(stream)
        if half_closed:
            self._half_closed[stream] = None
            if len(self._half_closed) > _MAX_HALF_CLOSED:
                self.release_stream(next(iter(self._half_closed)))

    def _forget(self, stream: int) -> None:
        if stream in self._open_streams:
            self._open_streams.remove(stream)
            self.charges.close_request()
        self._request_ended.discard(stream)
        self._half_closed.pop(stream, None)
