"""Splitting bytes into frames, and laying out DATA frames in a buffer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import Http2ConnectionError
from freight.wire.http2 import frames
from freight.wire.http2.frames import ErrorCode, Frame, FrameDecoder, FrameType
from support.raw_h2 import PREFACE, frame


def split(*pieces: bytes) -> list[Frame]:
    decoder, found = FrameDecoder(), []
    for piece in pieces:
        decoder.feed(piece)
        while (each := decoder.next()) is not None:
            found.append(each)
    return found


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(0, 150), max_size=5))
def test_frames_are_found_however_the_bytes_were_split(payloads: list[bytes], cuts: list[int]) -> None:
    data = PREFACE + b"".join(frame(6, 1, 3, payload) for payload in payloads)
    places = [0, *sorted(cuts), len(data)]
    assert [each.payload for each in split(*(data[start:stop] for start, stop in pairwise(places)))] == payloads


def test_a_frame_that_is_too_large_is_refused_before_its_payload_has_come() -> None:
    with pytest.raises(Http2ConnectionError) as caught:
        split(PREFACE + frame(0, 0, 1, bytes(frames.MAX_RECEIVED_PAYLOAD + 1))[:9])
    assert caught.value.code == ErrorCode.FRAME_SIZE_ERROR


def test_something_else_than_the_preface_is_refused_at_its_first_byte() -> None:
    with pytest.raises(Http2ConnectionError):
        split(b"G")


@given(st.integers(1, 100_000), st.sampled_from([16384, 65536]), st.integers(0, 100))
def test_the_buffer_holds_the_payload_in_frames(count: int, size: int, at: int) -> None:
    laid_out = frames.FrameBuffer(at + count + 9 * -(-count // size))
    places, stop = laid_out.lay_out(at, 5, count, size)
    buffer = laid_out.buffer
    content = bytes(number % 251 for number in range(count))
    start = 0
    for place in places:
        place[:] = content[start : start + len(place)]
        start += len(place)
    assert start == count and stop == len(buffer)
    found = split(PREFACE + bytes(buffer[at:])) if size == 16384 else []
    assert b"".join(each.payload for each in found) == (content if found else b"")
    assert {(each.kind, each.flags, each.stream) for each in found} <= {(FrameType.DATA, 0, 5)}


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 3]), st.sampled_from([9, 100, 16384, 20000]))))
def test_an_earlier_layout_leaves_no_trace(calls: list[tuple[int, int, int]]) -> None:
    laid_out = frames.FrameBuffer(20_100)
    for at, stream, count in calls:
        laid_out.buffer[:at] = b"x" * at  # the bytes before the frames
        places, stop = laid_out.lay_out(at, stream, count, 16384)
        for place in places:
            place[:] = bytes([stream]) * len(place)
        found = split(PREFACE + bytes(laid_out.buffer[at:stop]))
        assert [(each.stream, each.flags, each.kind) for each in found] == [(stream, 0, FrameType.DATA)] * len(found)
        assert b"".join(each.payload for each in found) == bytes([stream]) * count


@given(st.integers(0, 300_000), st.sampled_from([16384, 65536]))
def test_the_capacity_is_the_most_that_fits(space: int, size: int) -> None:
    count = frames.content_capacity(space, size)
    assert count + 9 * -(-count // size) <= space
    more = count + 1
    assert more + 9 * -(-more // size) > space


@given(st.integers(1, 200_000), st.data())
def test_started_frames_are_whole_frames_and_no_more(count: int, data: st.DataObject) -> None:
    size = 16384
    whole = count + 9 * -(-count // size)
    sent = data.draw(st.integers(0, whole))
    payload, wire = frames.bytes_in_started_frames(sent, count, size)
    assert sent <= wire <= whole and wire - sent < size + 9
    assert payload == count or payload % size == 0
    assert wire == payload + 9 * -(-payload // size)
    assert (payload == 0) == (sent == 0)
