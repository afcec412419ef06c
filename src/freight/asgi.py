"""Downloads in ASGI applications: an application for a directory, and a response for one file.

::

    app.mount("/files", freight.asgi.Files("/srv/files"))            # Starlette, FastAPI

    @app.get("/exports/{number}")
    async def export(number: int) -> FileResponse:                    # after the application has authorised the user
        return FileResponse(f"/srv/exports/{number}.csv", filename=f"export-{number}.csv")

They need an asyncio event loop. All with equal limits share one budget in a process (:class:`Limits`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from freight.embedded.engine import Answer, Engine, is_whole
from freight.embedded.engines import close_engine, engine_of
from freight.embedded.limits import Limits
from freight.embedded.places import Chosen, Folder, Place
from freight.embedded.transports import small_buffer
from freight.errors import Stalled
from freight.model import Fields, Plan, Request
from freight.protocols import Reader

__all__ = ["FileResponse", "Files", "Limits"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SHORT_BYTES = 256 * 1024  # an answer that the server's buffer and the kernel take at once: nobody watches its client
_TURN_BYTES = 128 * 1024  # then other tasks of the loop have a turn
_PATHSEND = "http.response.pathsend"

if TYPE_CHECKING:
    _Response = object
else:
    try:  # FastAPI returns only what is an instance of this class as it is
        from starlette.responses import Response as _Response
    except ImportError:
        _Response = object


class Files:
    """An ASGI application that serves the files below ``root``, or mounted in another application.

    Of the request's path, ``root_path`` is removed. Directories are listed with ``listings``, and absent otherwise. The
    limits are those of :class:`Limits`. Raise ConfigurationError if ``root`` is no directory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        memory: int | str = "64MiB",
        download_memory: int | str = "128KiB",
        queue_size: int = 1000,
        queue_timeout: float = 30.0,
        idle_timeout: float = 60.0,
        trusted_proxies: Iterable[str] = (),
        pathsend: bool = False,
        listings: bool = False,
    ) -> None:
        self._folder = Folder.of(root, listings)
        proxies = tuple(trusted_proxies)
        self._limits = Limits(memory, queue_size, queue_timeout, idle_timeout, proxies, pathsend, download_memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raise a TransferError after the start of an answer that cannot be finished."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            engine = engine_of(self._limits)
            target, bare = _target(scope)
            place = self._folder.without_slash(target) if bare else await engine.tree(self._folder)
            await _respond(engine, _request(engine, scope, target), place, (), _Client(scope, receive, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise NotImplementedError(f"{scope['type']} is not served")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.shutdown":
                close_engine(self._limits)
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return


class FileResponse(_Response):
    """A response with one file, to be returned from a handler; an ASGI application for one request.

    - ``path``: the file. The application chooses it: links are followed anywhere. A missing file is a 404.
    - ``filename``: the name to save it under. With one, browsers save the file, unless ``inline``.
    - ``media_type``: by default that of the name.
    - ``etag``: an entity tag with its quotes, in place of one of size and time. It must change with the content.
    - ``headers``: more fields.
    - ``background``: called after the response (Starlette).
    - ``limits``: equal limits share one budget.
    """

    charset = "utf-8"
    body = b""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        media_type: str | None = None,
        etag: str | None = None,
        inline: bool = False,
        headers: Iterable[tuple[str, str]] | MutableMapping[str, str] = (),
        background: Callable[[], Awaitable[None]] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._chosen = Chosen.of(path, filename, media_type, etag, inline)
        self._limits = limits or _DEFAULT
        pairs = headers.items() if isinstance(headers, MutableMapping) else headers
        self.status_code = 200
        """What frameworks and their logs read. The response has the status that the request gets."""
        self.media_type = media_type
        self.background = background
        self.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        """The fields that the response has besides. Frameworks add cookies here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. Raise a TransferError after the start of an answer that cannot be finished."""
        engine = engine_of(self._limits)
        place = await engine.file(self._chosen)
        more = tuple(self.raw_headers)
        await _respond(engine, _request(engine, scope, "/"), place, more, _Client(scope, receive, send))
        if self.background is not None:
            await self.background()


_DEFAULT = Limits()


def _target(scope: Scope) -> tuple[str, bool]:
    """Return the target below ``root_path``, and whether the path is ``root_path`` itself, without a slash after it.

    ``raw_path`` has names as the client wrote them, but servers disagree whether it contains ``root_path``.
    """
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    rest = path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path
    raw = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    query = (scope.get("query_string") or b"").decode("latin-1")
    mark = f"?{query}" if query else ""
    if raw and not raw.endswith("/"):
        rest = rest.rstrip("/")  # Litestar ends the path of what it mounts with a slash
    if not rest:
        return f"{raw or quote(path)}/{mark}", True
    for candidate in (raw.removeprefix(quote(root)), raw.removeprefix(root), raw):
        if candidate.startswith("/") and unquote(candidate) == rest:
            return candidate + mark, False
    return quote(rest, errors="surrogateescape") + mark, False


def _request(engine: Engine, scope: Scope, target: str) -> Request:
    fields: Fields = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
    )
    digits = str(scope.get("http_version", "1.1")).split(".")
    version = int(digits[0]), int(digits[1]) if len(digits) > 1 else 0
    client = scope.get("client")
    return engine.request(scope["method"], target, fields, version, str(client[0]) if client else "unix")


class _Client:
    """The client, and whether it is there. The server tells it by ``receive``, which nothing else calls meanwhile."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.gone = False
        self.has_cancelled = False
        self._cancel: Callable[[], object] | None = None
        self._task: asyncio.Task[None] | None = None

    def watch(self, cancel: Callable[[], object] | None, *, start: bool = True) -> None:
        """Call ``cancel`` when the client goes; None: only set ``gone``. ``start``: watch, if nobody does yet."""
        self._cancel = cancel
        if start and self._task is None:
            self._task = asyncio.create_task(self._wait())

    def close(self) -> None:
        self._cancel = None
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._cancel is not None:
            self.has_cancelled = True
            self._cancel()


async def _respond(
    engine: Engine, request: Request, place: Place, more: tuple[tuple[bytes, bytes], ...], client: _Client
) -> None:
    task = asyncio.current_task()
    assert task is not None
    stalled: list[bool] = []

    def stall() -> None:
        stalled.append(True)
        task.cancel()

    try:
        with await engine.begin(request, place, lambda: client.watch(task.cancel)) as answer:
            client.watch(None, start=False)
            answer.on_stall = stall
            await _send(engine, answer, client, more)
    except asyncio.CancelledError:
        if stalled and not task.uncancel():
            raise Stalled("the client took nothing during the idle timeout") from None
        if client.has_cancelled and not task.uncancel():
            return  # nobody waits for the answer
        raise
    finally:
        client.close()


async def _send(engine: Engine, answer: Answer, client: _Client, more: tuple[tuple[bytes, bytes], ...]) -> None:
    plan, reader, send = answer.plan, answer.reader, client.send
    await send(_start(plan, more))
    if reader is None:
        await send(_body(b"".join(part for part in plan.parts if isinstance(part, bytes)), more=False))
    elif engine.limits.pathsend and (path := _path_to_send(plan, reader, client.scope)):
        await send({"type": _PATHSEND, "path": path})
    else:
        if plan.length is None or plan.length > _SHORT_BYTES:
            client.watch(None)
        with small_buffer(client.receive):
            await _send_pieces(answer, client, plan.length)


async def _send_pieces(answer: Answer, client: _Client, length: int | None) -> None:
    sent, yielded, send = 0, 0, client.send
    async with aclosing(answer.pieces()) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            sent += len(piece)
            try:
                await send(_body(piece, more=sent != length))
                if sent == length:
                    return
                await send(_body(b"", more=True))  # uvicorn waits before it takes an event, and not after
            except OSError:  # the specification's sign that the client has gone
                return
            if sent - yielded >= _TURN_BYTES:
                yielded = sent
                await asyncio.sleep(0)  # nothing above waits while the client is fast
            if client.gone:
                return
            answer.progressed(sent)
    await send(_body(b"", more=False))


def _path_to_send(plan: Plan, reader: Reader, scope: Scope) -> str:
    """Return the path of a whole file that the server can send itself, or "".

    granian opens it after ``send`` has returned, so a path of our descriptor would name nothing by then.
    """
    fd = reader.fileno()
    if _PATHSEND not in (scope.get("extensions") or {}) or fd is None or not is_whole(plan):
        return ""
    path = os.readlink(f"/proc/self/fd/{fd}")
    return "" if path.endswith(" (deleted)") else path


def _start(plan: Plan, more: tuple[tuple[bytes, bytes], ...]) -> MutableMapping[str, Any]:
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in plan.fields]
    if plan.length is not None and plan.status not in (204, 304):  # servers compare it with the content
        fields.append((b"content-length", str(plan.length).encode()))
    own = {name for name, _ in fields}
    fields.extend(each for each in more if each[0] not in own)
    return {"type": "http.response.start", "status": plan.status, "headers": fields}


def _body(content: bytes, *, more: bool) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}
