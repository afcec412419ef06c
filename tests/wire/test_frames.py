"""Frames cut out of bytes, and DATA laid out around what a file is read into."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import Violation
from freight.wire import frames
from freight.wire.frames import Code, Frame, Kind, Splitter
from speaking import PREFACE, frame


def split(*pieces: bytes) -> list[Frame]:
    splitter, found = Splitter(), []
    for piece in pieces:
        splitter.feed(piece)
        while (each := splitter.next()) is not None:
            found.append(each)
    return found


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(0, 150), max_size=5))
def test_frames_are_found_however_they_were_cut(payloads: list[bytes], cuts: list[int]) -> None:
    data = PREFACE + b"".join(frame(6, 1, 3, payload) for payload in payloads)
    places = [0, *sorted(cuts), len(data)]
    assert [each.payload for each in split(*(data[start:stop] for start, stop in pairwise(places)))] == payloads


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(Violation) as caught:
        split(PREFACE + frame(0, 0, 1, bytes(frames.FRAME_MIN + 1))[:9])
    assert caught.value.code == Code.FRAME_SIZE_ERROR


def test_something_else_than_the_preface_is_refused_at_its_first_byte() -> None:
    with pytest.raises(Violation):
        split(b"G")


@given(st.integers(1, 100_000), st.sampled_from([16384, 65536]), st.integers(0, 100))
def test_what_is_laid_out_is_the_payload_in_frames(count: int, size: int, at: int) -> None:
    sheet = frames.Sheet(at + count + 9 * -(-count // size))
    places, stop = sheet.lay_out(at, 5, count, size)
    buffer = sheet.buffer
    content = bytes(number % 251 for number in range(count))
    start = 0
    for place in places:
        place[:] = content[start : start + len(place)]
        start += len(place)
    assert start == count and stop == len(buffer)
    found = split(PREFACE + bytes(buffer[at:])) if size == 16384 else []
    assert b"".join(each.payload for each in found) == (content if found else b"")
    assert {(each.kind, each.flags, each.stream) for each in found} <= {(Kind.DATA, 0, 5)}


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 3]), st.sampled_from([9, 100, 16384, 20000]))))
def test_what_was_laid_out_before_does_not_show(calls: list[tuple[int, int, int]]) -> None:
    sheet = frames.Sheet(20_100)
    for at, stream, count in calls:
        sheet.buffer[:at] = b"x" * at  # what stands before, of the call
        places, stop = sheet.lay_out(at, stream, count, 16384)
        for place in places:
            place[:] = bytes([stream]) * len(place)
        found = split(PREFACE + bytes(sheet.buffer[at:stop]))
        assert [(each.stream, each.flags, each.kind) for each in found] == [(stream, 0, Kind.DATA)] * len(found)
        assert b"".join(each.payload for each in found) == bytes([stream]) * count


@given(st.integers(0, 300_000), st.sampled_from([16384, 65536]))
def test_as_much_is_laid_out_as_there_is_room_for(space: int, size: int) -> None:
    count = frames.room(space, size)
    assert count + 9 * -(-count // size) <= space
    more = count + 1
    assert more + 9 * -(-more // size) > space


@given(st.integers(1, 200_000), st.data())
def test_what_has_begun_is_whole_frames_and_no_more(count: int, data: st.DataObject) -> None:
    size = 16384
    whole = count + 9 * -(-count // size)
    sent = data.draw(st.integers(0, whole))
    payload, wire = frames.begun(sent, count, size)
    assert sent <= wire <= whole and wire - sent < size + 9
    assert payload == count or payload % size == 0
    assert wire == payload + 9 * -(-payload // size)
    assert (payload == 0) == (sent == 0)
