"""Check passwords in threads: a few at once, some more wait in turn by client, and no more.

A check takes 50 ms of one core or more, by design of bcrypt. Serving comes first: the threads have a lower priority.

Right passwords are remembered, so that a page with a hundred images is checked once. What is remembered is an HMAC of
the name, the password and the hash, under a key that only this process has: it contains no password, nobody can search
one with it later, and it is of no use after a change of the file.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from freight.access.users import PASSWORD_BYTES
from freight.fair_queue import FairQueue, Key
from freight.threads import OutOfThreads, start_daemon

THREADS = 2
QUEUE = 64
REMEMBERED = 4096  # about 600 KiB
_NICENESS = 10

Verify = Callable[[bytes, bytes], bool]
"""A password and a hash -> whether they belong together."""


def bcrypt_verify(password: bytes, stored: bytes) -> bool:
    """Return whether ``stored`` is the bcrypt hash of a password, compared in constant time.

    As with other servers, only its first 72 bytes count.
    """
    import bcrypt

    return bcrypt.checkpw(password[:PASSWORD_BYTES], stored)


class _Check:
    """One check that waits or runs. ``decoy``: the password is wrong, whatever the hash says."""

    __slots__ = ("decoy", "digest", "key", "outcome", "password", "stored")

    def __init__(self, key: Key, digest: bytes, password: bytes, stored: bytes, decoy: bool) -> None:
        self.key = key
        self.digest = digest
        self.password = password
        self.stored = stored
        self.decoy = decoy
        self.outcome: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()


class PasswordChecks:
    """The checks of one event loop."""

    def __init__(self, verify: Verify = bcrypt_verify) -> None:
        self._verify = verify
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._queue: FairQueue[_Check] = FairQueue()
        self._pending: dict[tuple[Key, bytes], _Check] = {}
        self._running = 0

    def __len__(self) -> int:
        """Return how many checks wait."""
        return len(self._queue)

    def forget(self) -> None:
        """Forget which passwords were right."""
        self._right.clear()

    def digest(self, user: str, password: bytes, stored: bytes) -> bytes:
        """Return what stands for a name, a password and a hash here."""
        name = user.encode()
        return hmac.digest(self._key, b"%d:%b%d:%b%b" % (len(name), name, len(stored), stored, password), "sha256")

    def is_known(self, digest: bytes) -> bool:
        """Return whether the password with this digest was right."""
        if digest not in self._right:
            return False
        self._right.move_to_end(digest)
        return True

    def is_pending(self, client: Key, digest: bytes) -> bool:
        """Return whether this client's password with this digest is being checked."""
        return (client, digest) in self._pending

    async def check(self, client: Key, digest: bytes, password: bytes, stored: bytes, *, decoy: bool) -> bool | None:
        """Return whether a password is right. None: too many other checks wait.

        ``decoy``: there is no such user. The work is done all the same, and the password is wrong. A client that sends
        one password in many requests at once pays for one check.
        """
        check = self._pending.get((client, digest))
        if check is None:
            if len(self._queue) >= QUEUE:
                return None
            check = self._pending[client, digest] = _Check(client, digest, password, stored, decoy)
            self._queue.join(client, check)
            self._start()
        return await asyncio.shield(check.outcome)  # others may wait for it too

    def call_when_checked(self, client: Key, digest: bytes, call: Callable[[bool | None], object]) -> None:
        """Call a function with the result of a check that runs or waits; at once, with None, if there is none."""
        check = self._pending.get((client, digest))
        if check is None:
            call(None)
        else:
            check.outcome.add_done_callback(lambda outcome: call(outcome.result()))

    def _remember(self, digest: bytes) -> None:
        self._right[digest] = None
        if len(self._right) > REMEMBERED:
            self._right.popitem(last=False)

    def _start(self) -> None:
        while self._running < THREADS and (found := self._queue.pop(lambda key: True)) is not None:
            self._running += 1
            try:
                start_daemon(partial(self._run, found[1]), "password")
            except OutOfThreads:
                self._settle(found[1], None)

    def _run(self, check: _Check) -> None:
        """Do one check. Runs in a thread of its own: starting one takes a thousandth of the check's time."""
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        except OSError:
            pass  # a sandbox may refuse it
        try:
            right: bool | None = self._verify(check.password, check.stored) and not check.decoy
        except Exception:  # the library refuses the hash
            right = False
        try:
            check.outcome.get_loop().call_soon_threadsafe(self._end, check, right)
        except RuntimeError:
            pass  # the loop has ended, and nobody waits

    def _end(self, check: _Check, right: bool | None) -> None:
        self._settle(check, right)
        self._start()

    def _settle(self, check: _Check, right: bool | None) -> None:
        self._running -= 1
        del self._pending[check.key, check.digest]
        if right:
            self._remember(check.digest)
        if not check.outcome.done():
            check.outcome.set_result(right)
