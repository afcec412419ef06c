"""Rules by path: what the operator changes about the responses of some paths. Pure.

The first rule that matches a path decides alone; the keys that it does not have keep their defaults. This module is
imported only where there are rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from freight.http.access import Access
from freight.http.globs import compile_glob
from freight.http.target import Target
from freight.model import Fields, Plan, Resource

MAX_RULES = 256
"""Most rules: a request is compared with each until one matches."""

EVERYTHING = "/**"
"""The pattern that matches every path."""

INDEX_NAME = "index.html"

Disposition = Literal["", "inline", "attachment"]
Index = Literal["list", "index.html", "index.html-only", "none"]
INDEXES: tuple[Index, ...] = ("list", "index.html", "index.html-only", "none")
"""What a directory's address serves: its list; its index.html, or else its list; index.html or else 404; 404."""

_CHANGED_STATUSES = frozenset({200, 206, 304})
_CACHE_CONTROL, _POLICY = "Cache-Control", "content-security-policy"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is special about the paths that ``match`` matches (:mod:`freight.http.globs`).

    - ``headers``: fields to add, or to replace, checked by :mod:`freight.http.response_fields`.
    - ``cache_control``: the Cache-Control of files, or "".
    - ``content_type``: the media type of files, or "" for that of the name.
    - ``disposition``: whether browsers show or save files; "" decides by type.
    - ``index``: what a directory's address serves.
    - ``hidden``: patterns of names with a leading dot that are served all the same (:meth:`reveals`).
    - ``access``: the clients that may read the paths; None: those of ``--access``.
    - ``origin``: where it was given, for ``freight rules``.

    Raise ValueError with a sentence for an invalid pattern.
    """

    match: str = EVERYTHING
    headers: Fields = ()
    cache_control: str = ""
    content_type: str = ""
    disposition: Disposition = ""
    index: Index = "list"
    hidden: tuple[str, ...] = ()
    access: Access | None = None
    origin: str = field(default="", compare=False)
    _pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)
    _hidden: tuple[re.Pattern[str], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", compile_glob(self.match))
        object.__setattr__(self, "_hidden", tuple(compile_glob(f"/{each}") for each in self.hidden))

    def matches(self, path: str) -> bool:
        """Return whether the rule is for a path as :func:`path_of` returns it."""
        return self._pattern.fullmatch(path) is not None

    def reveals(self, target: Target) -> bool:
        """Return whether ``hidden`` allows every name in a path that begins with a dot.

        The path from each such name on must match a pattern as a whole: ``.zgroup`` allows this name at the end of a
        path, ``.well-known/**`` all below, but no further names with a dot.
        """
        if not self._hidden:
            return False
        names, end = target.segments, "/" if target.directory else ""
        for at, name in enumerate(names):
            if name.startswith("."):
                rest = f"/{'/'.join(names[at:])}{end}"
                if not any(each.fullmatch(rest) for each in self._hidden):
                    return False
        return True

    def describe(self, found: Resource, *, as_index: bool = False) -> Resource:
        """Return a file as the rule describes it; a listing as it is. The index of a directory is shown by default."""
        if not found.name:
            return found
        disposition = self.disposition or ("inline" if as_index else "")
        if not disposition and not self.content_type:
            return found
        media_types = (self.content_type,) if self.content_type else found.media_types
        return replace(found, media_types=media_types, disposition=disposition)

    def apply(self, plan: Plan, found: Resource) -> Plan:
        """Return the response with the rule's fields, if it is a 200, 206 or 304 (RFC 9110 section 15.4.5).

        An error never has them, so that no cache keeps it by a field that was meant for a file. A listing keeps its
        Cache-Control, because it changes without notice, and freight's own Content-Security-Policy.
        """
        if plan.status not in _CHANGED_STATUSES:
            return plan
        own = self.headers
        if not found.name:
            own = tuple(each for each in own if each[0].lower() != _POLICY)
        elif self.cache_control:
            own = (*own, (_CACHE_CONTROL, self.cache_control))
        if not own:
            return plan
        names = {name.lower() for name, _ in own}
        return replace(plan, fields=(*(each for each in plan.fields if each[0].lower() not in names), *own))


NO_RULE = Rule()
"""The rule of paths that no rule matches: all defaults."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in order; at most 256. ``restrict``: one of them is not for every client."""

    rules: tuple[Rule, ...]
    restrict: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "restrict", any(each.access and not each.access.public for each in self.rules))

    def find(self, target: Target | None) -> Rule:
        """Return the first rule that matches; :data:`NO_RULE` if none does, or for a malformed target."""
        if target is None or target.unresolvable:
            return NO_RULE
        path = path_of(target)
        return next((rule for rule in self.rules if rule.matches(path)), NO_RULE)

    def access_of(self, target: Target | None) -> tuple[Access | None, ...]:
        """Return what the rules say about the clients that may read a target: all of it must permit a request.

        The address of a directory may serve its index.html, which has the rule of its own path.
        """
        rule = self.find(target)
        if target is None or not target.directory or rule.index not in ("index.html", "index.html-only"):
            return (rule.access,)
        return (rule.access, self.find(self.index_of(target)).access)

    @staticmethod
    def index_of(directory: Target) -> Target:
        """Return the target of a directory's index.html."""
        return Target((*directory.segments, INDEX_NAME), False)


def path_of(target: Target) -> str:
    """Return the decoded path of a target, with "/" at its end if it is a directory's."""
    path = "/".join(target.segments)
    return f"/{path}/" if target.directory and path else f"/{path}"
