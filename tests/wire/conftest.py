"""Feed bytes to the HTTP/1 parser and collect the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from freight.errors import ProtocolError
from freight.wire.http1.parser import Head, Limits, RequestParser


@dataclass(frozen=True)
class Reading:
    """The result of a connection's bytes: the heads in order, and the status of the error, if there was one."""

    heads: tuple[Head, ...]
    status: int | None
    idle: bool

    @property
    def targets(self) -> list[str]:
        return [head.request.target for head in self.heads]


def read_pieces(pieces: Iterable[bytes], limits: Limits | None = None, scheme: str = "http") -> Reading:
    """Feed each piece, and read all heads before the next one."""
    parser = RequestParser("192.0.2.1", limits or Limits(), scheme)
    heads: list[Head] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (head := parser.next()) is not None:
                heads.append(head)
        except ProtocolError as refusal:
            return Reading(tuple(heads), refusal.status, parser.idle)
    return Reading(tuple(heads), None, parser.idle)


@pytest.fixture(scope="session")
def read() -> Callable[..., Reading]:
    return read_pieces


def _whole(data: bytes) -> list[bytes]:
    return [data]


def _bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.fixture(scope="session", params=[_whole, _bytewise], ids=["whole", "byte-by-byte"])
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    """Split bytes as the network may: not at all, or after each byte."""
    chosen: Callable[[bytes], list[bytes]] = request.param
    return chosen
