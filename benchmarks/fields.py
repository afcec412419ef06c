"""Scenario: the parsing time of each header field with its worst values, without a server or a socket.

``tests/test_work.py`` counts the steps of the same parsers with the same inputs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from freight.errors import ProtocolError
from freight.http import accept, conditions, content_coding, etags, priority, ranges, target
from freight.http.client_address import Networks, true_client
from freight.http.decide import MAX_RANGES, plan_response
from freight.model import NotFound, NotFoundReason, Request, Resource
from freight.wire.http1.parser import Limits, RequestParser
from freight.wire.http2.request_head import read_head, section_bytes

from .drive import Run, log

KIB = 1024
FIELD_BYTES = Limits().head
WHOLE = Limits(line=1 << 20, head=1 << 20)  # so that the fields are parsed, and not rejected for their size
BEST_OF = 5

# fmt: off
HOSTILE = (
    ",", ";", '"', "\\", "%", "%41", " ", "\t", "/", "/a", "=", "&", "a=b&", "1", "-", "0-,", "a,", "u,", "i,", '"",',
    '"a",', 'W/"",', "a;", "a=b;", 'a="b";', 'for="[::1]",', "for=1.2.3.4,", "::1,", "1.2.3.4,", '"\\', '\\",', "a/b,",
    "a/b;q=1,", "*/*;", "+", "\xe9", "[", ":", "a", ", ", " ,", "100-continue,", "close,", "chunked,",
)
# fmt: on
"""Pieces that fill a field by repetition: separators, quotes, escapes, and the shortest members."""

Parser = Callable[[str], object]

_PROXY = Networks.parse(("127.0.0.1",))
_FILE = Resource("x", 1000, 5 * 10**9, ("text/html", "application/json"))
_NOW = 1e9


def plan_both(name: str, value: str) -> object:
    """Plan the responses to a request with this field, with a file at its target and without."""
    request = Request("GET", "/", ((name, value),))
    return plan_response(request, _FILE, _NOW), plan_response(request, NotFound(NotFoundReason.ABSENT), _NOW)


def parse_http1(name: str, value: str) -> object:
    """Parse a head of HTTP/1 with this field."""
    inbound = RequestParser("", WHOLE)
    inbound.feed(f"GET / HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n".encode("latin-1"))
    try:
        return inbound.next()
    except ProtocolError as error:
        return error


def parse_http2(name: str, value: str) -> object:
    """Read a field section of HTTP/2 with this field, as hpack decodes it."""
    pseudo = {b":method": b"GET", b":scheme": b"http", b":authority": b"x", b":path": b"/"}
    lines = {**pseudo, name.encode(): value.encode("latin-1")}
    try:
        return read_head(list(lines.items()), section_bytes(lines.items()), True, "", WHOLE)
    except ProtocolError as error:
        return error


def find_client(name: str, value: str) -> object:
    """Find the client of a request that a trusted proxy forwards with this field."""
    return true_client("127.0.0.1", ((name, value),), _PROXY)


_ANSWERED = ("if-match", "if-none-match", "if-modified-since", "expect", "accept", "range", "if-range")
_RECEIVED = ("Connection", "Transfer-Encoding", "Expect", "Cookie", "Host", "Content-Length", "X-Other")
_DECODED = ("cookie", "te", "content-length", "x-other", ":path", ":authority", ":method")

PARSERS: dict[str, Parser] = {
    "tags": etags.parse_list,
    "a tag": etags.is_tag,
    "Range": lambda value: ranges.parse(f"bytes={value}", 1000, max_ranges=MAX_RANGES),
    "Accept": lambda value: accept.choose(value, ("text/html", "application/json")),
    "Accept-Encoding": content_coding.accepted.__wrapped__,
    "Priority": priority.parse,
    "a path": lambda value: target.parse(f"/{value}"),
    "a query": lambda value: target.parse(f"/?{value}"),
    "Forwarded": partial(find_client, "forwarded"),
    "X-Forwarded-For": partial(find_client, "x-forwarded-for"),
    "If-Range": lambda value: conditions.if_range(value, '"x"', 5, _NOW),
    **{f"an answer to {name}": partial(plan_both, name) for name in _ANSWERED},
    **{f"HTTP/1 with {name}": partial(parse_http1, name) for name in _RECEIVED},
    **{f"HTTP/2 with {name}": partial(parse_http2, name) for name in _DECODED},
}
"""Everything that parses a field, by its purpose."""


def microseconds(call: Callable[[], object]) -> float:
    """Return the smallest CPU time of BEST_OF calls."""
    taken = []
    for _ in range(BEST_OF):
        began = time.process_time_ns()
        call()
        taken.append(time.process_time_ns() - began)
    return min(taken) / 1000


def fields(run: Run) -> None:
    """Microseconds per KiB of each field, for 16 KiB of its worst value."""
    run.settings = {"field_bytes": FIELD_BYTES, "inputs": len(HOSTILE), "best_of": BEST_OF}
    for number in range(run.rounds):
        for name, parser in PARSERS.items():
            for piece in HOSTILE:
                value = piece * (FIELD_BYTES // len(piece))
                taken = microseconds(partial(parser, value))
                sample = {"round": number, "turn": 0, "case": name, "peer": "freight", "input": piece}
                run.samples.append({**sample, "microseconds_per_kib": taken * KIB / len(value)})
    log(f"{'field':32} {'us/KiB':>8}  worst input")
    for name in PARSERS:
        found = [(each["microseconds_per_kib"], each["input"]) for each in run.samples if each["case"] == name]
        best: dict[str, float] = {}
        for taken, piece in found:
            best[piece] = min(taken, best.get(piece, taken))
        worst = max(best, key=lambda piece: best[piece])
        print(f"{name:32} {best[worst]:8.1f}  {worst!r}")
    sys.stdout.flush()
