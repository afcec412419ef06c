"""The prefix of URL paths below which everything is served (``--prefix``). Pure.

A target is stripped before anything else looks at it, so that a path has one meaning with and without a prefix.
Responses need no prefix: their links and redirects are relative, and those are right at any prefix.
"""

from __future__ import annotations

from freight.http.target import encode, parse
from freight.model import NotFound, NotFoundReason

_NOT_PLAIN = ("%", "//", "/.")  # what makes the path of a target differ from its text


class Prefix:
    """The prefix with these ``names``, one at least."""

    __slots__ = ("_names", "_root")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._root = encode(names, True)

    def without(self, target: str) -> str | NotFound:
        """Return a request target in origin form without the prefix, or what to answer if it is outside. Never raises.

        The names of the path decide, after escapes are decoded and dot segments removed: ``/files/../x`` is outside.
        A malformed target, and ``*``, are not outside.
        """
        path, mark, query = target.partition("?")
        if path.startswith(self._root) and not any(each in path for each in _NOT_PLAIN):
            return target[len(self._root) - 1 :]
        parsed = parse(path)
        if (parsed is None or parsed.unresolvable) and path.startswith(self._root):
            stripped = target[len(self._root) - 1 :]  # it names no file, but by fewer segments it might
            below = parse(stripped)
            return stripped if below is None or below.unresolvable else NotFound(NotFoundReason.ABSENT)
        if parsed is None:
            return target
        names, count = parsed.segments, len(self._names)
        if names[:count] != self._names:
            return NotFound(NotFoundReason.OUTSIDE, self._root)
        if len(names) == count and not parsed.directory:
            return NotFound(NotFoundReason.MOVED, f"{self._root}{mark}{query}")
        return f"{encode(names[count:], parsed.directory)}{mark}{query}"
