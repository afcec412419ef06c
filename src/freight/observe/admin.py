"""What the admin listener answers: is it alive, does it take downloads, what does it do.

It is a :class:`~freight.ports.Responder` like the file server, so that the same connections carry it. None of its
answers needs a slot, and only the dashboard's files a disk: it answers while the server is full, and while it drains.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from freight import __version__
from freight.core import accept as negotiation
from freight.core.decide import refuse
from freight.errors import Unservable
from freight.heap import private_bytes
from freight.kinds import PORT_MAX, Address
from freight.model import Fields, Plan, Request, Snapshot
from freight.observe.outlet import run_here
from freight.observe.status import status
from freight.observe.unread import Shared, Unread
from freight.ports import Clock, Sink

if TYPE_CHECKING:
    from freight.observe.dashboard import Dashboard

AUTO_HOST, AUTO_DISTANCE = "127.0.0.1", 1000
"""Where ``auto`` is: on this host, so many ports above the files'."""

_ALLOW = "GET, HEAD"
_TEXT = "text/plain; charset=utf-8"
_INDEX = f"""freight {__version__}

/healthz  the process answers
/readyz   it takes downloads
/status   what it does, as JSON
/metrics  the same for Prometheus
/events   the same as it changes, as server-sent events

A browser is shown a dashboard here.
"""
# Four numbers, or brackets: no name that anybody could give an address of his choice looks like either.
_LITERAL = re.compile(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[^\]]*\])(?::[0-9]*)?")

Expose = Callable[[Snapshot, str | None], tuple[str, bytes]]
"""A snapshot and an Accept value -> media type and content."""


class Admin:
    """Answers requests about the server.

    ``look`` takes a snapshot; ``ready`` says whether downloads are taken; ``send`` sends a plan without spans,
    ``write`` bytes to who watches; ``host`` is where the listener is, by the operator's name for it. ``pardon`` is told
    what the process has grown by for the sake of all this. ``run`` does what may take longer than a turn of the loop.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Snapshot]],
        ready: Callable[[], bool],
        send: Callable[[Plan, Sink], Awaitable[None]],
        write: Callable[[bytes, Sink], Awaitable[None]],
        clock: Clock,
        host: str,
        pardon: Callable[[int], None] = lambda grown_bytes: None,
        run: Callable[[Callable[[], Any]], Awaitable[Any]] = run_here,
    ) -> None:
        self._look = look
        self._ready = ready
        self._unread = Unread(send)
        self._send = self._unread.send
        self._status = Shared(self._make_status)
        self._write = write
        self._clock = clock
        self._host = host
        self._pardon = pardon
        self._run = run
        self._expose: Expose | None = None
        self._dashboard: Dashboard | None = None

    async def respond(self, request: Request, sink: Sink) -> None:
        """Answer one request (:class:`freight.ports.Responder`)."""
        plan = refuse_asking(request, self._host)
        if plan is None and _is_shown(request):
            await self._shown().respond(request, sink)
            return
        if plan is None:
            plan = await self._answer(request)
        if request.method == "HEAD":
            plan = replace(plan, parts=(), content=False)
        await self._send(plan, sink)

    def make_room(self) -> None:
        """End some answers that were not taken: others wait for their connections."""
        self._unread.make_room()

    def close(self) -> None:
        """End what has no end of its own: the streams of who watches."""
        if self._dashboard is not None:
            self._dashboard.close()

    async def _answer(self, request: Request) -> Plan:
        accept = request.field("accept")
        match request.target.partition("?")[0]:
            case "/":
                return answer(_TEXT, _INDEX.encode(), (("Vary", "Accept"),))
            case "/healthz":
                return answer(_TEXT, b"ok\n")
            case "/readyz":
                if self._ready():
                    return answer(_TEXT, b"ready\n")
                return refuse(503, "No downloads are taken: the server is starting or stopping.", accept)
            case "/status":
                return answer("application/json", await self._status.wait())
            case "/metrics":
                expose = await self._wait_expose()
                return answer(*expose(await self._look(), accept), (("Vary", "Accept"),))
            case _:
                return refuse(404, "There is nothing here; / lists what there is.", accept)

    async def _make_status(self) -> bytes:
        return status(await self._look())

    async def _wait_expose(self) -> Expose:
        """What writes metrics. A thread imports it: what it needs takes longer than a turn of the loop may."""
        if self._expose is None:
            before = private_bytes()
            self._expose = await self._run(_import_expose)
            self._pardon(private_bytes() - before)
        return self._expose

    def _shown(self) -> Dashboard:
        """What a browser is shown. Imported here: it takes 3 ms, and a thread's own heap would be half a MiB for it."""
        if self._dashboard is None:
            before = private_bytes()
            from freight.observe.dashboard import Dashboard

            self._dashboard = Dashboard(self._look, self._send, self._write, self._clock, self._run)
            self._pardon(private_bytes() - before)
        return self._dashboard


def _import_expose() -> Expose:
    from freight.observe.metrics import expose

    return expose


def _is_shown(request: Request) -> bool:
    """Whether the dashboard has the answer: its page for clients that prefer HTML to text, its files, its stream."""
    path = request.target.partition("?")[0]
    if path == "/":
        return negotiation.choose(request.field("accept"), ("text/plain", "text/html")) == "text/html"
    return path in ("/events", "/favicon.ico") or path.startswith("/dashboard/")


def answer(media_type: str, content: bytes, fields: Fields = ()) -> Plan:
    """A whole answer of this content, which is true now and is not to be kept."""
    fixed = (("Content-Type", media_type), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
    return Plan(200, (*fixed, *fields), (content,) if content else (), len(content))


def refuse_asking(request: Request, host: str) -> Plan | None:
    """The answer to a request that cannot be met whatever it is for: 421 and 405; None where it can.

    ``host`` is the operator's name for the listener. Another name in Host is one that somebody gave this address: a web
    page's, whose scripts would then read what is said here (DNS rebinding). Browsers always send Host; a check by
    HTTP/1.0 may leave it out.
    """
    accept, named = request.field("accept"), request.field("host")
    if named is not None and not is_own(named, host):
        detail = "Open this page by IP address or as localhost, or start freight with --admin NAME:PORT."
        return refuse(421, detail, accept)
    if request.method not in ("GET", "HEAD"):
        return refuse(405, f"Only {_ALLOW} are allowed here.", accept, (("Allow", _ALLOW),))
    return None


def is_own(named: str, host: str) -> bool:
    """Whether a Host value is an address, ``localhost``, or ``host``, with any port or none."""
    return _LITERAL.fullmatch(named) is not None or named.partition(":")[0].lower() in ("localhost", host.lower())


def admin_address(setting: Address | Literal["auto"] | None, port: int) -> Address | None:
    """Where to listen, for a server of files at ``port``; None: nowhere."""
    if setting != "auto":
        return setting
    return Address(AUTO_HOST, port + AUTO_DISTANCE if port + AUTO_DISTANCE <= PORT_MAX else port - AUTO_DISTANCE)


def listen_admin(
    setting: Address | Literal["auto"] | None,
    port: int,
    listen: Callable[[str, int], socket.socket],
    warn: Callable[[str], None],
) -> socket.socket | None:
    """The admin listener's socket for a server of files at ``port``; None where there is to be none.

    ``listen`` opens a socket, or raises Unservable. Where the operator chose the address, so does this; where not,
    ``warn`` gets a message, and files are served without an admin listener.
    """
    address = admin_address(setting, port)
    if address is None:
        return None
    try:
        return listen(address.host, address.port)
    except Unservable as error:
        if setting != "auto":
            raise
        warn(f"no admin listener: {error.why}; choose another address with --admin, or --admin none")
        return None
