"""The answers of the admin listener: whether the process is alive, whether it accepts downloads, and what it does.

:class:`Admin` is a :class:`~freight.protocols.Responder` like the file server, so the same connections carry it. No
answer needs a slot, and only the dashboard's files need a disk: it answers while the server is full, and while it
drains.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freight import __version__
from freight.http import accept as negotiation
from freight.http.error_response import for_method, plan_error
from freight.memory.heap import private_bytes
from freight.model import Fields, Plan, Request, Snapshot
from freight.observe.status import status
from freight.observe.stream_writer import run_inline
from freight.observe.unread import PendingAnswers, SharedResult
from freight.protocols import Clock, Remember, Sink

if TYPE_CHECKING:
    from freight.observe.dashboard import Dashboard

_ALLOW = "GET, HEAD"
_TEXT = "text/plain; charset=utf-8"
_INDEX = f"""freight {__version__}

/healthz  the process is alive
/readyz   it accepts downloads
/status   what it does, as JSON
/metrics  the same, for Prometheus
/events   the same as it changes, as server-sent events

Browsers get a dashboard here.
"""
# Four numbers, or brackets: no domain name, which an attacker could point at this host, looks like either.
_LITERAL = re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[^\]]*\])(?::[0-9]*)?")

Expose = Callable[[Snapshot, str | None], tuple[str, bytes]]
"""A snapshot and an Accept value -> media type and content."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """What the admin listener may ask of the server that it reports on.

    ``is_ready``: whether downloads are accepted. ``root_answers``: whether the served path's file system answers. The
    two decide ``/readyz``. ``exclude_growth`` is called with the bytes that the process has grown
    by for the admin listener, which are not the clients'.
    """

    snapshot: Callable[[], Awaitable[Snapshot]]
    is_ready: Callable[[], bool]
    exclude_growth: Callable[[int], None] = lambda grown_bytes: None
    root_answers: Callable[[], bool] = lambda: True


class Admin:
    """Answers requests about the server.

    ``send`` sends a plan without spans; ``write`` sends bytes of an event stream. ``refuse`` returns the answer to a
    request that is refused, or None: see :func:`refusal`. ``run`` calls a function that may block the event loop for
    too long.
    """

    def __init__(
        self,
        view: ServerView,
        send: Callable[[Plan, Sink], Awaitable[None]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
        refuse: Callable[[Request], Plan | None],
        run: Callable[[Callable[[], Any]], Awaitable[Any]] = run_inline,
    ) -> None:
        self._refuse = refuse
        self._view = view
        self._pending = PendingAnswers(send)
        self._send = self._pending.send
        self._status = SharedResult(self._make_status)
        self._write = write
        self._clock = clock
        self._run = run
        self._expose: Expose | None = None
        self._dashboard: Dashboard | None = None

    async def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> bool:
        """Answer one request (:class:`freight.protocols.Responder`)."""
        plan = self._refuse(request)
        if plan is None and _is_for_dashboard(request):
            return await self._load_dashboard().respond(request, sink)
        if plan is None:
            plan = await self._answer(request)
        await self._send(for_method(request.method, plan), sink)
        return False

    def abort_oldest(self) -> None:
        """Abort some pending answers, oldest first, because other connections wait for their memory."""
        self._pending.abort_oldest()

    def close(self) -> None:
        """End the event streams, which would not end by themselves."""
        if self._dashboard is not None:
            self._dashboard.close()

    async def _answer(self, request: Request) -> Plan:
        accept = request.field("accept")
        match request.target.partition("?")[0]:
            case "/":
                return plan_answer(_TEXT, _INDEX.encode(), (("Vary", "Accept"),))
            case "/healthz":
                return plan_answer(_TEXT, b"ok\n")
            case "/readyz":
                if not self._view.is_ready():
                    return plan_error(503, "The server accepts no downloads: it is starting or stopping.", accept)
                if not self._view.root_answers():
                    return plan_error(503, "The file system of the served path does not answer.", accept)
                return plan_answer(_TEXT, b"ready\n")
            case "/status":
                return plan_answer("application/json", await self._status.wait())
            case "/metrics":
                expose = await self._load_expose()
                return plan_answer(*expose(await self._view.snapshot(), accept), (("Vary", "Accept"),))
            case _:
                return plan_error(404, "This path does not exist; / lists those that do.", accept)

    async def _make_status(self) -> bytes:
        return status(await self._view.snapshot())

    async def _load_expose(self) -> Expose:
        """Return what writes metrics. A thread imports it: prometheus_client would block the loop for too long."""
        if self._expose is None:
            before = private_bytes()
            self._expose = await self._run(_import_expose)
            self._view.exclude_growth(private_bytes() - before)
        return self._expose

    def _load_dashboard(self) -> Dashboard:
        """Return the dashboard. The loop imports it: that takes 3 ms, and a thread's own heap would cost 512 KiB."""
        if self._dashboard is None:
            before = private_bytes()
            from freight.observe.dashboard import Dashboard

            self._dashboard = Dashboard(self._view.snapshot, self._send, self._write, self._clock, self._run)
            self._view.exclude_growth(private_bytes() - before)
        return self._dashboard


def _import_expose() -> Expose:
    from freight.observe.metrics import expose

    return expose


def _is_for_dashboard(request: Request) -> bool:
    """Return whether the dashboard answers: its page, for clients that prefer HTML to text, its files, its stream."""
    path = request.target.partition("?")[0]
    if path == "/":
        return negotiation.choose(request.field("accept"), ("text/plain", "text/html")) == "text/html"
    return path in ("/events", "/favicon.ico") or path.startswith("/dashboard/")


def plan_answer(media_type: str, content: bytes, fields: Fields = ()) -> Plan:
    """Return a plan of this content, which clients must not cache."""
    fixed = (("Content-Type", media_type), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
    return Plan(200, (*fixed, *fields), (content,) if content else (), len(content))


def refusal(allowed_hosts: Iterable[str], token: bytes | None) -> Callable[[Request], Plan | None]:
    """Return what refuses requests for another server, by another method, or without the token, if there is one.

    ``allowed_hosts``: the names that Host may have besides addresses and ``localhost``; ``*`` is every name.
    """
    names = frozenset(map(str.lower, allowed_hosts))
    if token is None:
        return lambda request: check_request(request, names)
    from freight.observe.admin_token import refuse

    return lambda request: check_request(request, names) or refuse(request, token)


def check_request(request: Request, allowed_hosts: Collection[str]) -> Plan | None:
    """Return the plan of an error for another server's name (421) or method (405); None: the request is fine.

    ``allowed_hosts`` are the names that the operator allows. Another name in Host may be that of a web page whose owner
    pointed it at this address, so that the page's scripts read the answer (DNS rebinding). Browsers always send Host; a
    health check by HTTP/1.0 may leave it out.
    """
    accept, named = request.field("accept"), request.field("host")
    if named is not None and not is_own_host(named, allowed_hosts):
        detail = "Ask by IP address or as localhost, or start freight with --admin-allow-host NAME."
        return plan_error(421, detail, accept)
    if request.method not in ("GET", "HEAD"):
        return plan_error(405, f"Only {_ALLOW} are allowed here.", accept, (("Allow", _ALLOW),))
    return None


def is_own_host(named: str, allowed_hosts: Collection[str]) -> bool:
    """Return whether a Host value is an address, ``localhost`` or an allowed name, with any port or none.

    ``allowed_hosts`` are in lower case.
    """
    if "*" in allowed_hosts or _LITERAL.fullmatch(named) is not None:
        return True
    name = named.partition(":")[0].lower()
    return name == "localhost" or name in allowed_hosts
