"""A responder that serves everything below a prefix of URL paths; loaded if a prefix is configured."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from freight.fileserver import FileServer
from freight.http.prefix import Prefix
from freight.model import NotFound, Request
from freight.protocols import Remember, Sink


class Prefixed:
    """Passes requests below ``prefix`` to ``files``, with the prefix stripped. Others get 404."""

    def __init__(self, files: FileServer, prefix: Prefix) -> None:
        self._files = files
        self._prefix = prefix

    def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> Coroutine[Any, Any, bool]:
        """Answer one request, as :meth:`freight.fileserver.FileServer.respond` does.

        No coroutine of its own: ten thousand downloads would each keep its frame.
        """
        target = self._prefix.without(request.target)
        if isinstance(target, NotFound):
            return self._files.answer_absence(request, target, sink)
        return self._files.respond(replace(request, target=target), sink, remember)
