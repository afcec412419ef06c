"""How the tests of the receiving side feed bytes and collect what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from freight.errors import ProtocolError
from freight.wire.http1 import Head, Inbound, Limits


@dataclass(frozen=True)
class Reading:
    """What came out of a connection: its heads in order, then the refusal's status, if there was one."""

    heads: tuple[Head, ...]
    status: int | None
    idle: bool

    @property
    def targets(self) -> list[str]:
        return [head.request.target for head in self.heads]


def read_pieces(pieces: Iterable[bytes], limits: Limits | None = None, scheme: str = "http") -> Reading:
    """Feed each piece and take every head there is before the next one."""
    inbound = Inbound("192.0.2.1", limits or Limits(), scheme)
    heads: list[Head] = []
    for piece in pieces:
        inbound.feed(piece)
        try:
            while (head := inbound.next()) is not None:
                heads.append(head)
        except ProtocolError as refusal:
            return Reading(tuple(heads), refusal.status, inbound.idle)
    return Reading(tuple(heads), None, inbound.idle)


@pytest.fixture(scope="session")
def read() -> Callable[..., Reading]:
    return read_pieces


def _whole(data: bytes) -> list[bytes]:
    return [data]


def _bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.fixture(scope="session", params=[_whole, _bytewise], ids=["whole", "byte-by-byte"])
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    """A way for the network to deliver bytes."""
    chosen: Callable[[bytes], list[bytes]] = request.param
    return chosen
