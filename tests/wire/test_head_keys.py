"""Heads by their range: what is split into a key and a range, the parser reads as the same request."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from freight.model import Plan, Span
from freight.wire.http1 import response
from freight.wire.http1.repeats import head_format, is_key_of, split_range

HEAD = b"GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=%b\r\nA: b\r\n\r\n"

LINES = [
    b"Host: x\r\n",
    b"A: b\r\n",
    b"If-Range: bytes=1-2\r\n",
    b"Orange: bytes=1-2\r\n",
    b"range: bytes=5-6\r\n",
    b"Range: bytes=5-6\r\n",
    b"RANGE: bytes=5-6\r\n",
    b"Range:bytes=5-6\r\n",
    b"Range: bytes=5-6,8-9\r\n",
    b"Range: bytes=05-6\r\n",
    b"Range: bytes=5-\r\n",
    b"Connection: close\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b" folded: bytes=1-2\r\n",
    b"A: range: bytes=1-2\r\n",
    b"A: b\n",
    b"\r\n",
    b"GET /ange: bytes=1-2 HTTP/1.1\r\n",
]
STARTS = [
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"HEAD / HTTP/1.1\r\n",
    b"\r\nGET / HTTP/1.1\r\n",
    b"GET\r\n",
    b"",
]

heads = st.builds(
    lambda start, lines, end: start + b"".join(lines) + end,
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES), max_size=6),
    st.sampled_from([b"\r\n", b"\r\nabc", b"\n", b"\r", b""]),
)
numbers = st.integers(0, 10**15 - 1)


@pytest.mark.parametrize(
    ("digits", "found"),
    [
        (b"0-0", (0, 0)),
        (b"7-20", (7, 20)),
        (b"20-7", (20, 7)),
        (b"999999999999999-999999999999999", (10**15 - 1, 10**15 - 1)),
        (b"9999999999999999-999999999999999", None),
        (b"07-20", None),
        (b"7-020", None),
        (b"00-0", None),
        (b"7-", None),
        (b"-7", None),
        (b"-", None),
        (b"", None),
        (b"7", None),
        (b"7-20,30-40", None),
        (b"7-20-30", None),
        (b"7-20 ", None),
        (b" 7-20", None),
        (b"+7-20", None),
        (b"7-2_0", None),
        (b"\xb2-\xb3", None),
        (b"7-20\nA: b", None),
    ],
)
def test_only_two_numbers_in_their_shortest_form_are_a_range(digits: bytes, found: tuple[int, int] | None) -> None:
    head = split_range(HEAD % digits)
    assert (head and (head.first, head.last)) == found
    assert head is None or head.size == len(HEAD % digits)


@given(numbers, numbers, numbers, numbers)
def test_heads_have_one_key_if_they_differ_in_their_range_alone(one: int, two: int, three: int, four: int) -> None:
    first, second = split_range(HEAD % b"%d-%d" % (one, two)), split_range(HEAD % b"%d-%d" % (three, four))
    assert first is not None and second is not None
    assert first.key == second.key and first.key != split_range((HEAD % b"1-2").replace(b"A: b", b"A: c"))
    assert (second.first, second.last) == (three, four)


@given(heads, numbers, numbers)
@example(b"GET / HTTP/1.1\r\nHost: x\r\nOrange: bytes=1-2\r\nRange: bytes=1-2\r\n\r\n", 3, 4)
@example(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\nRange: bytes=1-2\r\n\r\n", 3, 4)
@example(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n", 3, 4)
def test_a_head_with_a_known_key_is_the_request_of_the_first_with_its_own_range(read, data, first, last):
    """Only a head that the parser has read as a whole, and as the one request of its bytes, becomes known."""
    known = split_range(data)
    assume(known is not None)
    reading = read([data])
    if len(reading.heads) != 1 or reading.status or not reading.idle or not is_key_of(known, reading.heads[0].request):
        return
    if known.last is None:
        assert known.key == (data, b"")
        return
    other = known.key[0] + b"ange: bytes=%d-%d\r\n" % (first, last) + known.key[1]
    found = split_range(other)
    assert found is not None and found == (known.key, first, last, len(other))
    again = read([other])
    assert (len(again.heads), again.status, again.idle) == (1, None, True)
    fields = again.heads[0].request.fields
    assert [value for name, value in fields if name == "range"] == [f"bytes={first}-{last}"]
    as_before = [(name, value) for name, value in reading.heads[0].request.fields if name != "range"]
    assert [(name, value) for name, value in fields if name != "range"] == as_before
    assert (again.heads[0].keep_alive, again.heads[0].content) == (
        reading.heads[0].keep_alive,
        reading.heads[0].content,
    )


@given(st.lists(st.sampled_from(LINES[1:7]), max_size=6), st.integers(min_value=0))
def test_a_part_of_a_head_never_has_the_key_of_a_whole_one(read, lines, cut):
    data = STARTS[0] + b"Host: x\r\n" + b"".join(lines) + b"\r\n"
    assert len(read([data]).heads) == 1
    whole, part = split_range(data), split_range(data[: cut % len(data)])
    assert part is None or whole is None or part.key != whole.key


names = st.text("abcX-%d", min_size=1, max_size=8).map(lambda name: f"x{name}")
values = st.text("ab %ds:1", max_size=12).map(str.strip)


@given(
    st.lists(st.tuples(names, values), max_size=4),
    st.lists(st.tuples(names, values), max_size=4),
    st.integers(0, 10**9),
    st.integers(1, 10**9),
    st.sampled_from([(1, 0), (1, 1)]),
)
@example([("X%d", "100%s")], [("X-Content-Length", "5")], 5, 5, (1, 1))
@example([], [("Content-Length", "5")], 5, 5, (1, 1))
def test_a_format_gives_the_head_that_the_plan_of_that_range_has(before, after, first, length, version):
    def plan(start: int, size: int) -> Plan:
        content_range = ("Content-Range", f"bytes {start}-{start + size - 1}/{10**10}")
        return Plan(206, (*before, content_range, *after), (Span(start, start + size),), length=size)

    found = head_format(plan(5, 5), version) % (b"now", first, first + length - 1, length)
    assert found == response.head(plan(first, length), date="now", version=version, keep_alive=True)


@given(st.lists(st.tuples(names, values), max_size=4), st.sampled_from([(1, 0), (1, 1)]))
def test_a_format_of_a_whole_file_has_only_the_date_to_fill_in(fields, version):
    plan = Plan(200, tuple(fields), (Span(0, 9),), length=9)
    expected = response.head(plan, date="now", version=version, keep_alive=True)
    assert head_format(plan, version) % b"now" == expected
