"""The HTTP/2 session by itself: rules, floods, responses; the result does not depend on how the bytes are split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Decoder
from hyperframe.frame import Frame, HeadersFrame, RstStreamFrame
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from freight.errors import ClientDisconnected, Http2ConnectionError
from freight.model import Plan
from freight.wire import events
from freight.wire.http1.parser import Limits, RequestParser
from freight.wire.http2.frames import ErrorCode
from freight.wire.http2.session import MAX_STREAMS, Session
from support.http2_rules import (
    CALM,
    CLOSED,
    FLOOD_PARTS,
    FLOODS,
    FLOW,
    HELLO,
    PROTOCOL,
    REQUEST,
    RULES,
    block,
    get,
    headers,
    u32,
)
from support.raw_h2 import PREFACE, feed, frame, settings, verdict


def read_frames(pieces: Iterable[bytes]) -> tuple[list[events.Event], bytes, int | None]:
    """Return the events of these bytes, the bytes to send, and the code of the connection error, if there was one."""
    session = Session("192.0.2.1", Limits())
    found: list[events.Event] = []
    for piece in pieces:
        try:
            found += feed(session, piece)
        except Http2ConnectionError as violation:
            return found, bytes(session.out), violation.code
    return found, bytes(session.out), None


def parsed(data: bytes) -> list[Frame]:
    found = []
    while data:
        made, length = Frame.parse_frame_header(memoryview(data[:9]))
        made.parse_body(memoryview(data[9 : 9 + length]))
        data = data[9 + length :]
        found.append(made)
    return found


@pytest.mark.parametrize(("said", "judged"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_a_violation_has_its_error_code(
    said: bytes, judged: tuple[str, int] | None, cut: Callable[[bytes], list[bytes]]
) -> None:
    _, out, code = read_frames(cut(said))
    assert verdict(parsed(out)) == judged
    assert (code is not None) == (judged is not None and judged[0] == "goaway")


@pytest.mark.parametrize("said", [row[1] for row in RULES if row[2] and row[2][0] == "reset"])
def test_a_reset_of_a_stream_with_a_request_is_an_event(said: bytes) -> None:
    found, _, _ = read_frames([said])
    begun = {event.stream for event in found if isinstance(event, events.RequestReceived)}
    assert begun == {event.stream for event in found if isinstance(event, events.StreamReset)}


@pytest.mark.parametrize(("name", "before", "part"), FLOODS, ids=[row[0] for row in FLOODS])
def test_a_flood_ends_with_enhance_your_calm(name: str, before: bytes, part: Callable[[int], bytes]) -> None:
    session = Session("", Limits())
    feed(session, HELLO + before)

    def flood() -> None:
        for number in range(FLOOD_PARTS):
            feed(session, part(number))

    with pytest.raises(Http2ConnectionError) as caught:
        flood()
    assert caught.value.code == CALM, name
    assert parsed(bytes(session.out))[-1].error_code == CALM  # type: ignore[attr-defined]


def test_unknown_settings_are_not_kept() -> None:
    """h2 keeps every setting: 57 MB for all that exist."""
    session = Session("", Limits())
    feed(session, HELLO)
    for start in range(9, 65536, 2730):
        feed(session, settings(*[(number, 1) for number in range(start, min(start + 2730, 65536))]))
    feed(session, settings((0xFFFF, 1), (5, 65536)))
    assert len(session._h2.remote_settings) < 16 and session.frame_bytes == 65536


def test_cheap_frames_at_a_low_rate_are_free() -> None:
    session = Session("", Limits())
    feed(session, HELLO)
    for second in range(3000):
        session.charges.settle(second)
        feed(session, frame(6, payload=bytes(8)) * 10 + settings())


def of_stream(number: int, size: int) -> bytes:
    return frame(8, 0, number, u32(size))


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (of_stream(0, 9000) + of_stream(1, 8000), [0, 1]),
        (of_stream(1, 8000) + of_stream(1, 8000) + frame(6, 0, 0, bytes(8)), [1, 1]),
        (frame(6, 0, 0, bytes(8)) + of_stream(1, 8000), []),  # the PING goes first
        (of_stream(1, 8000) + of_stream(1, 9000)[:-1], [1]),  # the rest of it may follow
        (of_stream(3, 8000), []),  # an idle stream
        (of_stream(1, 2**31 - 1), []),  # too much for a window
        (of_stream(1, 0), []),
        (of_stream(1, 1000), []),  # too small to be free
        (of_stream(1, 400_000), []),  # more than was delivered
        (frame(8, 0, 1, bytes(5)), []),
        (frame(0, 0, 1, bytes(4)), []),
    ],
)
def test_free_window_updates_do_what_they_do_by_way_of_h2(data: bytes, taken: list[int]) -> None:
    """What is not free, or breaks a rule, is left to h2."""

    def delivered() -> Session:
        session = Session("192.0.2.1", Limits())
        feed(session, HELLO + get() + of_stream(0, 1 << 20) + of_stream(1, 1 << 20))
        session.consume_window(1, 100_000)
        session.out.clear()
        return session

    direct, by_h2 = delivered(), delivered()
    rest, opened = direct.take_window_updates(data)
    assert (opened, data.endswith(rest)) == (taken, True)
    outcomes = []
    for session, left in ((direct, rest), (by_h2, data)):
        with suppress(Http2ConnectionError):
            feed(session, left)
        outcomes.append((session.send_window(1), session.stream_window(1), bytes(session.out)))
    assert outcomes[0] == outcomes[1]


def test_within_a_frame_or_a_field_block_no_window_update_is_taken_ahead() -> None:
    update = of_stream(0, 8000) + of_stream(1, 8000)
    for before in (PREFACE[:5], PREFACE, HELLO + get()[:4], HELLO + frame(1, 1, 1, block(*REQUEST))):
        session = Session("192.0.2.1", Limits())
        with suppress(Http2ConnectionError):
            feed(session, before)
        assert session.take_window_updates(update) == (update, [])


def test_small_window_updates_for_delivered_content_are_free() -> None:
    """Go sends one for each 4 KiB, for the stream and for the connection."""
    session = Session("", Limits())
    feed(session, HELLO + get(ends=False) + frame(8, 0, 1, u32(1 << 25)) + frame(8, 0, 0, u32(1 << 25)))
    session.send_head(1, Plan(200), "now", False)
    session.consume_window(1, 1 << 25)
    feed(session, (frame(8, 0, 1, u32(4096)) + frame(8, 0, 0, u32(4096))) * (1 << 13))
    assert session.send_window(1) == 65535 + (1 << 25)


def test_delivered_bytes_pay_for_cheap_frames() -> None:
    session = Session("", Limits())
    feed(session, HELLO + get(ends=False) + frame(8, 0, 1, u32(1 << 30)) + frame(8, 0, 0, u32(1 << 30)))
    session.send_head(1, Plan(200), "now", False)
    for _ in range(16_000):
        session.consume_window(1, 1 << 16)
        feed(session, frame(6, payload=bytes(8)) * 3)


@given(
    st.lists(st.sampled_from([row[1][len(PREFACE) :] for row in RULES] + [get(), get(stream=3)]), max_size=5),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_the_verdict_does_not_depend_on_how_the_bytes_are_split(parts: list[bytes], cuts: list[int]) -> None:
    data = PREFACE + b"".join(parts)
    places = [0, *sorted(cuts), len(data)]
    _, out, code = read_frames([data])
    pieces = [data[start:stop] for start, stop in pairwise(places)]
    assert read_frames(pieces)[1:] == (out, code)


@given(st.binary(max_size=200))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    read_frames([HELLO, data])


@given(
    st.lists(st.tuples(st.integers(0, 17), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=30)), max_size=8)
)
def test_no_frames_raise_another_error(said: list[tuple[int, int, int, bytes]]) -> None:
    read_frames([HELLO + get(ends=False), b"".join(frame(*each) for each in said)])


PIECES = [
    get(ends=False), get(), get(("content-length", "2"), ends=False), get(stream=3),
    headers(("a", "b")), headers((":path", "/")), headers(("a", "b"), ends=False),
    frame(0, 0, 1, b"x"), frame(0, 1, 1, b"x"), frame(0, 1, 3, b"x"), frame(2, 0, 1, u32(1) + b"x"),
    frame(3, 0, 1, u32(8)), frame(3, 0, 3, u32(8)), settings((4, 0)), settings((4, 1 << 20)),
    frame(8, 0, 1, u32(1)), frame(8, 0, 1, u32(0)), frame(8, 0, 1, u32((1 << 31) - 1)),
]  # fmt: skip
ANSWERS = ("head", "whole", "content", "end", "reset", "release")


@examples(max_examples=1000)
@given(st.lists(st.sampled_from([*PIECES, *[(what, stream) for what in ANSWERS for stream in (1, 3)]]), max_size=14))
def test_a_response_at_any_time_raises_no_other_error(said: list[bytes | tuple[str, int]]) -> None:
    """The server acts on streams without checking whether they have been reset."""
    session, plan = Session("", Limits()), Plan(200, length=None)
    feed(session, HELLO)
    begun: dict[int, str] = {}
    for step in said:
        if isinstance(step, bytes):
            try:
                begun |= {
                    event.stream: "" for event in feed(session, step) if isinstance(event, events.RequestReceived)
                }
            except Http2ConnectionError:
                break
            continue
        what, stream = step
        if stream not in begun:
            continue
        if what in ("head", "whole") and not begun[stream]:
            begun[stream] = what
            with suppress(ClientDisconnected):
                session.send_head(stream, plan, "now", what == "whole")
        elif what == "content" and begun[stream] == "head" and session.send_window(stream) > 0:
            session.consume_window(stream, 1)
        elif what == "end" and begun[stream]:
            session.end_stream(stream)
        elif what == "reset":
            session.reset_stream(stream, ErrorCode.CANCEL)
        elif what == "release":
            session.release_stream(stream)
    parsed(bytes(session.out))


FIELDS = (("range", "bytes=0-4"), ("if-range", '"x"'), ("x-other", "\xe4"))


@pytest.mark.parametrize(
    ("frames", "line", "fields"),
    [
        (get(*FIELDS), "GET /nothing HTTP/1.1\r\nHost: x", FIELDS),
        (
            headers((":method", "OPTIONS"), *REQUEST[1:3], (":path", "*")),
            "OPTIONS * HTTP/1.1\r\nHost: x",
            (),
        ),
        (
            headers((":method", "CONNECT"), (":authority", "y:443")),
            "CONNECT y:443 HTTP/1.1\r\nHost: y:443",
            (),
        ),
    ],
    ids=["GET", "OPTIONS", "CONNECT"],
)
def test_a_request_equals_that_of_http1(
    frames: bytes, line: str, fields: tuple[tuple[str, str], ...], cut: Callable[[bytes], list[bytes]]
) -> None:
    found, _, _ = read_frames(cut(HELLO + frames))
    (request,) = [event.request for event in found if isinstance(event, events.RequestReceived)]
    parser = RequestParser("192.0.2.1", Limits())
    parser.feed("".join([f"{line}\r\n", *(f"{n}: {v}\r\n" for n, v in fields), "\r\n"]).encode("latin-1"))
    same = parser.next()
    assert isinstance(same, events.Head)
    assert (request.method, request.target, request.fields, request.client) == (
        same.request.method,
        same.request.target,
        same.request.fields,
        same.request.client,
    )
    assert request.version == (2, 0)


def test_the_http1_parser_recognizes_the_preface_only_at_the_start(cut: Callable[[bytes], list[bytes]]) -> None:
    def read(data: bytes) -> list[object]:
        parser, found = RequestParser("", Limits()), []
        ahead = b""
        for piece in cut(data):
            if found and isinstance(found[-1], events.Preface):
                ahead += piece
                continue
            parser.feed(piece)
            while (head := parser.next()) is not None:
                found.append(head)
        assert not found or not isinstance(found[-1], events.Preface) or found[-1].received + ahead == data
        return found

    assert [type(each) for each in read(HELLO)] == [events.Preface]
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        read(b"\r\n" + HELLO)
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO)


@pytest.mark.parametrize("line", [b"INVALID CONNECTION PREFACE", b"a b c", b"PRI x H2"])
def test_a_first_line_of_neither_protocol_gets_an_http2_error(line: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    """RFC 9113 section 3.4: a client that meant the preface could not read an HTTP/1 response."""
    parser, ahead = RequestParser("", Limits()), b""
    pieces = iter(cut(line + b"\r\n\r\n"))
    while not ahead:
        parser.feed(next(pieces))
        if (found := parser.next()) is not None:
            assert isinstance(found, events.Preface)
            ahead = found.received
    assert read_frames([ahead])[2] == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("fields", "status"),
    [([("x", "y")] * 101, 431), ([("x-long", "y" * 4000)] * 5, 431), ([("content-length", "65537")], 413)],
    ids=["too many fields", "too much of them", "too much content"],
)
def test_a_request_over_a_limit_is_answered_with_its_status(fields: list[tuple[str, str]], status: int) -> None:
    accept = ("accept", "text/html")
    found, _, _ = read_frames([HELLO + frame(1, 4, 1, block(*REQUEST, accept, *fields, table=True))])
    (declined,) = [event for event in found if isinstance(event, events.RequestRefused)]
    assert (declined.error.status, declined.method, declined.accept) == (status, "GET", "text/html")


def test_a_target_that_is_too_long_is_answered() -> None:
    found, _, _ = read_frames([HELLO + headers(*REQUEST[:3], (":path", "/" + "a" * 8192))])
    assert [event.error.status for event in found if isinstance(event, events.RequestRefused)] == [414]


def test_streams_over_the_limit_are_refused_so_that_a_retry_is_safe() -> None:
    said = HELLO + b"".join(get(stream=2 * n + 1, ends=False) for n in range(MAX_STREAMS + 1))
    found, out, code = read_frames([said])
    assert code is None and sum(isinstance(event, events.RequestReceived) for event in found) == MAX_STREAMS
    assert verdict(parsed(out)) == ("reset", ErrorCode.REFUSED_STREAM)


def test_the_windows_agree_with_those_of_an_h2_client() -> None:
    """The session changes h2's windows itself, because h2 does not make the DATA frames."""
    session, client = Session("", Limits()), H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, REQUEST, end_stream=True)
    client.send_headers(3, REQUEST, end_stream=True)
    feed(session, client.data_to_send())
    for stream in (1, 3):
        session.send_head(stream, Plan(200, length=None), "now", False)
    assert session.send_window(1) == session.send_window(3) == 65535
    client.receive_data(bytes(session.out) + frame(0, 0, 1, bytes(16384)) + frame(0, 0, 1, bytes(100)))
    session.consume_window(1, 16484)
    assert session.send_window(1) == client.remote_flow_control_window(1) == 65535 - 16484
    assert session.send_window(3) == 65535 - 16484  # the connection's
    assert session.stream_window(3) == 65535
    client.increment_flow_control_window(1000)
    client.increment_flow_control_window(5000, 1)
    feed(session, client.data_to_send())
    assert session.send_window(1) == client.remote_flow_control_window(1) == 65535 - 16484 + 1000


def test_a_window_may_become_negative() -> None:
    """RFC 9113 section 6.9.2."""
    session = Session("", Limits())
    feed(session, HELLO + get(ends=False))
    session.send_head(1, Plan(200, length=None), "now", False)
    session.consume_window(1, 60000)
    feed(session, settings((4, 100)))
    assert session.send_window(1) == 100 - 60000


def test_a_client_reads_the_response_that_was_planned() -> None:
    session, client = Session("", Limits()), H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    client.send_headers(1, REQUEST, end_stream=True)
    feed(session, client.data_to_send())
    session.send_head(1, Plan(206, (("ETag", '"x"'),), (b"abc",), 3), "today", False)
    session.consume_window(1, 3)
    out, _ = bytes(session.out), session.out.clear()
    session.end_stream(1)
    heard = client.receive_data(out + frame(0, 0, 1, b"abc") + bytes(session.out))
    said = {type(event).__name__: event for event in heard}
    assert dict(said["ResponseReceived"].headers) == {  # type: ignore[attr-defined]
        ":status": "206",
        "date": "today",
        "server": "freight",
        "etag": '"x"',
        "content-length": "3",
    }
    assert "StreamEnded" in said and not session.send_window(1)


@pytest.mark.parametrize("sizes", [(1 << 31,), (0,), (0, 1 << 31), tuple(range(0, 9000, 100))], ids=len)
def test_the_hpack_table_stays_small_whatever_the_client_allows(sizes: tuple[int, ...]) -> None:
    """hpack would search ten thousand entries for each field of a response."""
    session, client = Session("", Limits()), Decoder()  # whose table has 4,096 bytes at most
    feed(session, HELLO + b"".join(settings((1, size)) for size in sizes))
    for stream in range(1, 401, 2):
        feed(session, get(stream=stream))
        session.out.clear()
        session.send_head(stream, Plan(206, (("Content-Range", f"bytes 0-{stream}/{'9' * 40}"),)), "now", True)
        (made,) = parsed(bytes(session.out))
        assert isinstance(made, HeadersFrame)
        if stream == 1:
            updates = [byte for byte in made.data[:6] if byte >> 5 == 1]
            assert len(updates) <= 2
        assert dict(client.decode(made.data))["content-range"].startswith(f"bytes 0-{stream}/")


def test_a_field_with_a_line_break_is_never_sent() -> None:
    session = Session("", Limits())
    feed(session, HELLO + get())
    with pytest.raises(ValueError, match="line break"):
        session.send_head(1, Plan(200, (("X", "a\r\nb: c"),)), "now", True)


def test_a_stream_that_was_reset_is_not_answered() -> None:
    session = Session("", Limits())
    found = feed(session, HELLO + get() + frame(3, 0, 1, u32(8)))
    assert events.StreamReset(1) in found
    with pytest.raises(ClientDisconnected):
        session.send_head(1, Plan(200), "now", True)
    session.end_stream(1)  # sends nothing
    session.reset_stream(1, ErrorCode.CANCEL)
    assert verdict(parsed(bytes(session.out))) is None


def answer_early(stream: int = 1, *fields: tuple[str, str]) -> Session:
    """A session that has responded before the request's content has come."""
    session = Session("", Limits())
    feed(session, HELLO + get(*fields, stream=stream, ends=False))
    session.send_head(stream, Plan(200, length=0), "now", True)
    return session


def test_a_half_closed_stream_is_released_after_the_response() -> None:
    """RFC 9113 section 8.1: by RST_STREAM with NO_ERROR."""
    session = answer_early()
    feed(session, frame(0, 0, 1, b"x"))
    assert session.is_half_closed(1) and verdict(parsed(bytes(session.out))) is None
    session.release_stream(1)
    assert not session.is_half_closed(1) and verdict(parsed(bytes(session.out))) == ("reset", ErrorCode.NO_ERROR)


@pytest.mark.parametrize(
    "said", [frame(0, 1, 1, b"x"), headers(("a", "b")), frame(3, 0, 1, u32(8))], ids=["content", "trailers", "a reset"]
)
def test_a_stream_whose_request_ends_after_the_response_is_not_reset(said: bytes) -> None:
    session = answer_early()
    feed(session, said)
    assert not session.is_half_closed(1)
    session.release_stream(1)
    assert verdict(parsed(bytes(session.out))) is None


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        (frame(0, 1, 1, b"xy"), ("goaway", PROTOCOL)),  # more than its length
        (headers(("a", "b"), ends=False), ("goaway", PROTOCOL)),
        (headers((":path", "/")), ("reset", PROTOCOL)),
        (frame(8, 0, 1, u32(0)), ("reset", PROTOCOL)),
        (frame(8, 0, 1, u32((1 << 31) - 1)), ("reset", FLOW)),
        (frame(3, 0, 1, u32(8)) + frame(0, 0, 1, b"x"), ("reset", CLOSED)),
        (frame(0, 1, 1, b"x") + frame(0, 0, 1, b"x"), ("goaway", CLOSED)),
    ],
)
def test_a_violation_after_the_response_is_judged_as_before_it(said: bytes, judged: tuple[str, int]) -> None:
    session = answer_early(1, ("content-length", "1"))
    with suppress(Http2ConnectionError):
        feed(session, said)
    assert verdict(parsed(bytes(session.out))) == judged


def test_calls_for_streams_after_a_connection_error_have_no_effect() -> None:
    session = Session("", Limits())
    feed(session, HELLO + get(stream=5) + get(stream=7, ends=False))
    session.send_head(7, Plan(200, length=None), "now", False)
    with pytest.raises(Http2ConnectionError):
        feed(session, get(stream=3))
    out = bytes(session.out)
    for stream in (5, 7):
        with pytest.raises(ClientDisconnected):
            session.send_head(stream, Plan(200), "now", True)
        session.end_stream(stream)
        session.reset_stream(stream, ErrorCode.CANCEL)
        assert session.send_window(stream) == 0
    assert bytes(session.out) == out


def test_the_number_of_half_closed_streams_is_bounded() -> None:
    session = answer_early()
    for stream in range(3, 41, 2):
        feed(session, get(stream=stream, ends=False))
        session.send_head(stream, Plan(200, length=0), "now", True)
    resets = [made.stream_id for made in parsed(bytes(session.out)) if isinstance(made, RstStreamFrame)]
    assert resets == list(range(1, 25, 2)) and all(session.is_half_closed(stream) for stream in range(25, 41, 2))


@pytest.mark.parametrize("said", [frame(0, 0, 1, b"x"), get()], ids=["DATA", "HEADERS"])
def test_a_frame_on_a_closed_stream_ends_the_connection(said: bytes) -> None:
    """RFC 7540 section 5.1; RFC 9113 allows it."""
    session = Session("", Limits())
    feed(session, HELLO + get())
    session.send_head(1, Plan(200, length=0), "now", True)
    with pytest.raises(Http2ConnectionError) as caught:
        feed(session, said)
    assert caught.value.code == CLOSED


def test_content_updates_the_window_of_the_connection_and_not_of_its_stream() -> None:
    session = Session("", Limits())
    feed(session, HELLO + get(ends=False))
    session.out.clear()
    feed(session, frame(0, 0, 1, bytes(16384)) * 3)
    assert [(made.stream_id, made.window_increment) for made in parsed(bytes(session.out))] == [(0, 16384)] * 3  # type: ignore[attr-defined]


def test_a_priority_update_may_come_before_the_request_and_after_it() -> None:
    """RFC 9218 section 7.1."""
    found, _, _ = read_frames([HELLO + frame(16, 0, 0, u32(1) + b"u=1") + get() + frame(16, 0, 0, u32(1) + b"u=7, i")])
    said = [event for event in found if isinstance(event, events.Reprioritized)]
    assert said == [events.Reprioritized(1, "u=1"), events.Reprioritized(1, "u=7, i")]


def test_a_shutdown_in_two_steps_accepts_requests_on_their_way() -> None:
    """RFC 9113 section 6.8."""
    session = Session("", Limits())
    feed(session, HELLO)
    session.send_goaway(2**31 - 1)
    assert any(isinstance(event, events.RequestReceived) for event in feed(session, get()))
    found = feed(session, frame(6, 1, 0, b"freight\0"))
    assert found == [events.PingAcknowledged()]
    session.send_goaway()
    session.out.clear()
    assert feed(session, get(stream=3)) == []
    assert verdict(parsed(bytes(session.out))) == ("reset", ErrorCode.REFUSED_STREAM)


def test_streams_that_have_ended_are_forgotten() -> None:
    session = Session("", Limits())
    feed(session, HELLO)
    for stream in range(1, 3001, 2):
        feed(session, get(stream=stream))
        session.send_head(stream, Plan(404, length=0), "now", True)
    assert len(session._h2.streams) <= 2 and len(session._h2._closed_streams) <= 256


def test_frames_are_at_most_64_kib_whatever_the_client_allows() -> None:
    session = Session("", Limits())
    feed(session, PREFACE + settings((5, 1 << 20)))
    assert session.frame_bytes == 64 * 1024


def test_over_tls_the_preface_alone_does_not_select_http2() -> None:
    """RFC 9113 section 3.2: ALPN does."""
    parser = RequestParser("", Limits(), "https")
    parser.feed(HELLO)
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        parser.next()


def test_a_field_block_may_come_in_parts(cut: Callable[[bytes], list[bytes]]) -> None:
    data = block(*REQUEST)
    said = HELLO + frame(1, 1, 1, data[:3]) + frame(9, 0, 1, data[3:4]) + frame(9, 4, 1, data[4:])
    found, _, code = read_frames(cut(said))
    assert code is None and [event.request.target for event in found if isinstance(event, events.RequestReceived)] == [
        "/nothing"
    ]
