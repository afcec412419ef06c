"""Scenario: what each header field costs to read, by the worst that can be written into it. No server, no socket.

``tests/test_work.py`` counts the steps of the same parsers on the same inputs, where this takes the time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from freight.core import accept, conditions, etags, priority, ranges, target
from freight.core.client import Networks, true_client
from freight.core.decide import MAX_RANGES, decide
from freight.errors import ProtocolError
from freight.model import Absence, Missing, Request, Resource
from freight.wire.http1 import Inbound, Limits
from freight.wire.section import read_section, section_bytes

from .drive import Run, say

KIB = 1024
FIELD_BYTES = Limits().head
WHOLE = Limits(line=1 << 20, head=1 << 20)  # so that the fields are read, and not their size refused
BEST_OF = 5

# fmt: off
HOSTILE = (
    ",", ";", '"', "\\", "%", "%41", " ", "\t", "/", "/a", "=", "&", "a=b&", "1", "-", "0-,", "a,", "u,", "i,", '"",',
    '"a",', 'W/"",', "a;", "a=b;", 'a="b";', 'for="[::1]",', "for=1.2.3.4,", "::1,", "1.2.3.4,", '"\\', '\\",', "a/b,",
    "a/b;q=1,", "*/*;", "+", "\xe9", "[", ":", "a", ", ", " ,", "100-continue,", "close,", "chunked,",
)
# fmt: on
"""What a field is filled with, again and again: separators, quotes, escapes, and the shortest of members."""

Parser = Callable[[str], object]

_PROXY = Networks.parse(("127.0.0.1",))
_FILE = Resource("x", 1000, 5 * 10**9, ("text/html", "application/json"))
_NOW = 1e9


def answered(name: str, value: str) -> object:
    """The answers to a request with this field: with a file at its target, and without."""
    request = Request("GET", "/", ((name, value),))
    return decide(request, _FILE, _NOW), decide(request, Absence(Missing.ABSENT), _NOW)


def received(name: str, value: str) -> object:
    """The head of HTTP/1 that has this field."""
    inbound = Inbound("", WHOLE)
    inbound.feed(f"GET / HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n".encode("latin-1"))
    try:
        return inbound.next()
    except ProtocolError as error:
        return error


def decoded(name: str, value: str) -> object:
    """The section of HTTP/2 that has this field; hpack has decoded it."""
    pseudo = {b":method": b"GET", b":scheme": b"http", b":authority": b"x", b":path": b"/"}
    lines = {**pseudo, name.encode(): value.encode("latin-1")}
    try:
        return read_section(list(lines.items()), section_bytes(lines.items()), True, "", WHOLE)
    except ProtocolError as error:
        return error


def forwarded(name: str, value: str) -> object:
    """The client of a request that a trusted proxy has sent on with this field."""
    return true_client("127.0.0.1", ((name, value),), _PROXY)


_ANSWERED = ("if-match", "if-none-match", "if-modified-since", "expect", "accept", "range", "if-range")
_RECEIVED = ("Connection", "Transfer-Encoding", "Expect", "Cookie", "Host", "Content-Length", "X-Other")
_DECODED = ("cookie", "te", "content-length", "x-other", ":path", ":authority", ":method")

PARSERS: dict[str, Parser] = {
    "tags": etags.parse_list,
    "a tag": etags.is_tag,
    "Range": lambda value: ranges.parse(f"bytes={value}", 1000, max_ranges=MAX_RANGES),
    "Accept": lambda value: accept.choose(value, ("text/html", "application/json")),
    "Priority": priority.parse,
    "a path": lambda value: target.parse(f"/{value}"),
    "a query": lambda value: target.parse(f"/?{value}"),
    "Forwarded": partial(forwarded, "forwarded"),
    "X-Forwarded-For": partial(forwarded, "x-forwarded-for"),
    "If-Range": lambda value: conditions.if_range(value, '"x"', 5, _NOW),
    **{f"an answer to {name}": partial(answered, name) for name in _ANSWERED},
    **{f"HTTP/1 with {name}": partial(received, name) for name in _RECEIVED},
    **{f"HTTP/2 with {name}": partial(decoded, name) for name in _DECODED},
}
"""Everything that reads a field, by what it is for."""


def microseconds(call: Callable[[], object]) -> float:
    """The least time of some, on the processor."""
    taken = []
    for _ in range(BEST_OF):
        began = time.process_time_ns()
        call()
        taken.append(time.process_time_ns() - began)
    return min(taken) / 1000


def fields(run: Run) -> None:
    """Microseconds a KiB of each field, 16 KiB of it, filled with what is worst for it."""
    run.settings = {"field_bytes": FIELD_BYTES, "inputs": len(HOSTILE), "best_of": BEST_OF}
    for number in range(run.rounds):
        for name, parser in PARSERS.items():
            for piece in HOSTILE:
                value = piece * (FIELD_BYTES // len(piece))
                taken = microseconds(partial(parser, value))
                sample = {"round": number, "turn": 0, "case": name, "peer": "freight", "input": piece}
                run.samples.append({**sample, "microseconds_per_kib": taken * KIB / len(value)})
    say(f"{'field':32} {'us/KiB':>8}  worst input")
    for name in PARSERS:
        found = [(each["microseconds_per_kib"], each["input"]) for each in run.samples if each["case"] == name]
        best: dict[str, float] = {}
        for taken, piece in found:
            best[piece] = min(taken, best.get(piece, taken))
        worst = max(best, key=lambda piece: best[piece])
        print(f"{name:32} {best[worst]:8.1f}  {worst!r}")
    sys.stdout.flush()
