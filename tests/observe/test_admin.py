"""What the admin listener answers, without a socket; who may ask; where it listens."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest

from freight import __version__
from freight.errors import Unservable
from freight.kinds import Address
from freight.model import Plan, Request, Snapshot
from freight.observe.admin import Admin, admin_address, is_own, listen_admin
from freight.observe.status import status

Ask = Callable[..., Plan]


class HandSet:
    """A clock that stands still."""

    def now(self) -> float:
        return 1_767_323_045.0

    def monotonic(self) -> float:
        return 100.0


@pytest.fixture
def ask(snapshot: Snapshot) -> Ask:
    """The plan that answers one request, by GET unless another method is named; ``fields`` are of the request."""

    def ask(
        target: str, method: str = "GET", *, ready: bool = True, host: str | None = "127.0.0.1:9080", **fields: str
    ) -> Plan:
        sent: list[Plan] = []

        async def look() -> Snapshot:
            return snapshot

        async def send(plan: Plan, sink: Any) -> None:
            sent.append(plan)

        async def write(data: bytes, sink: Any) -> None:
            raise AssertionError("nobody watches here")

        async def respond() -> None:
            named = () if host is None else (("host", host),)
            await Admin(look, lambda: ready, send, write, HandSet(), "admin.example").respond(
                Request(method, target, (*named, *fields.items())), sink=None
            )

        asyncio.run(respond())
        (plan,) = sent
        return plan

    return ask


def content(plan: Plan) -> bytes:
    (part,) = plan.parts
    assert isinstance(part, bytes)
    return part


@pytest.mark.parametrize(
    ("target", "media_type", "beginning"),
    [
        ("/", "text/plain; charset=utf-8", f"freight {__version__}\n".encode()),
        ("/healthz", "text/plain; charset=utf-8", b"ok\n"),
        ("/healthz?verbose", "text/plain; charset=utf-8", b"ok\n"),
        ("/readyz", "text/plain; charset=utf-8", b"ready\n"),
        ("/status", "application/json", b'{"version": "1.2.3", '),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", b"# HELP freight_build_info "),
    ],
)
def test_each_path_has_its_answer_which_is_not_to_be_kept(
    ask: Ask, target: str, media_type: str, beginning: bytes
) -> None:
    plan = ask(target)
    fields = dict(plan.fields)
    assert (plan.status, fields["Content-Type"]) == (200, media_type)
    assert (fields["Cache-Control"], fields["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert content(plan).startswith(beginning)
    assert plan.length == len(content(plan)) and plan.content
    assert not plan.spans


def test_the_index_names_every_path(ask: Ask) -> None:
    paths = [line.split()[0] for line in content(ask("/")).decode().splitlines() if line.startswith("/")]
    assert paths == ["/healthz", "/readyz", "/status", "/metrics", "/events"]
    for path in paths:
        assert ask(path, "HEAD").status == 200


def test_who_likes_html_better_is_shown_the_dashboard_and_who_does_not_the_index(ask: Ask) -> None:
    for accept in ("text/html,*/*;q=0.8", "text/html", "text/plain;q=0.5, text/html"):
        assert dict(ask("/", accept=accept).fields)["Content-Type"] == "text/html; charset=utf-8"
    for accept in ("*/*", "text/plain", "text/html;q=0.5, text/plain", "image/png"):
        assert dict(ask("/", accept=accept).fields)["Content-Type"] == "text/plain; charset=utf-8"


def test_a_page_of_another_name_is_shown_no_dashboard(ask: Ask) -> None:
    for target in ("/", "/events", "/dashboard/dashboard.js"):
        assert ask(target, host="evil.example", accept="text/html").status == 421


@pytest.mark.parametrize("target", ["/", "/healthz", "/status", "/metrics"])
def test_only_readiness_depends_on_being_ready(ask: Ask, target: str) -> None:
    assert ask(target, ready=False) == ask(target)


def test_who_is_not_ready_says_503(ask: Ask) -> None:
    plan = ask("/readyz", ready=False)
    assert plan.status == 503
    assert dict(plan.fields)["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("target", "method", "ready"),
    [
        ("/", "GET", True),
        ("/status", "GET", True),
        ("/metrics", "GET", True),
        ("/readyz", "GET", False),
        ("/no", "GET", True),
    ],
)
def test_head_has_the_fields_and_the_length_of_get_and_no_content(
    ask: Ask, target: str, method: str, ready: bool
) -> None:
    asked, headed = ask(target, ready=ready), ask(target, "HEAD", ready=ready)
    assert (headed.status, headed.fields, headed.length) == (asked.status, asked.fields, asked.length)
    assert headed.parts == () and not headed.content


@pytest.mark.parametrize("target", ["/nothing", "/status/", "/Status", "/%73tatus", "//status", "/metrics/.."])
def test_there_is_nothing_else(ask: Ask, target: str) -> None:
    assert ask(target).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "NONSENSE"])
def test_only_get_and_head_are_allowed(ask: Ask, method: str) -> None:
    plan = ask("*" if method == "OPTIONS" else "/status", method)
    assert plan.status == 405
    assert dict(plan.fields)["Allow"] == "GET, HEAD"


def test_errors_take_the_form_that_was_asked_for(ask: Ask) -> None:
    problem = ask("/nothing", accept="application/json")
    assert dict(problem.fields)["Content-Type"] == "application/problem+json"
    assert json.loads(content(problem))["status"] == 404


def test_metrics_take_the_form_that_was_asked_for_and_say_so(ask: Ask) -> None:
    plan = ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    fields = dict(plan.fields)
    assert fields["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert fields["Vary"] == "Accept"
    assert content(plan).endswith(b"# EOF\n")


def test_the_status_is_the_snapshots(ask: Ask, snapshot: Snapshot) -> None:
    assert content(ask("/status")) == status(snapshot)


OWN = [
    "127.0.0.1",
    "127.0.0.1:9080",
    "10.1.2.3:80",
    "[::1]",
    "[::1]:9080",
    "[fe80::1%25eth0]:9080",
    "localhost",
    "LocalHost:9080",
    "admin.example",
    "Admin.Example:9080",
]
FOREIGN = [
    "",
    "evil.example",
    "evil.example:9080",
    "127.0.0.1.evil.example",
    "localhost.evil.example:9080",
    "evil.example:127.0.0.1",
    "admin.example.evil.example",
    "127.0.0.1evil",
    "127.1",
    "2130706433",
    "[::1].evil.example",
]


@pytest.mark.parametrize("named", OWN)
def test_an_address_localhost_and_the_operators_name_are_this_listeners(ask: Ask, named: str) -> None:
    assert is_own(named, "admin.example")
    assert ask("/status", host=named).status == 200


@pytest.mark.parametrize("named", FOREIGN)
@pytest.mark.parametrize("target", ["/status", "/metrics", "/healthz", "/nothing"])
def test_a_name_that_somebody_else_gave_this_address_is_misdirected(ask: Ask, named: str, target: str) -> None:
    """A page of that name could have its visitors' browsers read all this: DNS rebinding."""
    assert not is_own(named, "admin.example")
    assert ask(target, host=named).status == 421


def test_a_check_by_http_1_0_need_not_name_a_host(ask: Ask) -> None:
    assert ask("/healthz", host=None).status == 200


def test_nothing_of_metrics_or_dashboard_is_loaded_before_it_is_asked_for() -> None:
    script = """
import asyncio, sys
from freight.running import SystemClock
from freight.model import Request
from freight.observe.admin import Admin

LATER = ("prometheus_client", "http.server", "freight.observe.dashboard", "freight.observe.events")

async def send(plan, sink): print(plan.status, [name for name in LATER if name in sys.modules])

async def main():
    admin = Admin(None, lambda: True, send, None, SystemClock(), "")
    await admin.respond(Request("GET", "/healthz", ()), None)
    await admin.respond(Request("GET", "/", ()), None)
    await admin.respond(Request("GET", "/dashboard/none", ()), None)

asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = "404 ['freight.observe.dashboard', 'freight.observe.events']"
    assert run.stdout.splitlines() == ["200 []", "200 []", loaded]


@pytest.mark.parametrize(
    ("setting", "port", "address"),
    [
        ("auto", 8080, Address("127.0.0.1", 9080)),
        ("auto", 64_535, Address("127.0.0.1", 65_535)),
        ("auto", 64_536, Address("127.0.0.1", 63_536)),
        ("auto", 65_535, Address("127.0.0.1", 64_535)),
        (None, 8080, None),
        (Address("::1", 0), 8080, Address("::1", 0)),
    ],
)
def test_auto_is_on_this_host_a_thousand_ports_away(
    setting: Address | Literal["auto"] | None, port: int, address: Address | None
) -> None:
    assert admin_address(setting, port) == address


class Door:
    """Plays ``listen``, and ``warn``: writes down what it was asked for and told."""

    def __init__(self, taken: bool = False) -> None:
        self.taken = taken
        self.asked: list[tuple[str, int]] = []
        self.warnings: list[str] = []

    def listen(self, host: str, port: int) -> socket.socket:
        self.asked.append((host, port))
        if self.taken:
            raise Unservable(f"port {port} of {host} is taken", "admin")
        return socket.socket()

    def open(self, setting: Address | Literal["auto"] | None) -> socket.socket | None:
        return listen_admin(setting, 8080, self.listen, self.warnings.append)


@pytest.mark.parametrize(
    ("setting", "asked"), [("auto", ("127.0.0.1", 9080)), (Address("::1", 0), ("::1", 0))], ids=["auto", "chosen"]
)
def test_a_free_address_is_listened_on(setting: Any, asked: tuple[str, int]) -> None:
    door = Door()
    opened = door.open(setting)
    assert opened is not None
    opened.close()
    assert (door.asked, door.warnings) == ([asked], [])


def test_none_is_no_listener_and_no_warning() -> None:
    door = Door()
    assert door.open(None) is None
    assert (door.asked, door.warnings) == ([], [])


def test_a_taken_port_that_nobody_chose_is_a_warning_that_names_it() -> None:
    door = Door(taken=True)
    assert door.open("auto") is None
    (warning,) = door.warnings
    assert warning.startswith("no admin listener: port 9080 of 127.0.0.1 is taken; ")


def test_a_taken_port_that_was_chosen_is_the_end() -> None:
    door = Door(taken=True)
    with pytest.raises(Unservable, match=r"^admin: port 9 of ::1 is taken$"):
        door.open(Address("::1", 9))
    assert door.warnings == []
