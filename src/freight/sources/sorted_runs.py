"""Texts that are sorted in a fixed amount of memory, a third of what a list of them takes.

Goal: put a hundred thousand texts in order without holding the interpreter for longer than some milliseconds.

Plan: the texts come in batches. Each batch is sorted and kept as a *run*: blocks of 64 texts, encoded as one bytes
object each. :meth:`SortedRuns.merged` merges the runs, with one block of each decoded at a time. Each step takes what
the decoded blocks have up to the first of their ends, and sorts that.

Invariant: every text that was added, and does not come after :attr:`SortedRuns.bound`, is kept. If the memory is used
up, and no more is granted, the bound is moved to the front, and what comes after it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from freight.protocols import MoreMemory

BLOCK_TEXTS = 64
MAX_BATCH = 4096  # sorting these holds the interpreter for 1 to 3 ms
_BATCH_DIVISOR = 8  # the batch takes at most 1/8 of the memory
_TEXT_COST = 200  # of a text that is not encoded
_RUN_COST = BLOCK_TEXTS * _TEXT_COST  # of a run: its decoded block during the merge
_CHUNKS = 16  # of merged texts between two pauses: about a millisecond
_BLOCK_COST = 64  # of a block, beyond its bytes


class SortedRuns:
    """Texts without slashes and without duplicates, in ascending or ``descending`` order.

    ``memory_bytes`` limits what is kept, which is one block at least, and ``more_memory`` may extend that. ``pause`` is
    called now and then while the bound moves, and may raise. ``max_texts``: no more than the first so many are needed;
    None: all.
    """

    __slots__ = (
        "_batch",
        "_batch_texts",
        "_bytes",
        "_descending",
        "_max_texts",
        "_memory_bytes",
        "_more_memory",
        "_pause",
        "_runs",
        "_texts",
        "bound",
    )

    def __init__(
        self,
        memory_bytes: int,
        more_memory: MoreMemory,
        pause: Callable[[], None],
        max_texts: int | None = None,
        *,
        descending: bool,
    ) -> None:
        self._pause = pause
        self._more_memory = more_memory
        self._max_texts = max_texts
        self._descending = descending
        self._runs: list[list[bytes]] = []
        self._batch: list[str] = []
        self._texts = self._bytes = 0
        self.bound: str | None = None
        self._set_memory(memory_bytes)

    def add(self, texts: list[str]) -> None:
        """Add texts in any order. Those that come after the bound are dropped."""
        if (bound := self.bound) is not None:
            texts = [text for text in texts if (text >= bound if self._descending else text <= bound)]
        self._batch += texts
        if len(self._batch) >= self._batch_texts:
            self._end_batch()

    def merged(self) -> Iterator[list[str]]:
        """Yield the texts in order, a few at a time, up to the bound. Empties the runs."""
        self._end_batch()
        runs, self._runs, self._bytes, self._texts = self._runs, [], 0, 0
        for run in runs:
            run.reverse()  # blocks are taken from the end
        # The decoded block of each run, in ascending order.
        decoded = [self._decoded(run.pop()) for run in runs]
        end, first = (0, max) if self._descending else (-1, min)
        while decoded:
            # No block that is still encoded has a text before this one.
            bound = first([texts[end] for texts in decoded])
            merged: list[str] = []
            for at in range(len(decoded) - 1, -1, -1):
                merged += self._take(decoded[at], bound)
                if not decoded[at]:
                    if runs[at]:
                        decoded[at] = self._decoded(runs[at].pop())
                    else:
                        del decoded[at], runs[at]
            merged.sort(reverse=self._descending)
            yield merged

    def _decoded(self, block: bytes) -> list[str]:
        texts = block.decode("utf-8", "surrogatepass").split("/")
        if self._descending:
            texts.reverse()
        return texts

    def _take(self, texts: list[str], bound: str) -> list[str]:
        """Remove and return the texts up to the bound, which is one of all texts."""
        if self._descending:
            at = bisect_left(texts, bound)
            taken = texts[at:]
            del texts[at:]
        else:
            at = bisect_right(texts, bound)
            taken = texts[:at]
            del texts[:at]
        return taken

    def _set_memory(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._batch_texts = max(1, min(MAX_BATCH, memory_bytes // _BATCH_DIVISOR // _TEXT_COST))

    @property
    def _room(self) -> int:
        """The memory for the runs, in bytes."""
        return self._memory_bytes - self._batch_texts * _TEXT_COST

    def _is_full(self) -> bool:
        return self._bytes + len(self._runs) * _RUN_COST > self._room

    def _end_batch(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        batch.sort(reverse=self._descending)
        self._runs.append([self._encoded(batch[at : at + BLOCK_TEXTS]) for at in range(0, len(batch), BLOCK_TEXTS)])
        if self._max_texts is not None and self._texts > 2 * self._max_texts:
            self._move_bound()
        while self._is_full():
            granted = self._more_memory()
            if not granted:
                self._move_bound()
                break
            self._set_memory(self._memory_bytes + granted)

    def _encoded(self, texts: list[str]) -> bytes:
        """Return a block, and count it."""
        block = "/".join(texts).encode("utf-8", "surrogatepass")
        self._texts += len(texts)
        self._bytes += len(block) + _BLOCK_COST
        return block

    def _move_bound(self) -> None:
        """Keep ``max_texts``, or what takes half of the memory, in one run. Drop the rest."""
        run: list[bytes] = []
        half = self._room // 2 - _RUN_COST
        for count, texts in enumerate(self.merged()):
            if count % _CHUNKS == _CHUNKS - 1:
                self._pause()
            run += [self._encoded(texts[at : at + BLOCK_TEXTS]) for at in range(0, len(texts), BLOCK_TEXTS)]
            self.bound = texts[-1]
            if self._bytes > half or (self._max_texts is not None and self._texts >= self._max_texts):
                break
        self._runs = [run]
