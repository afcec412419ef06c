"""Who waits, and whose turn is next: by turns between clients, first come first served within one.

Strategy: the keys that wait stand in a ring, each with its tickets in the order of arrival. A turn takes the first
ticket of the first key that may run, and that key goes to the ring's end. A key that is skipped keeps its place in
front; one that has come, or come back, stands at the end. So a key with sixty-four tickets has as many turns as a key
with one, and nothing is gained by leaving and joining again.

Invariants: a ticket is in the line once; a key is in the ring if and only if it has a ticket, so what remains of who is
gone is nothing; ``_deeper[n]`` is how many keys have more than ``n`` tickets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Key = str | bytes
"""Whom a ticket belongs to, as :func:`freight.core.client.client_key` has it."""

T = TypeVar("T", bound=Hashable)


class Line(Generic[T]):
    """A waiting line that is fair by key. Tickets are hashable, and each is there once. It has no bound of its own.

    Every step is O(1), but for the keys that :meth:`pop` skips, the newcomer's own tickets in :meth:`place`, and the
    keys in :meth:`deepest`. A ticket takes about 180 bytes, and the first one of its key 370 more.
    """

    __slots__ = ("_arrivals", "_deeper", "_ring")

    def __init__(self) -> None:
        # Ordered ones, as a plain dict walks past all that was deleted before its first entry.
        self._ring: OrderedDict[Key, OrderedDict[T, None]] = OrderedDict()
        self._arrivals: OrderedDict[T, Key] = OrderedDict()
        self._deeper: list[int] = []

    def __len__(self) -> int:
        """How many tickets wait."""
        return len(self._arrivals)

    def join(self, key: Key, ticket: T) -> None:
        """Stand behind all other tickets of this key. Raises ValueError for a ticket that is in the line already."""
        if ticket in self._arrivals:
            raise ValueError("a ticket is in the line once")
        tickets = self._ring.setdefault(key, OrderedDict())
        if len(tickets) == len(self._deeper):
            self._deeper.append(0)
        self._deeper[len(tickets)] += 1
        tickets[ticket] = None
        self._arrivals[ticket] = key

    def leave(self, key: Key, ticket: T) -> bool:
        """Give up a place; the others of this key move up. False when it was not there: it has had its turn."""
        tickets = self._ring.get(key)
        if tickets is None or ticket not in tickets:
            return False
        self._remove(key, tickets, ticket)
        return True

    def pop(self, eligible: Callable[[Key], bool]) -> tuple[Key, T] | None:
        """The next key and ticket, taken out; None when nobody waits who is ``eligible``.

        ``eligible`` is asked about each key until it says True, in the order of their turns; it must not change the
        line. Who is skipped has downloads running, so there are no more of them than slots.
        """
        for key in self._ring:
            if eligible(key):
                break
        else:
            return None
        tickets = self._ring[key]
        ticket = next(iter(tickets))
        self._ring.move_to_end(key)
        self._remove(key, tickets, ticket)
        return key, ticket

    def place(self, key: Key) -> int:
        """How many turns others and the key itself have before a ticket that joined now, if all are eligible.

        Exact for a key that has no ticket. For one that has some it is the worst in its round: keys with more tickets
        that stand behind it in the ring are counted with those in front, to be spared a walk round the ring.
        """
        own = self.count(key)
        if own >= len(self._deeper):  # nobody has more, as with a client that floods: no sum for each refusal
            return len(self)
        return sum(self._deeper[: own + 1])

    def count(self, key: Key) -> int:
        """How many tickets of a key wait."""
        return len(self._ring.get(key, ()))

    def counts(self) -> Iterator[tuple[Key, int]]:
        """The keys that wait, in the order of their turns, and how many tickets each has. The line must not change."""
        return ((key, len(tickets)) for key, tickets in self._ring.items())

    def turns(self, most: int) -> Iterator[tuple[Key, T]]:
        """The first ``most`` tickets in the order of their turns, if all are eligible. The line must not change."""
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
    def depth(self) -> int:
        """How many tickets the key has that has the most; 0 when nobody waits."""
        return len(self._deeper)

    def deepest(self) -> tuple[Key, T] | None:
        """A key that has the most tickets, and the one that came last of them; None when nobody waits."""
        for key, tickets in self._ring.items():
            if len(tickets) == self.depth:
                return key, next(reversed(tickets))
        return None

    def newest(self) -> tuple[Key, T] | None:
        """The key and ticket that came last; None when nobody waits."""
        for ticket in reversed(self._arrivals):
            return self._arrivals[ticket], ticket
        return None

    def oldest(self) -> tuple[Key, T] | None:
        """The key and ticket that have waited longest, whosever turn it is; None when nobody waits."""
        for ticket, key in self._arrivals.items():
            return key, ticket
        return None

    def _remove(self, key: Key, tickets: OrderedDict[T, None], ticket: T) -> None:
        del tickets[ticket], self._arrivals[ticket]
        self._deeper[len(tickets)] -= 1
        if not self._deeper[-1]:
            self._deeper.pop()
        if not tickets:
            del self._ring[key]
