"""The cases of h2spec by their numbers, one row each: the writes, with frames to await, and the expectation.

Sections named ``http2`` are those of RFC 7540, sections named ``hpack`` those of RFC 7541.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from support.h2spec_client import (
    ACK,
    CONTINUATION,
    DATA,
    ECHO,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    WINDOW_UPDATE,
    Expectation,
    FrameClient,
    acknowledged,
    answered,
    closed,
    connection_error,
    content,
    echoed,
    echoed_or_closed,
    ended,
    one_byte,
    preface,
    stream_error,
)
from support.http2_rules import CANCEL, CLOSED, COMPRESSION, FLOW, PROTOCOL, REFUSED, SIZE, u32
from support.raw_h2 import PREFACE, frame, settings

MOST = (1 << 31) - 1
UNKNOWN = 0x16
STREAMS, STREAM_WINDOW, FRAME, TABLE = 3, 4, 5, 1  # settings
PING_FRAME = frame(PING, payload=ECHO)
REFUSAL = connection_error(PROTOCOL)
MALFORMED = stream_error(PROTOCOL)


class Case(NamedTuple):
    """``greets``: exchange the preface and SETTINGS first."""

    name: str
    say: Callable[[FrameClient], Sequence[bytes | Expectation]]
    expect: Expectation
    greets: bool = True


def data(payload: bytes = b"test", stream: int = 1, ends: bool = True) -> bytes:
    return frame(DATA, ends, stream, payload)


def priority(stream: int = 1, on: int = 0, weight: int = 255) -> bytes:
    return frame(PRIORITY, 0, stream, u32(on) + bytes([weight]))


def reset(stream: int = 1, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, u32(code))


def widen(stream: int, count: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, u32(count))


def more(c: FrameClient, stream: int = 1, flags: int = END_HEADERS) -> bytes:
    """Return a CONTINUATION frame."""
    return frame(CONTINUATION, flags, stream, c.block(c.dummies()))


def without(c: FrameClient, *names: str) -> bytes:
    return c.head([pair for pair in c.fields() if pair[0] not in names])


def parts(c: FrameClient, *places: int) -> list[bytes]:
    """Return a request in HEADERS and CONTINUATION frames, split at ``places``."""
    block = c.block(c.fields())
    cuts = [0, *places, len(block)]
    pieces = [block[start:stop] for start, stop in pairwise(cuts)]
    rest = [frame(CONTINUATION, END_HEADERS * (piece is pieces[-1]), 1, piece) for piece in pieces[1:]]
    return [frame(HEADERS, END_STREAM, 1, pieces[0]), *rest]


def literal(name: str, raw: str) -> Case:
    """Expect a response to a field in this representation."""
    return Case(f"generic/5/{name}", lambda c: [c.head(c.fields(), more=bytes.fromhex(raw))], answered)


def broken(name: str, raw: str, before: bool = False) -> Case:
    """Expect COMPRESSION_ERROR for this representation."""
    added = bytes.fromhex(raw)

    def say(c: FrameClient) -> list[bytes]:
        block = c.block(c.fields())
        return [frame(HEADERS, END_HEADERS | END_STREAM, 1, added + block if before else block + added)]

    return Case(f"hpack/{name}", say, connection_error(COMPRESSION))


NAMED = "0a757365722d6167656e74" + "06683273706563"  # user-agent: h2spec
NAMED_HUFFMAN = "87b505b161cc5a93" + "849c48aca4"
NEW = "06782d74657374" + "06683273706563"  # x-test: h2spec
NEW_HUFFMAN = "85f2b24a84ff" + "849c48aca4"

GENERIC = [
    Case("generic/1/1 the preface", lambda c: [PREFACE, settings((STREAM_WINDOW, WINDOW))], preface, greets=False),
    Case("generic/2/1 idle: PRIORITY", lambda c: [priority(), PING_FRAME], echoed),
    Case("generic/2/2 half-closed: WINDOW_UPDATE", lambda c: [settings((STREAM_WINDOW, 0)), c.get(), widen(1, 1)],
         content),
    Case("generic/2/3 half-closed: PRIORITY",
         lambda c: [settings((STREAM_WINDOW, 0)), c.get(), priority(), widen(1, 1)], content),
    Case("generic/2/4 half-closed: RST_STREAM", lambda c: [c.get(), reset(), PING_FRAME], echoed_or_closed),
    Case("generic/2/5 closed: PRIORITY", lambda c: [c.get(), ended, priority(), PING_FRAME], echoed),
    Case("generic/3.1/1 DATA", lambda c: [c.post(), data()], answered),
    Case("generic/3.1/2 more DATA", lambda c: [c.post(), data(ends=False), data()], answered),
    Case("generic/3.1/3 padded DATA",
         lambda c: [c.post(), frame(DATA, PADDED | END_STREAM, 1, b"\6testpadded")], answered),
    Case("generic/3.2/1 HEADERS", lambda c: [c.get()], answered),
    Case("generic/3.2/2 padded HEADERS",
         lambda c: [frame(HEADERS, PADDED | 5, 1, b"\x08" + c.block(c.fields()) + bytes(8))], answered),
    Case("generic/3.2/3 HEADERS with a priority",
         lambda c: [frame(HEADERS, PRIORITIZED | 5, 1, u32(0) + b"\xff" + c.block(c.fields()))], answered),
    Case("generic/3.3/1 the least weight", lambda c: [priority(weight=0), c.get()], answered),
    Case("generic/3.3/2 the most", lambda c: [priority(), c.get()], answered),
    Case("generic/3.3/3 a dependency", lambda c: [priority(3, on=1, weight=0), c.get()], answered),
    Case("generic/3.3/4 an exclusive one", lambda c: [priority(on=1 << 31, weight=0), c.get()], answered),
    Case("generic/3.3/5 of a stream beyond", lambda c: [priority(3), c.get()], answered),
    Case("generic/3.4/1 RST_STREAM", lambda c: [c.get(flags=END_HEADERS), reset(), PING_FRAME], echoed_or_closed),
    Case("generic/3.5/1 SETTINGS",
         lambda c: [settings((TABLE, 4096), (2, 1), (STREAMS, 100), (STREAM_WINDOW, WINDOW), (FRAME, 16384), (6, 100))],
         acknowledged),
    Case("generic/3.7/1 PING", lambda c: [PING_FRAME], echoed),
    Case("generic/3.8/1 GOAWAY", lambda c: [frame(GOAWAY, payload=u32(0) + u32(0) + b"h2spec"), PING_FRAME],
         echoed_or_closed),
    Case("generic/3.9/1 WINDOW_UPDATE", lambda c: [widen(0, 1), PING_FRAME], echoed),
    Case("generic/3.9/2 WINDOW_UPDATE of a stream", lambda c: [c.get(), widen(1, 1)], answered),
    Case("generic/3.10/1 CONTINUATION", lambda c: parts(c, 5), answered),
    Case("generic/3.10/2 more of them", lambda c: parts(c, 5, 10), answered),
    Case("generic/4/1 GET", lambda c: [c.get()], answered),
    Case("generic/4/2 HEAD", lambda c: [c.head(c.fields("HEAD"))], answered),
    Case("generic/4/3 POST", lambda c: [c.post(), data()], answered),
    Case("generic/4/4 POST with trailers",
         lambda c: [c.post(("trailer", "x-test")), data(ends=False), c.head([("x-test", "ok")])], answered),
    literal("1 indexed", "ba"),
    literal("2 incremental, an indexed name", "7a06683273706563"),
    literal("3 incremental, an indexed name, Huffman", "7a849c48aca4"),
    literal("4 incremental, a new name", f"40{NEW}"),
    literal("5 incremental, a new name, Huffman", f"40{NEW_HUFFMAN}"),
    literal("6 not indexed, a known name", f"00{NAMED}"),
    literal("7 not indexed, a known name, Huffman", f"00{NAMED_HUFFMAN}"),
    literal("8 not indexed, a new name", f"00{NEW}"),
    literal("9 not indexed, a new name, Huffman", f"00{NEW_HUFFMAN}"),
    literal("10 never indexed, a known name", f"10{NAMED}"),
    literal("11 never indexed, a known name, Huffman", f"10{NAMED_HUFFMAN}"),
    literal("12 never indexed, a new name", f"10{NEW}"),
    literal("13 never indexed, a new name, Huffman", f"10{NEW_HUFFMAN}"),
    Case("generic/5/14 a table of no size",
         lambda c: [frame(HEADERS, 5, 1, b"\x20" + c.block(c.fields()))], answered),
    Case("generic/5/15 two sizes of the table",
         lambda c: [frame(HEADERS, 5, 1, b"\x20\x3f\xe1\x1f" + c.block(c.fields()))], answered),
]  # fmt: skip

FRAMES = [
    Case("http2/3.5/1 the preface", lambda c: [PREFACE, settings((STREAM_WINDOW, WINDOW))], preface, greets=False),
    Case("http2/3.5/2 another preface", lambda c: [b"INVALID CONNECTION PREFACE\r\n\r\n"], closed, greets=False),
    Case("http2/4.1/1 an unknown type", lambda c: [frame(UNKNOWN, payload=bytes(8)), PING_FRAME], echoed),
    Case("http2/4.1/2 unknown flags", lambda c: [frame(PING, 0x16, payload=ECHO)], echoed),
    Case("http2/4.1/3 the reserved bit", lambda c: [frame(PING, 0x16, 1 << 31, ECHO)], echoed),
    Case("http2/4.2/1 the largest DATA", lambda c: [c.post(), data(b"x" * c.settings.get(FRAME, 16384))], answered),
    Case("http2/4.2/2 DATA too large", lambda c: [c.post(), data(b"x" * (c.settings.get(FRAME, 16384) + 1))],
         stream_error(SIZE)),
    Case("http2/4.2/3 HEADERS too large", lambda c: [c.get(*c.dummies(5))], connection_error(SIZE)),
    Case("http2/4.3/1 a broken block", lambda c: [frame(HEADERS, 5, 1, b"\x40")], connection_error(COMPRESSION)),
    Case("http2/4.3/2 PRIORITY within a block", lambda c: [c.get(flags=0), priority(), more(c)], REFUSAL),
    Case("http2/4.3/3 HEADERS within a block", lambda c: [c.get(flags=0), c.get(stream=3), more(c)], REFUSAL),
]  # fmt: skip

STREAM_STATES = [
    Case("http2/5.1/1 idle: DATA", lambda c: [data()], REFUSAL),
    Case("http2/5.1/2 idle: RST_STREAM", lambda c: [reset()], REFUSAL),
    Case("http2/5.1/3 idle: WINDOW_UPDATE", lambda c: [widen(1, 100)], REFUSAL),
    Case("http2/5.1/4 idle: CONTINUATION", lambda c: [frame(CONTINUATION, END_HEADERS, 1, c.block(c.fields()))],
         REFUSAL),
    Case("http2/5.1/5 half-closed: DATA", lambda c: [c.get(), data()], stream_error(CLOSED)),
    Case("http2/5.1/6 half-closed: HEADERS", lambda c: [c.get(), c.get()], stream_error(CLOSED)),
    Case("http2/5.1/7 half-closed: CONTINUATION", lambda c: [c.get(), more(c)], stream_error(CLOSED, PROTOCOL)),
    Case("http2/5.1/8 reset: DATA", lambda c: [c.get(flags=END_HEADERS), reset(), data()], stream_error(CLOSED)),
    Case("http2/5.1/9 reset: HEADERS", lambda c: [c.get(flags=END_HEADERS), reset(), c.get()], stream_error(CLOSED)),
    Case("http2/5.1/10 reset: CONTINUATION", lambda c: [c.get(flags=END_HEADERS), reset(), more(c)],
         stream_error(CLOSED, PROTOCOL)),
    Case("http2/5.1/11 closed: DATA", lambda c: [c.get(), ended, data()], connection_error(CLOSED)),
    Case("http2/5.1/12 closed: HEADERS", lambda c: [c.get(), ended, c.get()], connection_error(CLOSED)),
    Case("http2/5.1/13 closed: CONTINUATION", lambda c: [c.get(), ended, more(c)], connection_error(CLOSED, PROTOCOL)),
    Case("http2/5.1.1/1 an even number", lambda c: [c.get(stream=2)], REFUSAL),
    Case("http2/5.1.1/2 a number that has been passed", lambda c: [c.get(stream=5), c.get(stream=3)], REFUSAL),
    Case("http2/5.1.1/3 the same number", lambda c: [c.get(stream=5), c.get(stream=5)], stream_error(CLOSED)),
    Case("http2/5.1.2/1 too many streams",
         lambda c: [settings((STREAM_WINDOW, 0)), *[c.get(stream=2 * n + 1) for n in range(c.settings[STREAMS] + 1)]],
         stream_error(PROTOCOL, REFUSED)),
    Case("http2/5.3.1/1 HEADERS that depend on themselves",
         lambda c: [frame(HEADERS, PRIORITIZED | 5, 1, u32(1) + b"\xff" + c.block(c.fields()))], MALFORMED),
    Case("http2/5.3.1/2 PRIORITY that depends on itself", lambda c: [priority(on=1)], MALFORMED),
    Case("http2/5.4.1/1 an error ends the connection", lambda c: [frame(PING, 0, 3, bytes(8))], closed),
    Case("http2/5.4.1/2 an error says GOAWAY", lambda c: [frame(PING, 0, 3, bytes(8))], REFUSAL),
    Case("http2/5.5/1 an unknown type", lambda c: [frame(UNKNOWN, payload=bytes(8)), PING_FRAME], echoed),
    Case("http2/5.5/2 an unknown type within a block",
         lambda c: [c.get(flags=END_STREAM), frame(UNKNOWN, payload=bytes(8))], REFUSAL),
]  # fmt: skip

DEFINITIONS = [
    Case("http2/6.1/1 DATA on stream 0", lambda c: [data(stream=0)], REFUSAL),
    Case("http2/6.1/2 DATA after END_STREAM", lambda c: [c.post(flags=5), data()], stream_error(CLOSED)),
    Case("http2/6.1/3 too much padding of DATA",
         lambda c: [c.post(("content-length", "4")), frame(DATA, PADDED | END_STREAM, 1, b"\6Test")], REFUSAL),
    Case("http2/6.2/1 HEADERS, PRIORITY", lambda c: [c.get(flags=0), priority(), more(c)], REFUSAL),
    Case("http2/6.2/2 HEADERS, HEADERS", lambda c: [c.get(flags=0), c.get(stream=3), more(c)], REFUSAL),
    Case("http2/6.2/3 HEADERS on stream 0", lambda c: [c.get(stream=0)], REFUSAL),
    Case("http2/6.2/4 too much padding of HEADERS",
         lambda c: [frame(HEADERS, PADDED | 5, 1, bytes([len(block := c.block(c.fields())) + 2]) + block)], MALFORMED),
    Case("http2/6.3/1 PRIORITY on stream 0", lambda c: [priority(0)], REFUSAL),
    Case("http2/6.3/2 PRIORITY of 4 bytes", lambda c: [c.get(), frame(PRIORITY, 0, 1, u32(1 << 31 | 1))],
         stream_error(SIZE)),
    Case("http2/6.4/1 RST_STREAM on stream 0", lambda c: [reset(0)], REFUSAL),
    Case("http2/6.4/2 RST_STREAM on an idle stream", lambda c: [reset()], REFUSAL),
    Case("http2/6.4/3 RST_STREAM of 3 bytes", lambda c: [c.get(), frame(RST_STREAM, 0, 1, bytes(3))],
         connection_error(SIZE)),
    Case("http2/6.5/1 an acknowledgement with content", lambda c: [frame(SETTINGS, ACK, 0, b"\0")],
         connection_error(SIZE)),
    Case("http2/6.5/2 SETTINGS on a stream", lambda c: [frame(SETTINGS, 0, 1, struct.pack(">HI", STREAMS, 100))],
         REFUSAL),
    Case("http2/6.5/3 SETTINGS of 3 bytes", lambda c: [frame(SETTINGS, 0, 0, b"\0\3\0")], connection_error(SIZE)),
    Case("http2/6.5.2/1 ENABLE_PUSH", lambda c: [settings((2, 2))], REFUSAL),
    Case("http2/6.5.2/2 INITIAL_WINDOW_SIZE", lambda c: [settings((STREAM_WINDOW, MOST + 1))], connection_error(FLOW)),
    Case("http2/6.5.2/3 MAX_FRAME_SIZE, too small", lambda c: [settings((FRAME, 16383))], REFUSAL),
    Case("http2/6.5.2/4 MAX_FRAME_SIZE, too large", lambda c: [settings((FRAME, 1 << 24))], REFUSAL),
    Case("http2/6.5.2/5 an unknown setting", lambda c: [settings((0xFF, 1)), PING_FRAME], echoed),
    Case("http2/6.5.3/1 the last of two values holds",
         lambda c: [settings((STREAM_WINDOW, 100), (STREAM_WINDOW, 1)), acknowledged, c.get()], one_byte),
    Case("http2/6.5.3/2 an acknowledgement", lambda c: [settings((2, 0))], acknowledged),
    Case("http2/6.7/1 PING", lambda c: [PING_FRAME], echoed),
    Case("http2/6.7/2 an echo has none", lambda c: [frame(PING, ACK, 0, b"invalid\0"), PING_FRAME], echoed),
    Case("http2/6.7/3 PING on a stream", lambda c: [frame(PING, 0, 1, bytes(8))], REFUSAL),
    Case("http2/6.7/4 PING of 6 bytes", lambda c: [frame(PING, 0, 0, bytes(6))], connection_error(SIZE)),
    Case("http2/6.8/1 GOAWAY on a stream", lambda c: [frame(GOAWAY, 0, 1, bytes(8))], REFUSAL),
    Case("http2/6.9/1 an increment of 0", lambda c: [widen(0, 0)], REFUSAL),
    Case("http2/6.9/2 an increment of 0, of a stream", lambda c: [c.get(flags=END_HEADERS), widen(1, 0)], MALFORMED),
    Case("http2/6.9/3 WINDOW_UPDATE of 3 bytes", lambda c: [frame(WINDOW_UPDATE, payload=b"\0\0\1")],
         connection_error(SIZE)),
    Case("http2/6.9.1/1 a window of 1", lambda c: [settings((STREAM_WINDOW, 1)), acknowledged, c.get()], one_byte),
    Case("http2/6.9.1/2 a window too large", lambda c: [widen(0, MOST), widen(0, MOST)], connection_error(FLOW)),
    Case("http2/6.9.1/3 a window of a stream too large",
         lambda c: [c.get(flags=END_HEADERS), widen(1, MOST), widen(1, MOST)], stream_error(FLOW)),
    Case("http2/6.9.2/1 a window that grows by a setting",
         lambda c: [settings((STREAM_WINDOW, 0)), acknowledged, c.get(), settings((STREAM_WINDOW, 1))], one_byte),
    Case("http2/6.9.2/2 a window below 0",
         lambda c: [settings((STREAM_WINDOW, 3)), acknowledged, c.get(), content, settings((STREAM_WINDOW, 2)),
                    acknowledged, widen(1, 2)], one_byte),
    Case("http2/6.9.2/3 a setting too large", lambda c: [settings((STREAM_WINDOW, MOST + 1))], connection_error(FLOW)),
    Case("http2/6.10/1 two CONTINUATION", lambda c: [c.get(flags=END_STREAM), more(c, flags=0), more(c)], answered),
    Case("http2/6.10/2 CONTINUATION, DATA", lambda c: [c.post(flags=0), more(c, flags=0), data()], REFUSAL),
    Case("http2/6.10/3 CONTINUATION on stream 0", lambda c: [c.get(flags=END_STREAM), more(c, 0)], REFUSAL),
    Case("http2/6.10/4 CONTINUATION after END_HEADERS", lambda c: [c.get(), more(c)], REFUSAL),
    Case("http2/6.10/5 CONTINUATION after the last", lambda c: [c.get(flags=END_STREAM), more(c), more(c)], REFUSAL),
    Case("http2/6.10/6 CONTINUATION after DATA", lambda c: [c.post(flags=0), data(), more(c, flags=0), more(c, 0)],
         REFUSAL),
    Case("http2/7/1 an unknown code of GOAWAY", lambda c: [frame(GOAWAY, payload=u32(0) + u32(0xFF)), PING_FRAME],
         echoed_or_closed),
    Case("http2/7/2 an unknown code of RST_STREAM", lambda c: [c.post(), reset(code=0xFF), PING_FRAME], echoed),
]  # fmt: skip

MESSAGES = [
    Case("http2/8.1/1 trailers that do not end",
         lambda c: [c.post(), data(ends=False), c.head([("x-test", "ok")], flags=END_HEADERS)], MALFORMED),
    Case("http2/8.1.2/1 an upper-case name", lambda c: [c.get(("X-TEST", "ok"))], MALFORMED),
    Case("http2/8.1.2.1/1 an unknown pseudo-header", lambda c: [c.get((":test", "ok"))], MALFORMED),
    Case("http2/8.1.2.1/2 a pseudo-header of responses", lambda c: [c.get((":status", "200"))], MALFORMED),
    Case("http2/8.1.2.1/3 a pseudo-header in trailers",
         lambda c: [c.post(), data(ends=False), c.head([(":method", "POST")], flags=END_HEADERS)], MALFORMED),
    Case("http2/8.1.2.1/4 a pseudo-header after a field",
         lambda c: [c.head([("x-test", "ok"), *c.fields()])], MALFORMED),
    Case("http2/8.1.2.2/1 Connection", lambda c: [c.get(("connection", "keep-alive"))], MALFORMED),
    Case("http2/8.1.2.2/2 TE", lambda c: [c.get(("trailers", "test"), ("te", "trailers, deflate"))], MALFORMED),
    Case("http2/8.1.2.3/1 an empty path", lambda c: [c.head(c.fields(path=""))], MALFORMED),
    Case("http2/8.1.2.3/2 no method", lambda c: [without(c, ":method", ":scheme")], MALFORMED),
    Case("http2/8.1.2.3/3 no scheme", lambda c: [without(c, ":scheme")], MALFORMED),
    Case("http2/8.1.2.3/4 no path", lambda c: [without(c, ":path")], MALFORMED),
    Case("http2/8.1.2.3/5 two methods", lambda c: [c.get(c.fields()[0])], MALFORMED),
    Case("http2/8.1.2.3/6 two schemes", lambda c: [c.get(c.fields()[1])], MALFORMED),
    Case("http2/8.1.2.3/7 two paths", lambda c: [c.get(c.fields()[2])], MALFORMED),
    Case("http2/8.1.2.6/1 content beyond its length", lambda c: [c.post(("content-length", "1")), data()], MALFORMED),
    Case("http2/8.1.2.6/2 more content beyond it",
         lambda c: [c.post(("content-length", "1")), data(ends=False), data()], MALFORMED),
    Case("http2/8.2/1 PUSH_PROMISE",
         lambda c: [frame(PUSH_PROMISE, END_HEADERS, 1, u32(3) + c.block(c.fields()))], REFUSAL),
]  # fmt: skip

X_TEST = "0085f2b24a84ff"
HPACK = [
    broken("2.3.3/1 an index beyond the table", "c6"),
    broken("2.3.3/2 a name beyond the table", "7f0700"),
    broken("4.2/1 a table size after fields", "21"),
    broken("5.2/1 padding of more than 7 bits", f"{X_TEST}8449509fff"),
    broken("5.2/2 padding by zero", f"{X_TEST}83495090"),
    broken("5.2/3 the end of the string in it", f"{X_TEST}87fffffffd25427f"),
    broken("6.1/1 index 0", "80"),
    broken("6.3/1 a table larger than allowed", "3fe21f", before=True),
]

EARLY = [  # not h2spec's: violations after the response
    Case("early/1 trailers that do not end", lambda c: [c.post(), ended, c.head([("x-test", "ok")], flags=END_HEADERS)],
         MALFORMED),
    Case("early/2 a pseudo-header in trailers", lambda c: [c.post(), ended, c.head([(":method", "POST")])], MALFORMED),
    Case("early/3 content beyond its length", lambda c: [c.post(("content-length", "1")), ended, data()], MALFORMED),
    Case("early/4 an increment of 0", lambda c: [c.get(flags=END_HEADERS), ended, widen(1, 0)], MALFORMED),
    Case("early/5 a window too large", lambda c: [c.get(flags=END_HEADERS), ended, widen(1, MOST)], stream_error(FLOW)),
    Case("early/6 reset: DATA", lambda c: [c.get(flags=END_HEADERS), ended, reset(), data()], stream_error(CLOSED)),
    Case("early/7 closed: DATA", lambda c: [c.post(), ended, data(), data()], connection_error(CLOSED)),
    Case("early/8 no violation", lambda c: [c.post(), ended, data(ends=False), data(), PING_FRAME], echoed),
]  # fmt: skip

CASES = [*GENERIC, *FRAMES, *STREAM_STATES, *DEFINITIONS, *MESSAGES, *HPACK, *EARLY]
