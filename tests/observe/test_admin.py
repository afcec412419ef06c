"""The answers of the admin listener, without a socket, and which requests it rejects."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from freight import __version__
from freight.model import Plan, Request, Snapshot
from freight.observe.admin import Admin, ServerView, is_own_host, refusal
from freight.observe.status import status
from support.clocks import ManualClock

Ask = Callable[..., Plan]


@pytest.fixture
def ask(snapshot: Snapshot) -> Ask:
    """Return the plan that answers one request with these fields, by GET unless ``method`` says otherwise."""

    def ask(
        target: str,
        method: str = "GET",
        *,
        ready: bool = True,
        host: str | None = "127.0.0.1:9080",
        allowed: tuple[str, ...] = ("Admin.Example",),
        **fields: str,
    ) -> Plan:
        sent: list[Plan] = []

        async def take_snapshot() -> Snapshot:
            return snapshot

        async def send(plan: Plan, sink: Any) -> None:
            sent.append(plan)

        async def write(data: bytes, sink: Any) -> None:
            raise AssertionError("there is no viewer")

        async def respond() -> None:
            named = () if host is None else (("host", host),)
            view = ServerView(take_snapshot, lambda: ready)
            await Admin(view, send, write, ManualClock(), refusal(allowed, None)).respond(
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
def test_each_path_has_its_answer_which_must_not_be_cached(
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


def test_a_client_that_prefers_html_gets_the_dashboard_and_another_the_index(ask: Ask) -> None:
    for accept in ("text/html,*/*;q=0.8", "text/html", "text/plain;q=0.5, text/html"):
        assert dict(ask("/", accept=accept).fields)["Content-Type"] == "text/html; charset=utf-8"
    for accept in ("*/*", "text/plain", "text/html;q=0.5, text/plain", "image/png"):
        assert dict(ask("/", accept=accept).fields)["Content-Type"] == "text/plain; charset=utf-8"


def test_a_request_for_another_host_name_gets_no_dashboard(ask: Ask) -> None:
    for target in ("/", "/events", "/dashboard/dashboard.js"):
        assert ask(target, host="evil.example", accept="text/html").status == 421


@pytest.mark.parametrize("target", ["/", "/healthz", "/status", "/metrics"])
def test_only_readiness_depends_on_being_ready(ask: Ask, target: str) -> None:
    assert ask(target, ready=False) == ask(target)


def test_a_server_that_is_not_ready_answers_503(ask: Ask) -> None:
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
    got, head = ask(target, ready=ready), ask(target, "HEAD", ready=ready)
    assert (head.status, head.fields, head.length) == (got.status, got.fields, got.length)
    assert head.parts == () and not head.content


@pytest.mark.parametrize("target", ["/nothing", "/status/", "/Status", "/%73tatus", "//status", "/metrics/.."])
def test_other_paths_do_not_exist(ask: Ask, target: str) -> None:
    assert ask(target).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "NONSENSE"])
def test_only_get_and_head_are_allowed(ask: Ask, method: str) -> None:
    plan = ask("*" if method == "OPTIONS" else "/status", method)
    assert plan.status == 405
    assert dict(plan.fields)["Allow"] == "GET, HEAD"


def test_errors_have_the_media_type_that_the_client_accepts(ask: Ask) -> None:
    problem = ask("/nothing", accept="application/json")
    assert dict(problem.fields)["Content-Type"] == "application/problem+json"
    assert json.loads(content(problem))["status"] == 404


def test_metrics_have_the_media_type_that_the_client_accepts_and_vary_on_it(ask: Ask) -> None:
    plan = ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    fields = dict(plan.fields)
    assert fields["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert fields["Vary"] == "Accept"
    assert content(plan).endswith(b"# EOF\n")


def test_the_status_is_that_of_the_snapshot(ask: Ask, snapshot: Snapshot) -> None:
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
def test_an_address_localhost_and_the_operators_name_are_own_hosts(ask: Ask, named: str) -> None:
    assert is_own_host(named, {"admin.example"})
    assert ask("/status", host=named).status == 200


@pytest.mark.parametrize("named", FOREIGN)
@pytest.mark.parametrize("target", ["/status", "/metrics", "/healthz", "/nothing"])
def test_any_other_host_name_is_misdirected(ask: Ask, named: str, target: str) -> None:
    """A page of that name could read the answers in its visitors' browsers: DNS rebinding."""
    assert not is_own_host(named, {"admin.example"})
    assert ask(target, host=named).status == 421


@pytest.mark.parametrize(
    ("allowed", "named", "status"),
    [
        (("freight", "freight.default.svc"), "freight:9080", 200),
        (("freight", "freight.default.svc"), "FREIGHT.default.svc", 200),
        (("freight",), "freight.evil.example", 421),
        (("*",), "evil.example:9080", 200),
    ],
)
def test_the_operator_may_allow_names(ask: Ask, allowed: tuple[str, ...], named: str, status: int) -> None:
    """Kubernetes and Compose know a service by its name: Prometheus sends ``Host: freight:9080``."""
    assert ask("/metrics", host=named, allowed=allowed).status == status


def test_the_error_says_how_to_allow_a_name(ask: Ask) -> None:
    assert b"--admin-allow-host NAME" in content(ask("/metrics", host="freight:9080"))


def test_a_health_check_by_http_1_0_needs_no_host(ask: Ask) -> None:
    assert ask("/healthz", host=None).status == 200


def test_metrics_and_dashboard_are_imported_at_the_first_request_for_them() -> None:
    script = """
import asyncio, sys
from freight.runtime.clock import SystemClock
from freight.model import Request
from freight.observe.admin import Admin, ServerView, refusal

LATER = ("prometheus_client", "http.server", "freight.observe.dashboard", "freight.observe.events")

async def send(plan, sink): print(plan.status, [name for name in LATER if name in sys.modules])

async def main():
    admin = Admin(ServerView(None, lambda: True), send, None, SystemClock(), refusal((), None))
    await admin.respond(Request("GET", "/healthz", ()), None)
    await admin.respond(Request("GET", "/", ()), None)
    await admin.respond(Request("GET", "/dashboard/none", ()), None)

asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = "404 ['freight.observe.dashboard', 'freight.observe.events']"
    assert run.stdout.splitlines() == ["200 []", "200 []", loaded]
