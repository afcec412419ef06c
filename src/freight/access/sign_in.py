"""Find the user or token whose credentials a request has, or the answer to a request that has none.

A request gets 401 without valid credentials, 429 after too many failures, and 503 while too many passwords are to be
checked. None of these answers depends on the path.

A token is accepted as a bearer token (RFC 6750), and in place of a password (RFC 7617): browsers, wget, pip, apt and
git send no bearer tokens. The user name beside it has no effect.
"""

from __future__ import annotations

import asyncio

from freight.access import credentials
from freight.access.attempts import Attempts
from freight.access.credentials import Basic, Bearer, Unusable
from freight.access.files import AccessFiles
from freight.access.passwords import PasswordChecks, Verify, bcrypt_verify
from freight.access.tokens import Token
from freight.access.users import Users
from freight.fair_queue import Key
from freight.http.error_response import plan_error
from freight.model import Fields, Plan, Request
from freight.protocols import Clock

REALM = "freight"

_BASIC = ("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"')
_BEARER = f'Bearer realm="{REALM}"'
_BUSY_SECONDS = 2  # what a full queue of checks takes with the default cost


class SignIn:
    """Checks credentials against users and tokens. It is used on one event loop."""

    def __init__(self, files: AccessFiles, verify: Verify = bcrypt_verify) -> None:
        self._files = files
        self._checks = PasswordChecks(verify)
        self._attempts = Attempts()
        self._users = files.users  # those that self._checks remembers passwords of

    async def check(self, request: Request, clock: Clock) -> str | Plan:
        """Return the name of the user or token, or the answer."""
        found = credentials.read(request.fields)
        if isinstance(found, Bearer):
            return await self._check_token(request, self._find(found.token), clock)
        if isinstance(found, Basic):
            token = self._find(found.password.decode())
            if token is not None:
                return await self._check_token(request, token, clock)
            return await self._check_password(request, found, clock)
        return await self._refuse_unusable(request, found, clock)

    def _find(self, text: str) -> Token | None:
        return None if self._files.tokens is None else self._files.tokens.find(text)

    async def _refuse_unusable(self, request: Request, found: Unusable, clock: Clock) -> Plan:
        if found is Unusable.SEVERAL:
            return plan_error(400, "A request has at most one Authorization field.", request.field("accept"))
        if found is Unusable.ABSENT:
            return self._challenge(request, "This needs a user name and a password, or a token.")
        return await self._refuse_failed(request, "The Authorization field is malformed.", clock)

    async def _check_token(self, request: Request, token: Token | None, clock: Clock) -> str | Plan:
        """Return the name of a valid token. It is accepted from every client: nobody can guess one."""
        if token is None:
            return await self._refuse_failed(request, "This token is not valid.", clock, token_sent=True)
        if token.is_expired(clock.now()):
            return self._challenge(request, "This token has expired.", token_sent=True)
        return token.name

    async def _check_password(self, request: Request, sent: Basic, clock: Clock) -> str | Plan:
        """Return the name of a user whose password is right."""
        users = self._current_users()
        if users is None:
            return await self._refuse_failed(request, "This token is not valid.", clock)
        if locked := self._locked(request, clock):
            return locked
        stored = users.hashes.get(sent.user)
        used = users.decoy if stored is None else stored
        digest = self._checks.digest(sent.user, sent.password, used)
        if self._checks.is_known(digest):
            return sent.user
        right, delay = await self._check_in_thread(
            request.client_key, digest, sent.password, used, clock, decoy=stored is None
        )
        if right is None:
            detail = "Too many passwords are being checked at the moment."
            return plan_error(503, detail, request.field("accept"), retry_seconds=_BUSY_SECONDS)
        current = self._current_users()
        if right and current is not None and current.hashes.get(sent.user) == stored:  # the file may be another one
            return sent.user
        await asyncio.sleep(delay)
        return self._challenge(request, "The user name or the password is wrong.")

    async def _check_in_thread(
        self, client: Key, digest: bytes, password: bytes, stored: bytes, clock: Clock, *, decoy: bool
    ) -> tuple[bool | None, float]:
        """Return whether the password is right (None: no check was possible), and how long to delay the answer."""
        if self._checks.is_pending(client, digest):  # it counts as one attempt
            return await self._checks.check(client, digest, password, stored, decoy=decoy), 0.0
        self._attempts.begin(client, clock.monotonic())
        try:
            right = await self._checks.check(client, digest, password, stored, decoy=decoy)
        except asyncio.CancelledError:  # the work is still to be done, so the attempt still counts
            self._checks.call_when_checked(
                client, digest, lambda right: self._attempts.end(client, clock.monotonic(), failed=right is False)
            )
            raise
        return right, self._attempts.end(client, clock.monotonic(), failed=right is False)

    async def _refuse_failed(self, request: Request, detail: str, clock: Clock, *, token_sent: bool = False) -> Plan:
        """Count a failure that needed no check of a password, and return the answer."""
        if locked := self._locked(request, clock):
            return locked
        self._attempts.begin(request.client_key, clock.monotonic())
        await asyncio.sleep(self._attempts.end(request.client_key, clock.monotonic(), failed=True))
        return self._challenge(request, detail, token_sent=token_sent)

    def _locked(self, request: Request, clock: Clock) -> Plan | None:
        """Return the answer to a client that has failed too often."""
        seconds = self._attempts.wait_seconds(request.client_key, clock.monotonic())
        if not seconds:
            return None
        detail = "Too many attempts to sign in from this address have failed."
        return plan_error(429, detail, request.field("accept"), retry_seconds=seconds)

    def _challenge(self, request: Request, detail: str, *, token_sent: bool = False) -> Plan:
        """Return a 401 (RFC 9110 section 15.5.2) that names the schemes which could succeed."""
        challenges: Fields = (_BASIC,)
        if self._files.tokens is not None:
            error = ', error="invalid_token"' if token_sent else ""  # RFC 6750 section 3.1
            challenges = (*challenges, ("WWW-Authenticate", _BEARER + error))
        return plan_error(401, detail, request.field("accept"), challenges)

    def _current_users(self) -> Users | None:
        """Return the users. After a reload, forget the passwords of before."""
        if self._files.users is not self._users:
            self._users = self._files.users
            self._checks.forget()
        return self._users
