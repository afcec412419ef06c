"""Compare a directory with a manifest. Files that agree get the manifest's times; all others are reported.

Threads make the digests, a few files at a time. Results are in the order of the paths.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from threading import Event
from typing import TypeVar

from freight.sources.beneath import Root
from freight.tools.stamp.manifest import Names, Stamp, order
from freight.tools.stamp.tree import Found, digest, set_time

THREADS = min(4, os.cpu_count() or 1)
_PENDING_MAX = 4 * THREADS  # files that are started and not yet reported

_T = TypeVar("_T")
_R = TypeVar("_R")
Read = Callable[[int], object]


class State(Enum):
    """The result for a path."""

    SAME = "same"  # the time was right already
    STAMPED = "stamped"  # the time was set
    UNSTAMPED = "unstamped"  # the content agrees, the time does not, and a dry run changes nothing
    DIFFERENT = "different"
    MISSING = "missing"  # it is in the manifest only
    EXTRA = "extra"  # it is in the directory only
    FAILED = "failed"


GOOD = frozenset({State.SAME, State.STAMPED})
"""The results that need no attention."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A path, its result, and the reason if the result does not say it."""

    names: Names
    state: State
    why: str = ""


def compare(
    root: Root, found: Iterable[Found], stamps: Iterable[Stamp], *, check: bool, change: bool, read: Read
) -> Iterator[Finding]:
    """Yield a finding for every path of either side, in order. ``check``: also compare content; ``change``: set times.

    ``read`` is called, from any thread, with the number of bytes read.
    """

    def settle(pair: tuple[Found | None, Stamp | None], read: Read) -> Finding:
        return _settle(root, *pair, check=check, change=change, read=read)

    return side_by_side(settle, _pairs(found, stamps), read)


def side_by_side(work: Callable[[_T, Read], _R], items: Iterable[_T], read: Read) -> Iterator[_R]:
    """Run ``work`` for each item in THREADS threads, and yield the results in order.

    ``work`` gets a function that reports the bytes it read. If this generator ends early, that function raises
    InterruptedError in the threads, because a file may have terabytes.
    """
    ended = Event()

    def report(count: int) -> None:
        if ended.is_set():
            raise InterruptedError
        read(count)

    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque[Future[_R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item, report))
                if len(pending) >= _PENDING_MAX:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _pairs(found: Iterable[Found], stamps: Iterable[Stamp]) -> Iterator[tuple[Found | None, Stamp | None]]:
    """Pair the entries of both sides by path. Both are sorted."""
    left, right = iter(found), iter(stamps)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order(one.names) < order(other.names)):
            yield one, None
            one = next(left, None)
        elif one is None or order(other.names) < order(one.names):
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def _settle(root: Root, found: Found | None, stamp: Stamp | None, *, check: bool, change: bool, read: Read) -> Finding:
    if stamp is None:
        assert found is not None
        return Finding(found.names, State.EXTRA)
    if found is None:
        return Finding(stamp.names, State.MISSING)
    if found.size != stamp.size:
        return Finding(found.names, State.DIFFERENT, f"{found.size} bytes, not {stamp.size}")
    try:
        if check and (seen := digest(root, found, read)) != stamp.digest:
            return Finding(found.names, State.DIFFERENT, "other content" if seen else "changed while it was read")
        if found.mtime_ns == stamp.mtime_ns:
            return Finding(found.names, State.SAME)
        if not change:
            return Finding(found.names, State.UNSTAMPED)
        if set_time(root, found, stamp.mtime_ns):
            return Finding(found.names, State.STAMPED)
    except OSError as error:
        return Finding(found.names, State.FAILED, error.strerror or type(error).__name__)
    return Finding(found.names, State.FAILED, "changed, or its file system does not store nanoseconds")
