"""The clients that may read a path, and what a response to a permitted one says to caches. Pure.

:mod:`freight.access` decides whether a request is permitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from freight.http.private import for_one_client
from freight.model import Plan


@dataclass(frozen=True, slots=True)
class Access:
    """The clients that may read a path.

    ``public``: every client. Otherwise a user or a token, of those ``names`` only unless that is empty.
    """

    public: bool = False
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "everyone" if self.public else ", ".join(sorted(self.names)) or "users"

    def permits(self, name: str) -> bool:
        """Return whether the user or token of this name may read the path."""
        return self.public or not self.names or name in self.names


EVERYONE = Access(public=True)
"""Every client, without credentials."""

USERS = Access()
"""Every user and every token."""


def for_user(plan: Plan, user: str) -> Plan:
    """Return the response to a request of a user.

    No shared cache may store it (:func:`freight.http.private.for_one_client`), whatever a rule says of Cache-Control.
    """
    return replace(plan, fields=for_one_client(plan.fields), user=user)
