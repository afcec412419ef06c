"""Responses for one client, by a signed link or to a user, and the name that a link gives a file. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from freight.model import Fields, NotFound, Plan, Resource

_CACHE_CONTROL = "cache-control"
# The address holds the signature: a page must not send it to other servers (Referrer Policy, section 3.1).
NO_REFERRER = ("Referrer-Policy", "no-referrer")
_PRIVATE = ("Cache-Control", "private")
_REFERRER_POLICY = "referrer-policy"
_REPLACED = frozenset({_CACHE_CONTROL, "surrogate-control", "expires"})


def keep_private(plan: Plan) -> Plan:
    """Return the response to a link as one that no shared cache stores: a cache does not know when the link expires."""
    if _all_stay(tuple([name for name, _ in plan.fields])):
        return replace(plan, fields=(*plan.fields, _PRIVATE, NO_REFERRER))
    others = tuple(field for field in plan.fields if field[0].lower() != _REFERRER_POLICY)
    return replace(plan, fields=(*for_one_client(others), NO_REFERRER))


@lru_cache(maxsize=64)
def _all_stay(names: tuple[str, ...]) -> bool:
    """Return whether no field of these names must go. Only freight and the rules choose names, so there are few."""
    return not any(name.lower() == _REFERRER_POLICY or _is_replaced(name.lower()) for name in names)


def for_one_client(fields: Fields) -> Fields:
    """Return the fields of a response that no shared cache may store (RFC 9111 section 5.2.2.7).

    What Cache-Control said before must hold still, but for ``public`` and ``s-maxage``. ``private`` overrides what else
    would let a shared cache answer others: ``must-revalidate`` (section 3.5). So ``Vary: Authorization`` is not needed.
    """
    if not any(_is_replaced(name.lower()) for name, _ in fields):
        return (*fields, _PRIVATE)
    before = [value for name, value in fields if name.lower() == _CACHE_CONTROL]
    others = tuple(field for field in fields if not _is_replaced(field[0].lower()))
    directives = [each.strip() for value in before for each in value.split(",")]
    kept = [each for each in directives if each and not each.lower().startswith(("public", "private", "s-maxage"))]
    return (*others, ("Cache-Control", ", ".join(["private", *kept])))


def _is_replaced(name: str) -> bool:
    """Return whether a field must go. A rule may add some that only certain caches obey (RFC 9213 section 2)."""
    return name in _REPLACED or name.endswith("-cache-control")


_Found = TypeVar("_Found", Resource, NotFound, Resource | NotFound)


def with_filename(found: _Found, filename: str) -> _Found:
    """Return a file with another name to save under, unless that is "". A listing has none."""
    return replace(found, name=filename) if filename and isinstance(found, Resource) and found.name else found
