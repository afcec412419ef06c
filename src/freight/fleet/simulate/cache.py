"""PURE. The page cache of a node: which chunks of which files it has, the least recently used going first."""

from __future__ import annotations

from collections import OrderedDict

_CHUNKS_BITS = 24
"""So many bits of a key are a chunk's number in its file, the rest is the file's."""


def key_of(file: int, chunk: int) -> int:
    """One number for a chunk of a file; a file has fewer than 2**24."""
    return file << _CHUNKS_BITS | chunk


class Cache:
    """At most ``capacity_bytes`` of chunks. What is larger than all of it is never there."""

    __slots__ = ("_chunks", "capacity_bytes", "held_bytes")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._chunks: OrderedDict[int, int] = OrderedDict()

    def touch(self, key: int, size_bytes: int) -> bool:
        """Use a chunk: whether it was there. From now on it is, as the one used last."""
        chunks = self._chunks
        if key in chunks:
            chunks.move_to_end(key)
            return True
        if size_bytes > self.capacity_bytes:
            return False
        chunks[key] = size_bytes
        self.held_bytes += size_bytes
        while self.held_bytes > self.capacity_bytes:
            self.held_bytes -= chunks.popitem(last=False)[1]
        return False
