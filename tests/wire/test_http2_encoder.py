"""The encoder of response sections: what it remembers never changes what a client decodes."""

from __future__ import annotations

import random

import pytest
from hpack import Decoder

from freight.wire.http2.h2_connection import H2State

RANGE = b"content-range"


def section(number: int) -> list[tuple[bytes, bytes]]:
    """Return the lines of a response: some are equal in all of them, some are rare, some differ in each."""
    return [
        (b":status", b"206"),
        (b"date", b"Tue, 01 Dec 2026 08:00:%02d GMT" % (number // 50 % 60)),
        (b"etag", b'"%d"' % (number % 7)),
        (RANGE, b"bytes %d-%d/100000" % (number, number + 99)),
        (b"x-rare", b"v" * (number * 37 % 900)),
        (b"content-length", b"%d" % (number % 1000)),
    ]


@pytest.mark.parametrize("client_table", [0, 100, 4096, 65536])
def test_a_client_decodes_what_was_encoded(client_table: int) -> None:
    """Fields are displaced from the table all the time, and the client changes its size."""
    encoder, decoder, sizes = H2State(1024).encoder, Decoder(), random.Random(1)
    decoder.max_allowed_table_size = 65536
    encoder.header_table_size = client_table
    for number in range(2000):
        if number % 300 == 299:
            encoder.header_table_size = sizes.choice([0, 64, 300, 4096, 65536])
        lines = section(number if number % 3 else number // 100)
        assert [(bytes(name), bytes(value)) for name, value in decoder.decode(encoder.encode(lines), raw=True)] == lines


def test_what_differs_in_each_response_displaces_nothing() -> None:
    encoder = H2State(1024).encoder
    encoder.encode([(b"etag", b'"x"')])
    known = encoder.encode([(b"etag", b'"x"')])
    assert len(known) == 1
    for number in range(1000):
        encoder.encode([(RANGE, b"bytes %d-%d/100000" % (number, number)), (b"content-length", b"%d" % number)])
    assert encoder.encode([(b"etag", b'"x"')]) == known


def test_a_long_value_is_encoded_too() -> None:
    lines = [(b"content-length", b"1" * 300)]
    decoded = Decoder().decode(H2State(1024).encoder.encode(lines), raw=True)
    assert [(bytes(name), bytes(value)) for name, value in decoded] == lines
