"""HTTP/2, one connection: bytes in, events out, and in ``out`` what is to be sent but content (RFC 9113). Sans-IO.

h2 keeps the state of streams, HPACK and the windows, one frame at a time (:mod:`freight.wire.machine`). Around it
stands what a server has to bear with: what everything costs (:mod:`freight.wire.costs`), how much of a head is held,
and the rules that h2 sees otherwise, each where it is kept. DATA is not made here, as that would copy it
twice: :mod:`freight.wire.frames` lays it out, and :meth:`Session.spend` keeps the windows in step.
"""

from __future__ import annotations

import re

from h2 import events as said

from freight.errors import PeerGone, ProtocolError, Violation
from freight.guard import Guard
from freight.model import Plan
from freight.wire import answer, costs, events, frames
from freight.wire.frames import Code, Frame, Kind
from freight.wire.http1 import Limits
from freight.wire.machine import STREAMS, Machine
from freight.wire.section import read_section, read_trailers

_BLOCK_FRAMES = 32  # CONTINUATION frames of one head
_OWED = 8  # streams that have their answer, whose client is let finish
_PRIORITIES_KEPT = 32  # of streams that have not begun
_OPEN_BYTES = 16 * 1024  # content that has come and not been made up for in the connection's window
_PING = b"freight\0"
_PRIORITY_BYTES = 64  # of an update, which says a letter or two: 32 of them are kept, and that is memory
_BREAKS = re.compile("[\r\n\0]")
_SECTIONS = frozenset((Kind.HEADERS, Kind.CONTINUATION))
_SETTING_BYTES = 6
_DELIVERED_MOST = 1 << 26  # bytes: more than that nobody makes up for at once


class Session:
    """The server's side of one connection. ``client`` goes into each Request; ``guard`` is charged for all work.

    :meth:`take` takes bytes, and :meth:`step` handles one frame of them, so that other connections can have their turn
    between two frames.

    ``out`` holds frames to be sent, in order; the caller sends them and takes them from its front. How long it is, is
    the caller's to bound: it takes nothing more while that is much. After a Violation was raised no step may follow.
    """

    __slots__ = (
        "_block",
        "_client",
        "_content",
        "_delivered",
        "_ended",
        "_h2",
        "_held",
        "_last",
        "_limits",
        "_live",
        "_owed",
        "_priorities",
        "_settled",
        "_splitter",
        "guard",
        "out",
    )

    def __init__(self, client: str, limits: Limits, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()
        self._client = client
        self._limits = limits
        self._splitter = frames.Splitter()
        self._held: Frame | None = None  # the next one, which has come whole
        self._h2 = Machine(limits.head)
        self._live: set[int] = set()  # streams that were asked on, and have not ended
        self._ended: set[int] = set()  # of those, whose client will send no more
        self._owed: dict[int, None] = {}  # streams that have their answer, and whose client may still send
        self._block: tuple[int, int, int] | None = None  # of an unfinished head: stream, bytes, frames
        self._settled = False  # the client's first SETTINGS have come
        self._last = frames.LAST_STREAM  # streams beyond it are not looked at
        self._content = 0  # bytes of content dropped since the connection's window was last opened
        self._priorities: dict[int, str] = {}
        self._delivered = 0  # bytes of content that the client may still make up for in its windows
        self.out = bytearray(self._h2.data_to_send())

    @property
    def idle(self) -> bool:
        """Nothing of an unfinished frame or head has come."""
        return self._splitter.idle and self._held is None and self._block is None

    @property
    def settled(self) -> bool:
        """The client has said its settings, as it must first."""
        return self._settled

    @property
    def frame_bytes(self) -> int:
        """The largest payload of DATA to be sent."""
        return min(self._h2.max_outbound_frame_size, frames.FRAME_MAX)

    # In

    def take(self, data: bytes) -> None:
        """Take what the socket gave."""
        self._splitter.feed(data)

    def due(self) -> float | None:
        """What the next frame that has come whole costs at least, in microseconds; None: there is none.

        Raises Violation as :meth:`step` does.
        """
        if self._held is None:
            try:
                self._held = self._splitter.next()
            except Violation as violation:
                self._give_up(violation)
                raise
        return None if self._held is None else self._cost(self._held)

    def step(self) -> list[events.Event]:
        """Deal with the next frame, if one has come whole; what it means.

        Raises Violation: the connection is to be ended, and ``out`` has the GOAWAY.
        """
        cost = self.due()
        if cost is None or self._held is None:
            return []
        frame, self._held = self._held, None
        self.guard.charge(cost)
        try:
            found = self._take(frame)
            if self.guard.overdrawn:
                raise Violation(Code.ENHANCE_YOUR_CALM, "too much work")
        except Violation as violation:
            self._give_up(violation)
            raise
        return found

    def _give_up(self, violation: Violation) -> None:
        """End the connection: its streams are no more, and whatever is still done about them means nothing."""
        self.out += frames.goaway(self._h2.highest_inbound_stream_id, violation.code)
        for stream in [*self._live, *self._owed]:
            self._forget(stream)

    def _cost(self, frame: Frame) -> float:
        """What is known of a frame's cost before it is looked into."""
        kind, size = frame.kind, frame.size
        cost = costs.FRAME.get(kind, costs.UNKNOWN) + size * costs.PAYLOAD_BYTE
        if kind in _SECTIONS:
            return cost + size * costs.BLOCK_BYTE
        if kind == Kind.SETTINGS:
            return cost + size / _SETTING_BYTES * costs.SETTING + len(self._h2.streams) * costs.STREAM
        return cost

    def _take(self, frame: Frame) -> list[events.Event]:
        kind = frame.kind
        self._check_order(frame)
        if kind == Kind.GOAWAY:  # h2 would end the connection, and streams with it
            _check_frame(frame, 8, at_least=True, of_stream=False)
            return [events.Leaving()]
        if kind == Kind.PRIORITY_UPDATE:
            return self._prioritize(frame)
        if kind == Kind.RST_STREAM:
            _check_frame(frame, 4, of_stream=True)
            if frame.stream > self._h2.highest_inbound_stream_id:  # h2 passes over it; section 6.4
                raise Violation(Code.PROTOCOL_ERROR, "a reset of a stream that has not begun")
        if kind == Kind.WINDOW_UPDATE:
            self._open(frame)
            if frame.stream and frame.payload[:4] == bytes(4):
                return self._break(frame.stream, Code.PROTOCOL_ERROR)  # h2: of the connection; section 6.9
        if kind not in costs.FRAME:
            return []  # section 5.5
        return self._tell(frame)

    def _open(self, frame: Frame) -> None:
        """Charge for a window that opens: for one that makes up for much that was delivered nothing."""
        size = int.from_bytes(frame.payload[:4]) & frames.LAST_STREAM
        cost = 0.0 if frame.stream else len(self._live) * costs.STREAM
        self.guard.charge(cost)
        if costs.UPDATE_BYTES <= size <= self._delivered:
            self._delivered -= size
            self.guard.pay(costs.FRAME[Kind.WINDOW_UPDATE] + cost)
        elif size < costs.TINY_BYTES:
            self.guard.charge(costs.TINY)

    def _check_order(self, frame: Frame) -> None:
        """What must come first, and what may not come between (sections 3.4 and 6.10)."""
        if not self._settled:
            if frame.kind != Kind.SETTINGS or frame.flags & frames.ACK:
                raise Violation(Code.PROTOCOL_ERROR, "no settings at the beginning")
            self._settled = True
        if self._block is not None:
            stream, size, count = self._block
            if frame.kind != Kind.CONTINUATION or frame.stream != stream:
                raise Violation(Code.PROTOCOL_ERROR, "another frame within a head")
            size += len(frame.raw)
            if size > self._h2.head_bytes_most or count >= _BLOCK_FRAMES:
                raise Violation(Code.ENHANCE_YOUR_CALM, "a head that is too long")
            self._block = None if frame.flags & frames.END_HEADERS else (stream, size, count + 1)
        elif frame.kind == Kind.HEADERS and not frame.flags & frames.END_HEADERS:
            self._block = (frame.stream, len(frame.raw), 1)
        elif frame.kind == Kind.SETTINGS and frame.flags & frames.ACK and frame.payload:  # h2: PROTOCOL_ERROR
            raise Violation(Code.FRAME_SIZE_ERROR, "settings in an acknowledgement")

    def _prioritize(self, frame: Frame) -> list[events.Event]:
        _check_frame(frame, 4, at_least=True, of_stream=False)
        stream = int.from_bytes(frame.payload[:4]) & frames.LAST_STREAM
        if not stream:
            raise Violation(Code.PROTOCOL_ERROR, "a priority of no stream")
        if len(frame.payload) > _PRIORITY_BYTES:
            return []
        text = frame.payload[4:].decode("latin-1")
        if stream > self._h2.highest_inbound_stream_id:
            if len(self._priorities) < _PRIORITIES_KEPT:
                self._priorities[stream] = text
        elif stream in self._live:
            return [events.Reprioritized(stream, text)]
        return []

    def _tell(self, frame: Frame) -> list[events.Event]:
        """Have h2 take a frame, and say in our words what it makes of it."""
        found: list[events.Event] = []
        h2 = self._h2
        heard = h2.hear(frame)
        self.out += h2.data_to_send()
        size, h2.decoder.decoded_bytes = h2.decoder.decoded_bytes, 0
        self.guard.charge(size * costs.DECODED_BYTE)
        for event in heard:
            match event:
                case said.RequestReceived():
                    found += self._ask(event, size)
                case said.TrailersReceived():
                    found += self._end_content(event)
                case said.DataReceived():
                    self._drop(event.flow_controlled_length or 0)
                case said.StreamEnded() if event.stream_id in self._live:
                    self._ended.add(event.stream_id)
                case said.StreamEnded() if event.stream_id in self._owed:
                    self._forget(event.stream_id)
                case said.StreamReset() if event.stream_id in self._live or event.stream_id in self._owed:
                    self._forget(event.stream_id)
                    found.append(events.Gone(event.stream_id))
                    if event.remote_reset:
                        self.guard.charge(costs.RESET)
                case said.WindowUpdated():
                    found.append(events.Opened(event.stream_id or 0))
                case said.RemoteSettingsChanged():
                    found.append(events.Opened(0))
                case said.PingAckReceived() if event.ping_data == _PING:
                    found.append(events.Answered())
        self._charge_resets()
        return found

    def _charge_resets(self) -> None:
        """Charge for the resets that were made here since the last time, by h2 or by whomever else."""
        if self._h2.resets:
            self.guard.charge(self._h2.resets * costs.RESET)
            self._h2.resets = 0

    def _end_content(self, event: said.TrailersReceived) -> list[events.Event]:
        try:
            read_trailers(event.headers or ())
        except ProtocolError:
            return self._break(event.stream_id or 0, Code.PROTOCOL_ERROR)
        return []

    def _ask(self, event: said.RequestReceived, size: int) -> list[events.Event]:
        stream, lines = event.stream_id or 0, event.headers or ()
        ended, cost = event.stream_ended is not None, costs.REQUEST + size * costs.DECODED_BYTE
        priority = self._priorities.pop(stream, None)
        self._live.add(stream)
        self.guard.run()
        if ended:
            self._ended.add(stream)
        if stream > self._last or len(self._live) > STREAMS:
            self.reset(stream, Code.REFUSED_STREAM)
            return []
        try:
            request = read_section(lines, size, ended, self._client, self._limits)
        except ProtocolError as error:
            if error.status == 400:
                self._break(stream, Code.PROTOCOL_ERROR)
                return []
            self.guard.charge(costs.REQUEST)
            known = {bytes(name): bytes(value).decode("latin-1") for name, value in lines}
            return [events.Declined(stream, error, known.get(b":method", "-"), known.get(b"accept"), cost)]
        self.guard.charge(costs.REQUEST)
        found: list[events.Event] = [events.Asked(stream, request, cost)]
        return found if priority is None else [*found, events.Reprioritized(stream, priority)]

    def _break(self, stream: int, code: Code) -> list[events.Event]:
        """The client has broken a rule on one stream (section 5.4.2)."""
        if stream > self._h2.highest_inbound_stream_id:
            raise Violation(code, "a frame of a stream that has not begun")
        if stream not in self._live and stream not in self._owed:
            return []
        self.reset(stream, code)
        return [events.Gone(stream)]

    def _drop(self, count: int) -> None:
        """Content is dropped. A stream has one window of it, the connection as many as come."""
        self._content += count
        if self._content >= _OPEN_BYTES:
            self._h2.increment_flow_control_window(self._content)
            self._content = 0
            self.out += self._h2.data_to_send()

    # Out

    def head(self, stream: int, plan: Plan, date: str, ends: bool) -> None:
        """An answer's header section; ``ends``: nothing follows it. Raises PeerGone for a stream that is no more.

        Raises ValueError for a CR, LF or NUL in a field: a fault of whoever made the plan.
        """
        if stream not in self._live:
            raise PeerGone("the client reset the stream")
        if _BREAKS.search("".join([text for pair in plan.fields for text in pair])):
            raise ValueError("a line break or NUL in a response field")
        lines = [(b":status", b"%d" % plan.status), (b"date", date.encode()), (b"server", b"freight")]
        lines += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in plan.fields]
        if answer.delimitation(plan, (1, 0)) is answer.Delimitation.LENGTH:
            lines.append((b"content-length", b"%d" % (plan.length or 0)))
        self._h2.send_headers(stream, lines, end_stream=ends)
        self.out += self._h2.data_to_send()
        if ends:
            self._finish(stream)

    def window(self, stream: int) -> int:
        """How many bytes of content may be sent on a stream now; 0 or less: none."""
        return self._h2.local_flow_control_window(stream) if stream in self._live else 0

    def stream_window(self, stream: int) -> int:
        """How many the stream's own window has room for, whatever that of the connection has."""
        return self._h2.streams[stream].outbound_flow_control_window if stream in self._live else 0

    def spend(self, stream: int, count: int) -> None:
        """DATA frames of ``count`` bytes in all have been begun on a stream: its windows are that much smaller.

        Here and nowhere else: h2 does this when it makes the frames itself.
        """
        self._h2.outbound_flow_control_window -= count
        self._h2.streams[stream].outbound_flow_control_window -= count
        self._delivered = min(self._delivered + 2 * count, _DELIVERED_MOST)
        self.guard.pay(count * costs.DELIVERED_BYTE)

    def end(self, stream: int) -> None:
        """All of an answer has been sent."""
        if stream in self._live:
            self._h2.end_stream(stream)
            self.out += self._h2.data_to_send()
            self._finish(stream)

    def reset(self, stream: int, code: Code) -> None:
        """End a stream at once, if it has not ended."""
        if stream in self._live or stream in self._owed:
            self._forget(stream)
            self.out += self._h2.cut(stream, code)
            self._charge_resets()

    def owed(self, stream: int) -> bool:
        """A stream has its answer, and its client has not said yet that it has sent all."""
        return stream in self._owed

    def let_go(self, stream: int) -> None:
        """What an answered stream is owed nobody wants (section 8.1). To be said a moment after the answer.

        Only then: what the client has sent meanwhile, not knowing of the answer, is judged as ever.
        """
        if stream in self._owed:
            self.reset(stream, Code.NO_ERROR)

    def go_away(self, last: int | None = None) -> None:
        """Say that streams above ``last`` (None: those that have not come yet) are not looked at, and ask for an echo.

        That comes as Answered. To be said twice: what is on its way meanwhile is taken (section 6.8).
        """
        self._last = self._h2.highest_inbound_stream_id if last is None else last
        self.out += frames.goaway(self._last, Code.NO_ERROR)
        if last is not None:
            self.out += frames.pack(Kind.PING, 0, 0, _PING)

    def _finish(self, stream: int) -> None:
        owed = stream not in self._ended
        self.guard.finish()
        self._forget(stream)
        if owed:
            self._owed[stream] = None
            if len(self._owed) > _OWED:
                self.let_go(next(iter(self._owed)))

    def _forget(self, stream: int) -> None:
        if stream in self._live:
            self._live.remove(stream)
            self.guard.stop()
        self._ended.discard(stream)
        self._owed.pop(stream, None)


def _check_frame(frame: Frame, size: int, *, of_stream: bool, at_least: bool = False) -> None:
    if bool(frame.stream) != of_stream:
        raise Violation(Code.PROTOCOL_ERROR, "a frame on the wrong stream")
    if len(frame.payload) < size or (len(frame.payload) > size and not at_least):
        raise Violation(Code.FRAME_SIZE_ERROR, "a frame of the wrong size")
