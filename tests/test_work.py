"""The work for a request is linear in its bytes: no field, however it is written, costs more than a few steps per byte.

No test reads a clock. Python's work is counted in bytecode instructions. The work of regular expressions cannot be
counted, so none of them may backtrack.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

import pytest
from hpack import Encoder

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.fields import FIELD_BYTES, HOSTILE, PARSERS

import freight.http
import freight.wire
from freight.http.decide import plan_response
from freight.model import Request, Resource
from freight.wire.http1.parser import Limits, RequestParser
from freight.wire.http2.session import Session
from support.http2_rules import HELLO, REQUEST
from support.raw_h2 import feed, frame

STEPS_PER_BYTE = 0.25
FIXED_STEPS = 8_000
"""Steps that do not depend on the bytes: the cost of a bounded number of list members."""


def counted(call: Callable[[], object]) -> int:
    """Return the number of bytecode instructions of a call."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def steps(call: Callable[[], object]) -> int:
    """Return the same of the second call, because the first one loads and compiles."""
    call()
    return counted(call)


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_a_field_costs_a_few_steps_per_byte(parser: Callable[[str], object]) -> None:
    for piece in HOSTILE:
        count = FIELD_BYTES // len(piece)
        whole, half = (steps(partial(parser, piece * times)) for times in (count, count // 2))
        assert whole <= FIXED_STEPS + STEPS_PER_BYTE * FIELD_BYTES, f"{piece!r}: {whole} steps"
        assert whole <= FIXED_STEPS + 2.1 * half, f"{piece!r}: {whole} steps, {half} for half of the bytes"


def test_many_lines_of_a_field_cost_no_more_than_one() -> None:
    lines = tuple((name, "a," * 80) for name in ("accept", "range", "expect", "if-none-match") for _ in range(25))
    request, file = Request("GET", "/", lines), Resource("x", 1000, 5 * 10**9, ("text/html", "application/json"))
    assert steps(lambda: plan_response(request, file, 1e9)) <= FIXED_STEPS + STEPS_PER_BYTE * FIELD_BYTES


@pytest.mark.parametrize("huffman", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        [("x", "," * 12_000)],
        [("x", "\x7f" * 3_000)],  # a character with one of the longest Huffman codes
        [("if-none-match", "," * 4_000)] * 4,
        [("if-none-match", "," * 1_400)] * 11,
        [("a", "")] * 400,
        [(f"x{number}", "y") for number in range(95)],
    ],
    ids=["a long field", "a field of rare characters", "four", "eleven", "empty fields", "many short ones"],
)
def test_a_head_of_http2_costs_a_few_steps_per_byte(fields: list[tuple[str, str]], huffman: bool) -> None:
    """A byte on the wire costs more steps, because hpack decodes Huffman codes in Python.

    A byte may also name a field of the table, so the decoded bytes count too.
    """
    section = [*REQUEST, *fields]
    decoded_bytes = sum(len(name) + len(value) + 32 for name, value in section)
    encoder, session = Encoder(), Session("", Limits())
    feed(session, HELLO)
    for stream in (1, 3, 5):  # from the second block on, fields come from the table
        block = encoder.encode(section, huffman=huffman)
        parts = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
        frames = [frame(9 if number else 1, 1, stream, part) for number, part in enumerate(parts[:-1])]
        data = b"".join(frames) + frame(9 if frames else 1, 5, stream, parts[-1])
        taken = counted(lambda: feed(session, data))  # noqa: B023 - it is called at once
        assert taken <= FIXED_STEPS + 80 * len(data) + 20 * decoded_bytes


def test_content_in_chunks_of_one_byte_is_soon_refused() -> None:
    parser = RequestParser("", Limits())
    parser.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.next()
    parser.feed(b"1\r\na\r\n" * 400)
    assert not parser.refused
    parser.feed(b"1\r\na\r\n" * 400)
    assert parser.refused


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for package in (freight.http, freight.wire):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


def repeats(node: Any) -> Iterator[tuple[object, int]]:
    """Yield each repetition in a parsed pattern: its operator and its largest count."""
    if isinstance(node, _parser.SubPattern):
        for operator, argument in node:
            if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
                yield operator, argument[1]
            yield from repeats(argument)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from repeats(each)


@pytest.mark.parametrize(("name", "pattern"), list(patterns()), ids=[name for name, _ in patterns()])
def test_no_pattern_backtracks(name: str, pattern: re.Pattern[Any]) -> None:
    """Every repetition of more than 1,000 characters is possessive."""
    bounded = 1000  # the pattern that cuts the Accept field of a refused head ends with its repetition
    for kind, most in repeats(_parser.parse(pattern.pattern, pattern.flags)):
        assert kind is _constants.POSSESSIVE_REPEAT or most <= bounded, name
