"""PURE. The page cache of a node: chunks of files, of which the least recently used is evicted first."""

from __future__ import annotations

from collections import OrderedDict

_CHUNKS_BITS = 24
"""Bits of a key for the chunk's number in its file; the other bits are the file's number."""


def key_of(file: int, chunk: int) -> int:
    """Return the key of a chunk. A file has fewer than 2**24 chunks."""
    return file << _CHUNKS_BITS | chunk


class Cache:
    """At most ``capacity_bytes`` of chunks. A larger chunk is never cached."""

    __slots__ = ("_chunks", "capacity_bytes", "held_bytes")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._chunks: OrderedDict[int, int] = OrderedDict()

    def touch(self, key: int, size_bytes: int) -> bool:
        """Use a chunk and cache it. Return whether it was cached before."""
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
