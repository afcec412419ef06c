"""The receiving side of HTTP/2 by itself: what comes of bytes does not depend on how they were cut."""

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

from freight.errors import PeerGone, Violation
from freight.model import Plan
from freight.wire import events
from freight.wire.frames import Code
from freight.wire.http1 import Inbound, Limits
from freight.wire.http2 import STREAMS, Session
from http2_rules import ASKED, CALM, CLOSED, FLOOD_PARTS, FLOODS, FLOW, HELLO, PROTOCOL, RULES, asked, block, head, word
from speaking import PREFACE, feed, frame, settings, verdict


def read_frames(pieces: Iterable[bytes]) -> tuple[list[events.Event], bytes, int | None]:
    """What is said about these bytes, what is to be sent, and the code it ended with."""
    session = Session("192.0.2.1", Limits())
    found: list[events.Event] = []
    for piece in pieces:
        try:
            found += feed(session, piece)
        except Violation as violation:
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
def test_a_broken_rule_has_its_code(
    said: bytes, judged: tuple[str, int] | None, cut: Callable[[bytes], list[bytes]]
) -> None:
    _, out, code = read_frames(cut(said))
    assert verdict(parsed(out)) == judged
    assert (code is not None) == (judged is not None and judged[0] == "goaway")


@pytest.mark.parametrize("said", [row[1] for row in RULES if row[2] and row[2][0] == "reset"])
def test_the_server_is_told_of_a_stream_that_is_no_more(said: bytes) -> None:
    found, _, _ = read_frames([said])
    begun = {event.stream for event in found if isinstance(event, events.Asked)}
    assert begun == {event.stream for event in found if isinstance(event, events.Gone)}


@pytest.mark.parametrize(("name", "before", "part"), FLOODS, ids=[row[0] for row in FLOODS])
def test_a_flood_ends_with_a_request_for_calm(name: str, before: bytes, part: Callable[[int], bytes]) -> None:
    session = Session("", Limits())
    feed(session, HELLO + before)

    def go_on() -> None:
        for number in range(FLOOD_PARTS):
            feed(session, part(number))

    with pytest.raises(Violation) as caught:
        go_on()
    assert caught.value.code == CALM, name
    assert parsed(bytes(session.out))[-1].error_code == CALM  # type: ignore[attr-defined]


def test_settings_that_are_unknown_are_not_kept() -> None:
    """h2 keeps what it is told: 57 MB for all that there can be."""
    session = Session("", Limits())
    feed(session, HELLO)
    for start in range(9, 65536, 2730):
        feed(session, settings(*[(number, 1) for number in range(start, min(start + 2730, 65536))]))
    feed(session, settings((0xFFFF, 1), (5, 65536)))
    assert len(session._h2.remote_settings) < 16 and session.frame_bytes == 65536


def test_what_is_cheap_is_fair_at_the_pace_of_people() -> None:
    session = Session("", Limits())
    feed(session, HELLO)
    for second in range(3000):
        session.guard.settle(second)
        feed(session, frame(6, payload=bytes(8)) * 10 + settings())


def test_a_window_may_be_opened_little_by_little_by_who_has_had_much_at_once() -> None:
    """As Go does it, 4 KiB at a time, of the stream and of the connection."""
    session = Session("", Limits())
    feed(session, HELLO + asked(ends=False) + frame(8, 0, 1, word(1 << 25)) + frame(8, 0, 0, word(1 << 25)))
    session.head(1, Plan(200), "now", False)
    session.spend(1, 1 << 25)
    feed(session, (frame(8, 0, 1, word(4096)) + frame(8, 0, 0, word(4096))) * (1 << 13))
    assert session.window(1) == 65535 + (1 << 25)


def test_bytes_that_are_taken_pay_for_what_costs_nothing() -> None:
    session = Session("", Limits())
    feed(session, HELLO + asked(ends=False) + frame(8, 0, 1, word(1 << 30)) + frame(8, 0, 0, word(1 << 30)))
    session.head(1, Plan(200), "now", False)
    for _ in range(16_000):
        session.spend(1, 1 << 16)
        feed(session, frame(6, payload=bytes(8)) * 3)


@given(
    st.lists(st.sampled_from([row[1][len(PREFACE) :] for row in RULES] + [asked(), asked(stream=3)]), max_size=5),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_the_cuts_of_the_network_mean_nothing(parts: list[bytes], cuts: list[int]) -> None:
    data = PREFACE + b"".join(parts)
    places = [0, *sorted(cuts), len(data)]
    _, out, code = read_frames([data])
    pieces = [data[start:stop] for start, stop in pairwise(places)]
    assert read_frames(pieces)[1:] == (out, code)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(data: bytes) -> None:
    read_frames([HELLO, data])


@given(
    st.lists(st.tuples(st.integers(0, 17), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=30)), max_size=8)
)
def test_no_frames_are_a_surprise(said: list[tuple[int, int, int, bytes]]) -> None:
    read_frames([HELLO + asked(ends=False), b"".join(frame(*each) for each in said)])


PIECES = [
    asked(ends=False), asked(), asked(("content-length", "2"), ends=False), asked(stream=3),
    head(("a", "b")), head((":path", "/")), head(("a", "b"), ends=False),
    frame(0, 0, 1, b"x"), frame(0, 1, 1, b"x"), frame(0, 1, 3, b"x"), frame(2, 0, 1, word(1) + b"x"),
    frame(3, 0, 1, word(8)), frame(3, 0, 3, word(8)), settings((4, 0)), settings((4, 1 << 20)),
    frame(8, 0, 1, word(1)), frame(8, 0, 1, word(0)), frame(8, 0, 1, word((1 << 31) - 1)),
]  # fmt: skip
ANSWERS = ("head", "whole", "content", "end", "reset", "let go")


@examples(max_examples=1000)
@given(st.lists(st.sampled_from([*PIECES, *[(what, stream) for what in ANSWERS for stream in (1, 3)]]), max_size=14))
def test_nothing_is_a_surprise_whenever_it_is_answered(said: list[bytes | tuple[str, int]]) -> None:
    """The server does what it does with streams that it was asked on, and does not look first whether they are gone."""
    session, plan = Session("", Limits()), Plan(200, length=None)
    feed(session, HELLO)
    begun: dict[int, str] = {}
    for step in said:
        if isinstance(step, bytes):
            try:
                begun |= {event.stream: "" for event in feed(session, step) if isinstance(event, events.Asked)}
            except Violation:
                break
            continue
        what, stream = step
        if stream not in begun:
            continue
        if what in ("head", "whole") and not begun[stream]:
            begun[stream] = what
            with suppress(PeerGone):
                session.head(stream, plan, "now", what == "whole")
        elif what == "content" and begun[stream] == "head" and session.window(stream) > 0:
            session.spend(stream, 1)
        elif what == "end" and begun[stream]:
            session.end(stream)
        elif what == "reset":
            session.reset(stream, Code.CANCEL)
        elif what == "let go":
            session.let_go(stream)
    parsed(bytes(session.out))


def test_a_request_is_the_same_value_as_that_of_http1(cut: Callable[[bytes], list[bytes]]) -> None:
    fields = (("range", "bytes=0-4"), ("if-range", '"x"'), ("x-other", "\xe4"))
    found, _, _ = read_frames(cut(HELLO + asked(*fields)))
    (request,) = [event.request for event in found if isinstance(event, events.Asked)]
    inbound = Inbound("192.0.2.1", Limits())
    inbound.feed(
        b"GET /nothing HTTP/1.1\r\nHost: x\r\n"
        + "".join(f"{n}: {v}\r\n" for n, v in fields).encode("latin-1")
        + b"\r\n"
    )
    same = inbound.next()
    assert isinstance(same, events.Head)
    assert (request.method, request.target, request.fields, request.client) == (
        same.request.method,
        same.request.target,
        same.request.fields,
        same.request.client,
    )
    assert request.version == (2, 0)


def test_http1_gives_way_to_the_preface_and_only_at_the_beginning(cut: Callable[[bytes], list[bytes]]) -> None:
    def read(data: bytes) -> list[object]:
        inbound, found = Inbound("", Limits()), []
        ahead = b""
        for piece in cut(data):
            if found and isinstance(found[-1], events.Preface):
                ahead += piece
                continue
            inbound.feed(piece)
            while (head := inbound.next()) is not None:
                found.append(head)
        assert not found or not isinstance(found[-1], events.Preface) or found[-1].ahead + ahead == data
        return found

    assert [type(each) for each in read(HELLO)] == [events.Preface]
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        read(b"\r\n" + HELLO)
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO)


@pytest.mark.parametrize("line", [b"INVALID CONNECTION PREFACE", b"a b c", b"PRI x H2"])
def test_who_begins_with_a_line_of_neither_wire_is_told_so_in_that_of_http2(
    line: bytes, cut: Callable[[bytes], list[bytes]]
) -> None:
    """RFC 9113 section 3.4: an answer in HTTP/1 would be noise to who meant the preface."""
    inbound, ahead = Inbound("", Limits()), b""
    pieces = iter(cut(line + b"\r\n\r\n"))
    while not ahead:
        inbound.feed(next(pieces))
        if (found := inbound.next()) is not None:
            assert isinstance(found, events.Preface)
            ahead = found.ahead
    assert read_frames([ahead])[2] == Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("fields", "status"),
    [([("x", "y")] * 101, 431), ([("x-long", "y" * 4000)] * 5, 431), ([("content-length", "65537")], 413)],
    ids=["too many fields", "too much of them", "too much content"],
)
def test_what_is_too_much_is_answered_with_its_status(fields: list[tuple[str, str]], status: int) -> None:
    accept = ("accept", "text/html")
    found, _, _ = read_frames([HELLO + frame(1, 4, 1, block(*ASKED, accept, *fields, table=True))])
    (declined,) = [event for event in found if isinstance(event, events.Declined)]
    assert (declined.error.status, declined.method, declined.accept) == (status, "GET", "text/html")


def test_a_target_that_is_too_long_is_answered() -> None:
    found, _, _ = read_frames([HELLO + head(*ASKED[:3], (":path", "/" + "a" * 8192))])
    assert [event.error.status for event in found if isinstance(event, events.Declined)] == [414]


def test_more_streams_than_were_granted_are_refused_and_can_be_asked_again() -> None:
    said = HELLO + b"".join(asked(stream=2 * n + 1, ends=False) for n in range(STREAMS + 1))
    found, out, code = read_frames([said])
    assert code is None and sum(isinstance(event, events.Asked) for event in found) == STREAMS
    assert verdict(parsed(out)) == ("reset", Code.REFUSED_STREAM)


def test_the_windows_are_those_that_h2_keeps_itself() -> None:
    """DATA is not made by h2: should it count otherwise one day, this says so."""
    session, client = Session("", Limits()), H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, ASKED, end_stream=True)
    client.send_headers(3, ASKED, end_stream=True)
    feed(session, client.data_to_send())
    for stream in (1, 3):
        session.head(stream, Plan(200, length=None), "now", False)
    assert session.window(1) == session.window(3) == 65535
    client.receive_data(bytes(session.out) + frame(0, 0, 1, bytes(16384)) + frame(0, 0, 1, bytes(100)))
    session.spend(1, 16484)
    assert session.window(1) == client.remote_flow_control_window(1) == 65535 - 16484
    assert session.window(3) == 65535 - 16484  # the connection's
    assert session.stream_window(3) == 65535
    client.increment_flow_control_window(1000)
    client.increment_flow_control_window(5000, 1)
    feed(session, client.data_to_send())
    assert session.window(1) == client.remote_flow_control_window(1) == 65535 - 16484 + 1000


def test_a_window_may_become_less_than_nothing() -> None:
    """RFC 9113 section 6.9.2."""
    session = Session("", Limits())
    feed(session, HELLO + asked(ends=False))
    session.head(1, Plan(200, length=None), "now", False)
    session.spend(1, 60000)
    feed(session, settings((4, 100)))
    assert session.window(1) == 100 - 60000


def test_an_answer_is_what_a_client_reads() -> None:
    session, client = Session("", Limits()), H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    client.send_headers(1, ASKED, end_stream=True)
    feed(session, client.data_to_send())
    session.head(1, Plan(206, (("ETag", '"x"'),), (b"abc",), 3), "today", False)
    session.spend(1, 3)
    out, _ = bytes(session.out), session.out.clear()
    session.end(1)
    heard = client.receive_data(out + frame(0, 0, 1, b"abc") + bytes(session.out))
    said = {type(event).__name__: event for event in heard}
    assert dict(said["ResponseReceived"].headers) == {  # type: ignore[attr-defined]
        ":status": "206",
        "date": "today",
        "server": "freight",
        "etag": '"x"',
        "content-length": "3",
    }
    assert "StreamEnded" in said and not session.window(1)


@pytest.mark.parametrize("sizes", [(1 << 31,), (0,), (0, 1 << 31), tuple(range(0, 9000, 100))], ids=len)
def test_the_table_of_heads_stays_small_whatever_the_client_allows(sizes: tuple[int, ...]) -> None:
    """Ten thousand lines would be searched for each field of an answer."""
    session, client = Session("", Limits()), Decoder()  # whose table has 4,096 bytes at most
    feed(session, HELLO + b"".join(settings((1, size)) for size in sizes))
    for stream in range(1, 401, 2):
        feed(session, asked(stream=stream))
        session.out.clear()
        session.head(stream, Plan(206, (("Content-Range", f"bytes 0-{stream}/{'9' * 40}"),)), "now", True)
        (made,) = parsed(bytes(session.out))
        assert isinstance(made, HeadersFrame)
        if stream == 1:
            updates = [byte for byte in made.data[:6] if byte >> 5 == 1]
            assert len(updates) <= 2
        assert dict(client.decode(made.data))["content-range"].startswith(f"bytes 0-{stream}/")


def test_an_answer_never_breaks_its_head() -> None:
    session = Session("", Limits())
    feed(session, HELLO + asked())
    with pytest.raises(ValueError, match="line break"):
        session.head(1, Plan(200, (("X", "a\r\nb: c"),)), "now", True)


def test_a_stream_that_was_reset_is_not_answered() -> None:
    session = Session("", Limits())
    found = feed(session, HELLO + asked() + frame(3, 0, 1, word(8)))
    assert events.Gone(1) in found
    with pytest.raises(PeerGone):
        session.head(1, Plan(200), "now", True)
    session.end(1)  # nothing is said about it any more
    session.reset(1, Code.CANCEL)
    assert verdict(parsed(bytes(session.out))) is None


def answer_early(stream: int = 1, *fields: tuple[str, str]) -> Session:
    """A session with an answer that is out before the request's content has come."""
    session = Session("", Limits())
    feed(session, HELLO + asked(*fields, stream=stream, ends=False))
    session.head(stream, Plan(200, length=0), "now", True)
    return session


def test_content_that_nobody_wants_is_let_go_a_moment_after_the_answer() -> None:
    """RFC 9113 section 8.1: with a reset that is no error."""
    session = answer_early()
    feed(session, frame(0, 0, 1, b"x"))
    assert session.owed(1) and verdict(parsed(bytes(session.out))) is None
    session.let_go(1)
    assert not session.owed(1) and verdict(parsed(bytes(session.out))) == ("reset", Code.NO_ERROR)


@pytest.mark.parametrize(
    "said", [frame(0, 1, 1, b"x"), head(("a", "b")), frame(3, 0, 1, word(8))], ids=["content", "trailers", "a reset"]
)
def test_who_has_sent_all_behind_the_answer_is_not_reset(said: bytes) -> None:
    session = answer_early()
    feed(session, said)
    assert not session.owed(1)
    session.let_go(1)
    assert verdict(parsed(bytes(session.out))) is None


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        (frame(0, 1, 1, b"xy"), ("goaway", PROTOCOL)),  # more than its length
        (head(("a", "b"), ends=False), ("goaway", PROTOCOL)),
        (head((":path", "/")), ("reset", PROTOCOL)),
        (frame(8, 0, 1, word(0)), ("reset", PROTOCOL)),
        (frame(8, 0, 1, word((1 << 31) - 1)), ("reset", FLOW)),
        (frame(3, 0, 1, word(8)) + frame(0, 0, 1, b"x"), ("reset", CLOSED)),
        (frame(0, 1, 1, b"x") + frame(0, 0, 1, b"x"), ("goaway", CLOSED)),
    ],
)
def test_a_rule_that_is_broken_behind_the_answer_is_judged_as_before_it(said: bytes, judged: tuple[str, int]) -> None:
    session = answer_early(1, ("content-length", "1"))
    with suppress(Violation):
        feed(session, said)
    assert verdict(parsed(bytes(session.out))) == judged


def test_whatever_is_done_about_streams_behind_a_violation_means_nothing() -> None:
    session = Session("", Limits())
    feed(session, HELLO + asked(stream=5) + asked(stream=7, ends=False))
    session.head(7, Plan(200, length=None), "now", False)
    with pytest.raises(Violation):
        feed(session, asked(stream=3))
    out = bytes(session.out)
    for stream in (5, 7):
        with pytest.raises(PeerGone):
            session.head(stream, Plan(200), "now", True)
        session.end(stream)
        session.reset(stream, Code.CANCEL)
        assert session.window(stream) == 0
    assert bytes(session.out) == out


def test_few_streams_are_waited_for_behind_their_answers() -> None:
    session = answer_early()
    for stream in range(3, 41, 2):
        feed(session, asked(stream=stream, ends=False))
        session.head(stream, Plan(200, length=0), "now", True)
    resets = [made.stream_id for made in parsed(bytes(session.out)) if isinstance(made, RstStreamFrame)]
    assert resets == list(range(1, 25, 2)) and all(session.owed(stream) for stream in range(25, 41, 2))


@pytest.mark.parametrize("said", [frame(0, 0, 1, b"x"), asked()], ids=["DATA", "HEADERS"])
def test_who_goes_on_behind_its_end_and_ours_ends_the_connection(said: bytes) -> None:
    """RFC 7540 section 5.1; RFC 9113 allows it."""
    session = Session("", Limits())
    feed(session, HELLO + asked())
    session.head(1, Plan(200, length=0), "now", True)
    with pytest.raises(Violation) as caught:
        feed(session, said)
    assert caught.value.code == CLOSED


def test_content_opens_the_window_of_the_connection_and_not_that_of_its_stream() -> None:
    session = Session("", Limits())
    feed(session, HELLO + asked(ends=False))
    session.out.clear()
    feed(session, frame(0, 0, 1, bytes(16384)) * 3)
    assert [(made.stream_id, made.window_increment) for made in parsed(bytes(session.out))] == [(0, 16384)] * 3  # type: ignore[attr-defined]


def test_a_priority_may_come_before_its_stream_and_behind_it() -> None:
    """RFC 9218 section 7.1."""
    found, _, _ = read_frames(
        [HELLO + frame(16, 0, 0, word(1) + b"u=1") + asked() + frame(16, 0, 0, word(1) + b"u=7, i")]
    )
    said = [event for event in found if isinstance(event, events.Reprioritized)]
    assert said == [events.Reprioritized(1, "u=1"), events.Reprioritized(1, "u=7, i")]


def test_who_leaves_in_two_steps_takes_what_is_on_its_way() -> None:
    """RFC 9113 section 6.8."""
    session = Session("", Limits())
    feed(session, HELLO)
    session.go_away(2**31 - 1)
    assert any(isinstance(event, events.Asked) for event in feed(session, asked()))
    found = feed(session, frame(6, 1, 0, b"freight\0"))
    assert found == [events.Answered()]
    session.go_away()
    session.out.clear()
    assert feed(session, asked(stream=3)) == []
    assert verdict(parsed(bytes(session.out))) == ("reset", Code.REFUSED_STREAM)


def test_streams_that_have_ended_are_forgotten() -> None:
    session = Session("", Limits())
    feed(session, HELLO)
    for stream in range(1, 3001, 2):
        feed(session, asked(stream=stream))
        session.head(stream, Plan(404, length=0), "now", True)
    assert len(session._h2.streams) <= 2 and len(session._h2._closed_streams) <= 256


def test_a_large_frame_is_offered_and_not_asked_for() -> None:
    session = Session("", Limits())
    feed(session, PREFACE + settings((5, 1 << 20)))
    assert session.frame_bytes == 64 * 1024


def test_over_tls_the_preface_alone_says_nothing() -> None:
    """RFC 9113 section 3.2: there ALPN says it."""
    inbound = Inbound("", Limits(), "https")
    inbound.feed(HELLO)
    with pytest.raises(Exception, match=r"only HTTP/1\.0 and HTTP/1\.1"):
        inbound.next()


def test_a_block_of_fields_may_come_in_parts(cut: Callable[[bytes], list[bytes]]) -> None:
    data = block(*ASKED)
    said = HELLO + frame(1, 1, 1, data[:3]) + frame(9, 0, 1, data[3:4]) + frame(9, 4, 1, data[4:])
    found, _, code = read_frames(cut(said))
    assert code is None and [event.request.target for event in found if isinstance(event, events.Asked)] == ["/nothing"]
