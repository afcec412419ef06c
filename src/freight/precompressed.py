"""Compressed forms of files: which one a request gets, and whether it exists."""

from __future__ import annotations

from freight.http import content_coding
from freight.http.target import Target
from freight.model import Request, Resource
from freight.protocols import Source


class Precompressed:
    """Selects the form of a file that a request gets, from those that ``source`` has."""

    fields = content_coding.FIELDS
    """Names of the fields on which the selection depends, and nothing else does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @staticmethod
    def original_of(target: Target | None) -> Target | None:
        """Return the target of the file whose compressed form has the name in this target; None if no file can have."""
        if target is None or target.directory or not target.segments:
            return None
        for suffix in content_coding.SUFFIXES.values():
            name = target.segments[-1].removesuffix(suffix)
            if name and name != target.segments[-1]:
                return Target((*target.segments[:-1], name), False)
        return None

    async def select(self, request: Request, original: Resource) -> Resource:
        """Return ``original``, a located file, or a compressed form of it, which can be opened in its place.

        No form is looked up unless the request may get it.
        """
        codings = content_coding.wanted(request)
        if not codings:
            return original
        most = len(codings) if content_coding.names_forms(request) else 1
        encoded = await self._source.locate_encoded(original, codings, most, request.client_key)
        return content_coding.choose(request, original, encoded)
