"""Two ways to take the body of a response: compare every byte with the file, or discard it in the kernel."""

from __future__ import annotations

import mmap
import socket
from pathlib import Path
from typing import Protocol, cast

_DISCARDED = bytearray(1 << 20)


class WrongResponse(Exception):
    """A response differs from the file in status, length or a byte."""


class Body(Protocol):
    """How clients take bodies. ``read_bytes``: the most that one read takes, so that no client delays the others."""

    read_bytes: int

    def size(self, target: str) -> int | None:
        """Return the length of the representation, or None if only the response tells."""

    def read(self, connection: socket.socket, target: str, at: int, stop: int | None, most: int) -> int:
        """Read what has arrived of the bytes from ``at`` on. Return their number, 0 at the end of the stream.

        Raises BlockingIOError, OSError and WrongResponse.
        """


class Compared:
    """Every byte is compared with the file that the target names below ``root``."""

    read_bytes = 256 << 10

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, bytes] = {}

    def size(self, target: str) -> int:
        if target not in self._files:
            with (self._root / target.lstrip("/")).open("rb") as file:
                self._files[target] = cast("bytes", mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return len(self._files[target])

    def read(self, connection: socket.socket, target: str, at: int, stop: int | None, most: int) -> int:
        assert stop is not None
        data = connection.recv(min(most, stop - at + 1))  # one byte too many would be noticed
        end = at + len(data)
        if data != self._files[target][at : min(end, stop)]:
            raise WrongResponse(f"{target}: wrong bytes in [{at}, {end})")
        return len(data)


class Discarded:
    """The kernel discards the bytes instead of copying them (MSG_TRUNC, tcp(7)), so that clients cost little."""

    read_bytes = len(_DISCARDED)

    def size(self, target: str) -> None:
        return None

    def read(self, connection: socket.socket, target: str, at: int, stop: int | None, most: int) -> int:
        return connection.recv_into(_DISCARDED, most, socket.MSG_TRUNC)
