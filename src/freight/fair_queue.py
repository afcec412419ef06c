"""A fair queue: round-robin between clients, first in first out within one client.

Strategy: the waiting keys form a ring, each with its tickets in the order of arrival. ``pop`` takes the first ticket of
the first eligible key and moves that key to the end of the ring. A key that is skipped keeps its position; a key that
joins, or joins again, goes to the end. So a key with 64 tickets gets as many turns as a key with one, and a client
gains nothing by leaving and joining again.

Invariants: a ticket is in the queue at most once. A key is in the ring if and only if it has a ticket, so nothing is
left of a client that has gone. ``_longer_than[n]`` is how many keys have more than ``n`` tickets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Key = str | bytes
"""The client of a ticket, as :func:`freight.http.client_address.client_key` returns it."""

T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[T]):
    """A queue without a limit that is fair by key. Tickets are hashable, and each is in the queue at most once.

    Every method is O(1), with four exceptions: :meth:`pop` walks over the keys that it skips, :meth:`oldest` over their
    tickets, :meth:`position` over the key's own tickets, and :meth:`longest` over the keys. A ticket takes about 180
    bytes, and the first one of its key 370 more.
    """

    __slots__ = ("_arrivals", "_longer_than", "_ring")

    def __init__(self) -> None:
        # OrderedDict, because a plain dict walks over every entry deleted before its first one.
        self._ring: OrderedDict[Key, OrderedDict[T, None]] = OrderedDict()
        self._arrivals: OrderedDict[T, Key] = OrderedDict()
        self._longer_than: list[int] = []

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return len(self._arrivals)

    def join(self, key: Key, ticket: T) -> None:
        """Add a ticket after all others of its key. Raise ValueError if it is in the queue already."""
        if ticket in self._arrivals:
            raise ValueError("a ticket can be in the queue only once")
        tickets = self._ring.setdefault(key, OrderedDict())
        if len(tickets) == len(self._longer_than):
            self._longer_than.append(0)
        self._longer_than[len(tickets)] += 1
        tickets[ticket] = None
        self._arrivals[ticket] = key

    def leave(self, key: Key, ticket: T) -> bool:
        """Remove a ticket. Return False if it is not in the queue, because it was popped, for example."""
        tickets = self._ring.get(key)
        if tickets is None or ticket not in tickets:
            return False
        self._remove(key, tickets, ticket)
        return True

    def pop(self, eligible: Callable[[Key], bool]) -> tuple[Key, T] | None:
        """Remove and return the next key and ticket; None if no key is ``eligible``.

        ``eligible`` is called for each key in the order of their turns until it returns True, and must not change the
        queue. A skipped key has running downloads, so there are at most as many skipped keys as slots.
        """
        for key, tickets in self._ring.items():
            if eligible(key):
                ticket = next(iter(tickets))
                self._ring.move_to_end(key)
                self._remove(key, tickets, ticket)
                return key, ticket
        return None

    def position(self, key: Key) -> int:
        """Return how many tickets would be popped before one that joined now, if all keys are eligible.

        Exact for a key without tickets. For any other key it is the worst case of its round: keys with more tickets
        count as if they were before it in the ring, which saves a walk round the ring.
        """
        own = self.count(key)
        if own >= len(self._longer_than):  # no key has more: a client that floods costs no sum for each rejection
            return len(self)
        return sum(self._longer_than[: own + 1])

    def count(self, key: Key) -> int:
        """Return how many tickets of a key wait."""
        return len(self._ring.get(key, ()))

    def counts(self) -> Iterator[tuple[Key, int]]:
        """Yield each waiting key and its number of tickets, in the order of turns. The queue must not change."""
        return ((key, len(tickets)) for key, tickets in self._ring.items())

    def in_order(self, most: int) -> Iterator[tuple[Key, T]]:
        """Yield the first ``most`` tickets as :meth:`pop` would, if all keys are eligible. Do not change the queue."""
        rows = [(key, iter(tickets)) for key, tickets in islice(self._ring.items(), most)]
        while rows:
            left = []
            for key, tickets in rows:
                for ticket in islice(tickets, 1):
                    if not most:
                        return
                    most -= 1
                    yield key, ticket
                    left.append((key, tickets))
            rows = left

    @property
    def max_length(self) -> int:
        """Return the largest number of tickets that any key has, 0 for an empty queue."""
        return len(self._longer_than)

    def longest(self) -> tuple[Key, T] | None:
        """Return a key that has the most tickets, and its newest ticket; None for an empty queue."""
        for key, tickets in self._ring.items():
            if len(tickets) == self.max_length:
                return key, next(reversed(tickets))
        return None

    def newest(self) -> tuple[Key, T] | None:
        """Return the newest ticket and its key; None for an empty queue."""
        for ticket in reversed(self._arrivals):
            return self._arrivals[ticket], ticket
        return None

    def oldest(self, eligible: Callable[[Key], bool] | None = None) -> tuple[Key, T] | None:
        """Return the ticket that has waited longest and its key; None for an empty queue.

        With ``eligible``: the oldest of the keys for which it returns True. It is called once for each key before that.
        """
        skipped = set()
        for ticket, key in self._arrivals.items():
            if eligible is None or (key not in skipped and eligible(key)):
                return key, ticket
            skipped.add(key)
        return None

    def _remove(self, key: Key, tickets: OrderedDict[T, None], ticket: T) -> None:
        del tickets[ticket], self._arrivals[ticket]
        self._longer_than[len(tickets)] -= 1
        if not self._longer_than[-1]:
            self._longer_than.pop()
        if not tickets:
            del self._ring[key]
