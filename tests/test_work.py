"""Work is linear in what was sent: no field, however it is written, costs more than a few steps a byte.

Nothing here looks at a clock. What Python does is counted in bytecode instructions; what the patterns do cannot be
counted, and so none of them may ever go back.
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

import freight.core
import freight.wire
from freight.core.decide import decide
from freight.model import Request, Resource
from freight.wire.http1 import Inbound, Limits
from freight.wire.http2 import Session
from http2_rules import ASKED, HELLO
from speaking import feed, frame

STEPS_PER_BYTE = 0.25
FEW = 8_000  # steps, whatever was sent: what a bounded number of members costs


def counted(call: Callable[[], object]) -> int:
    """How many instructions of Python a call takes."""
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
    """The same of a call that may be repeated: what is loaded or compiled the first time is not the field's."""
    call()
    return counted(call)


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_a_field_takes_a_few_steps_a_byte(parser: Callable[[str], object]) -> None:
    for piece in HOSTILE:
        count = FIELD_BYTES // len(piece)
        whole, half = (steps(partial(parser, piece * times)) for times in (count, count // 2))
        assert whole <= FEW + STEPS_PER_BYTE * FIELD_BYTES, f"{piece!r}: {whole} steps"
        assert whole <= FEW + 2.1 * half, f"{piece!r}: {whole} steps, {half} for half of it"


def test_many_lines_of_a_field_cost_what_one_does() -> None:
    lines = tuple((name, "a," * 80) for name in ("accept", "range", "expect", "if-none-match") for _ in range(25))
    request, file = Request("GET", "/", lines), Resource("x", 1000, 5 * 10**9, ("text/html", "application/json"))
    assert steps(lambda: decide(request, file, 1e9)) <= FEW + STEPS_PER_BYTE * FIELD_BYTES


@pytest.mark.parametrize("huffman", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        [("x", "," * 12_000)],
        [("x", "\x7f" * 3_000)],  # whose codes are the longest
        [("if-none-match", "," * 4_000)] * 4,
        [("if-none-match", "," * 1_400)] * 11,
        [("a", "")] * 400,
        [(f"x{number}", "y") for number in range(95)],
    ],
    ids=["a long field", "a field of rare characters", "four", "eleven", "none to speak of", "many short ones"],
)
def test_a_head_of_http2_takes_a_few_steps_a_byte(fields: list[tuple[str, str]], huffman: bool) -> None:
    """Those of the wire count for more: hpack undoes Huffman's code in Python. What is named by a byte from its table
    counts by what it is decoded to.
    """
    section = [*ASKED, *fields]
    decoded_bytes = sum(len(name) + len(value) + 32 for name, value in section)
    encoder, session = Encoder(), Session("", Limits())
    feed(session, HELLO)
    for stream in (1, 3, 5):  # the second time all that fits is in the table
        block = encoder.encode(section, huffman=huffman)
        parts = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
        frames = [frame(9 if number else 1, 1, stream, part) for number, part in enumerate(parts[:-1])]
        data = b"".join(frames) + frame(9 if frames else 1, 5, stream, parts[-1])
        taken = counted(lambda: feed(session, data))  # noqa: B023 - it is called at once
        assert taken <= FEW + 80 * len(data) + 20 * decoded_bytes


def test_content_of_a_byte_a_chunk_is_not_read_for_long() -> None:
    inbound = Inbound("", Limits())
    inbound.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    inbound.next()
    inbound.feed(b"1\r\na\r\n" * 400)
    assert not inbound.refused
    inbound.feed(b"1\r\na\r\n" * 400)
    assert inbound.refused


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for package in (freight.core, freight.wire):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


def repeats(node: Any) -> Iterator[tuple[object, int]]:
    """Each repetition in a parsed pattern: of which kind, and how often at most."""
    if isinstance(node, _parser.SubPattern):
        for operator, argument in node:
            if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
                yield operator, argument[1]
            yield from repeats(argument)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from repeats(each)


@pytest.mark.parametrize(("name", "pattern"), list(patterns()), ids=[name for name, _ in patterns()])
def test_no_pattern_goes_back(name: str, pattern: re.Pattern[Any]) -> None:
    """A repetition that may be long is possessive: what it has taken it never gives back."""
    bounded = 1000  # as the one that cuts an Accept of a refused head, behind which nothing stands
    for kind, most in repeats(_parser.parse(pattern.pattern, pattern.flags)):
        assert kind is _constants.POSSESSIVE_REPEAT or most <= bounded, name
