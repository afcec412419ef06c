"""The guard: a request for a path that is not public needs a permitted user, or a signed link of exactly that path.

It checks each request before anything is looked up, so that no refusal depends on whether the path exists.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TypeVar

from freight.access.files import AccessFiles
from freight.access.keys import load
from freight.access.links import LinkChecker, expired_sentence
from freight.access.passwords import Verify, bcrypt_verify
from freight.access.sign_in import SignIn
from freight.errors import ConfigurationError
from freight.http.access import USERS, Access, for_user
from freight.http.error_response import for_method, plan_error
from freight.http.printable import printable
from freight.http.private import NO_REFERRER, keep_private, with_filename
from freight.model import Grant, Level, NotFound, Plan, Request, Resource
from freight.protocols import Clock

_Found = TypeVar("_Found", Resource, NotFound, Resource | NotFound)

_NEEDED = "This address needs a signed link. Ask for one where you found the address."


class Guard:
    """Checks each request before anything is looked up.

    ``keys_path`` is the file of the keys that sign links, and ``files`` has the users and tokens; None: there are none.
    ``default`` is the access to paths about which no rule says anything.
    """

    def __init__(
        self,
        keys_path: str | os.PathLike[str] | None,
        files: AccessFiles | None = None,
        default: Access = USERS,
        verify: Verify = bcrypt_verify,
    ) -> None:
        """Raise ConfigurationError if the file of keys is not valid."""
        self._path = keys_path
        self._links = None if keys_path is None else LinkChecker(load(keys_path))
        self._files = files
        self._sign_in = None if files is None else SignIn(files, verify)
        self._default = default

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know of the files."""
        warning = "" if self._links is None else self._links.keys.warning
        return (warning,) if warning else ()

    async def check(self, request: Request, access: Access | None, clock: Clock) -> Request | Plan:
        """Return the request with what it was granted, or the answer that refuses it. Never raises.

        ``access`` is what the rule of its path says, or None.
        """
        wanted = self._default if access is None else access
        if request.target == "*" or (request.grant is not None and (request.grant.is_link or wanted.public)):
            return request
        checked = None if self._links is None else self._links.check(request, clock.now())
        if isinstance(checked, Request):
            return checked
        if wanted.public:
            return replace(request, grant=Grant())
        if checked is not None:
            return refusal(request, checked)
        if self._sign_in is None:
            return refusal(request, _NEEDED)
        user = request.user or await self._sign_in.check(request, clock)  # another rule has had it checked before
        if isinstance(user, Plan):
            return for_method(request.method, user)
        if not wanted.permits(user):
            return for_user(refusal(request, f"The user {printable(user)} may not read this."), user)
        # The requests of a user share as one client, from whatever addresses.
        return replace(request, grant=Grant(user=user), client_key=f"user:{user}")

    def granted(self, request: Request, plan: Plan) -> Plan:
        """Return the answer as a request's grant allows it: by an expired link, only the rest of a download."""
        grant = request.grant
        if grant is None:
            return plan
        if not grant.is_link:
            return for_user(plan, grant.user) if grant.user else plan
        if grant.expired_at is not None and plan.status not in (206, 503):
            plan = refusal(request, expired_sentence(grant.expired_at))
        return keep_private(plan)

    def named(self, found: _Found, request: Request) -> _Found:
        """Return what was found with the file name that the request's link gives it, if that gives one."""
        return found if request.grant is None else with_filename(found, request.grant.filename)

    def reload(self) -> list[tuple[Level, str]]:
        """Read the files again; an invalid one leaves the current ones. Return messages for the operator."""
        notices = [] if self._files is None else self._files.reload()
        if self._path is None:
            return notices
        try:
            self._links = LinkChecker(load(self._path))  # it remembers no link of a key that was withdrawn
        except ConfigurationError as error:
            return [*notices, (Level.WARNING, f"signing keys not reloaded, keeping the current ones: {error}")]
        return [*notices, (Level.INFO, "signing keys reloaded"), *((Level.WARNING, each) for each in self.warnings)]


def refusal(request: Request, why: str) -> Plan:
    """Return a 403 with a sentence. No cache keeps it, and its page sends the address to no other server."""
    return for_method(request.method, plan_error(403, why, request.field("accept"), (NO_REFERRER,)))
