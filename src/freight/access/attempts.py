"""Limit how often a client may fail to sign in. Pure: the caller passes the time, in seconds of a monotonic clock.

**Goal.** Nobody tries many passwords, and a person who mistypes one notices nothing.

**Rules.**

1. The answers to the first FREE failures come at once. Each further one is delayed a little longer.
2. After MOST failures a client's credentials are no longer checked, the right ones neither: otherwise the answer would
   tell the right ones.
3. A failure is forgotten after FORGET_SECONDS. So a client may try one password in that time for ever.
4. An attempt that is being checked counts as a failure, so that many at once are no way round the limit.

**Left out.** Tokens that are right: nobody can guess them, so they are accepted from every client. An attacker with
many addresses has as many attempts.
"""

from __future__ import annotations

import math
from collections import OrderedDict

FREE = 3
MOST = 10
FORGET_SECONDS = 30.0
DELAY_SECONDS = 0.1
"""The delay of the first failure after FREE. Each further one is delayed by as much more."""

MAX_CLIENTS = 1024
"""How many clients are remembered: those that failed last. About 200 KiB."""

Key = str | bytes


class _Account:
    __slots__ = ("at", "failures", "pending")

    def __init__(self, now: float) -> None:
        self.failures = 0.0
        self.pending = 0
        self.at = now

    def settle(self, now: float) -> None:
        self.failures = max(0.0, self.failures - max(0.0, now - self.at) / FORGET_SECONDS)
        self.at = now


class Attempts:
    """The failures of each client, by its key."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[Key, _Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def wait_seconds(self, client: Key, now: float) -> int:
        """Return after how many seconds the client may try again; 0: it may now."""
        account = self._accounts.get(client)
        if account is None:
            return 0
        account.settle(now)
        beyond = account.failures + account.pending - (MOST - 1)
        return math.ceil(beyond * FORGET_SECONDS) if beyond > 0 else 0

    def begin(self, client: Key, now: float) -> None:
        """Count an attempt whose result is not known yet. :meth:`end` must follow."""
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = _Account(now)
            if len(self._accounts) > MAX_CLIENTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(client)
        account.settle(now)
        account.pending += 1

    def end(self, client: Key, now: float, *, failed: bool) -> float:
        """Count the result of an attempt. Return for how many seconds to delay the answer."""
        account = self._accounts.get(client)
        if account is None:  # forgotten meanwhile, for others
            return 0.0
        account.settle(now)
        account.pending = max(0, account.pending - 1)
        if failed:
            account.failures += 1
            return max(0.0, (math.ceil(account.failures) - FREE) * DELAY_SECONDS)
        if not account.pending and account.failures == 0.0:
            del self._accounts[client]
        return 0.0
