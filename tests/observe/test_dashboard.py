"""The dashboard's files: each has the fields that a browser needs, and all come from this server."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import freight.observe
from freight.flow.counters import ABORT_REASONS
from freight.model import Plan, Request
from freight.observe.dashboard import Dashboard
from support.clocks import ManualClock

ASSETS = Path(freight.observe.__file__).with_name("assets")
UPLOT = ASSETS / "uplot"
TYPES = {
    "/dashboard/charts.js": "text/javascript; charset=utf-8",
    "/dashboard/dashboard.css": "text/css; charset=utf-8",
    "/dashboard/dashboard.js": "text/javascript; charset=utf-8",
    "/dashboard/icon.svg": "image/svg+xml",
    "/dashboard/queue.js": "text/javascript; charset=utf-8",
    "/dashboard/table.js": "text/javascript; charset=utf-8",
    "/dashboard/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "/dashboard/uPlot.min.css": "text/css; charset=utf-8",
    "/dashboard/format.js": "text/javascript; charset=utf-8",
    "/": "text/html; charset=utf-8",
}

Ask = Callable[..., Plan]


@pytest.fixture
def ask() -> Ask:
    def ask(target: str, method: str = "GET", **fields: str) -> Plan:
        sent: list[Plan] = []

        async def send(plan: Plan, sink: Any) -> None:
            sent.append(plan)

        async def respond() -> None:
            named = tuple((name.replace("_", "-"), value) for name, value in fields.items())
            await Dashboard(never, send, never, ManualClock()).respond(Request(method, target, named), None)  # type: ignore[arg-type]

        asyncio.run(respond())
        (plan,) = sent
        return plan

    return ask


async def never(*_: object) -> Any:
    raise AssertionError("a file needs no snapshot")


@pytest.mark.parametrize("path", TYPES)
def test_each_file_has_its_type_and_an_etag_to_revalidate_it(ask: Ask, path: str) -> None:
    plan = ask(path)
    fields = dict(plan.fields)
    assert (plan.status, fields["Content-Type"]) == (200, TYPES[path])
    assert (fields["Cache-Control"], fields["X-Content-Type-Options"]) == ("no-cache", "nosniff")
    assert fields["Cross-Origin-Resource-Policy"] == "same-origin"
    again = ask(path, if_none_match=fields["ETag"])
    assert (again.status, again.parts, again.content) == (304, (), False)
    assert dict(again.fields)["ETag"] == fields["ETag"]
    assert ask(path, if_none_match='"another"').status == 200
    headed = ask(path, "HEAD")
    assert (headed.status, headed.fields, headed.length) == (200, plan.fields, plan.length)
    assert headed.parts == () and not headed.content


def test_the_etags_of_all_files_differ(ask: Ask) -> None:
    assert len({dict(ask(path).fields)["ETag"] for path in TYPES}) == len(TYPES)


def test_every_file_of_the_page_is_served_and_nothing_else_is(ask: Ask) -> None:
    there = {path.name for path in ASSETS.rglob("*") if path.is_file()} - {"LICENSE", "SHA256SUMS", "VERSION"}
    assert there == {path.rpartition("/")[2] or "dashboard.html" for path in TYPES}
    for path in ("/dashboard/", "/dashboard/LICENSE", "/dashboard/../samples.py", "/dashboard/%2e%2e/samples.py"):
        assert ask(path).status == 404


def test_the_favicon_is_the_icon(ask: Ask) -> None:
    """Browsers request it also for an answer that is no page, such as the JSON of /status."""
    assert (ask("/favicon.ico").status, ask("/favicon.ico").parts) == (200, ask("/dashboard/icon.svg").parts)


def test_the_policy_allows_only_scripts_and_files_of_this_server(ask: Ask) -> None:
    fields = dict(ask("/").fields)
    policy = dict(part.split(" ", 1) for part in fields["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {"script-src", "style-src", "connect-src", "img-src", "frame-ancestors", "base-uri"} <= set(policy)
    assert set(policy.values()) == {"'self'", "'none'", "'script'"}
    assert (fields["Referrer-Policy"], fields["X-Frame-Options"]) == ("no-referrer", "DENY")
    assert fields["Cross-Origin-Opener-Policy"] == "same-origin"
    assert fields["Vary"] == "Accept"


def test_the_page_has_nothing_inline_and_every_file_that_it_names_exists(ask: Ask) -> None:
    page = (ASSETS / "dashboard.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(named) >= 5
    for path in named:
        # Relative, so that a proxy may add a prefix.
        assert f"/{path}" in TYPES or path in ("status", "metrics", "healthz", "readyz")


def test_no_file_of_ours_names_another_host() -> None:
    for path in ASSETS.glob("*.*"):
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"^\s*//.*|\s// .*", "", text, flags=re.MULTILINE), path


def test_the_charting_library_is_the_recorded_version_byte_for_byte_and_its_licence_is_with_it() -> None:
    recorded = dict(reversed(line.split("  ")) for line in (UPLOT / "SHA256SUMS").read_text().splitlines())
    assert set(recorded) == {"LICENSE", "uPlot.iife.min.js", "uPlot.min.css"}
    for name, digest in recorded.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest
    version = (UPLOT / "VERSION").read_text().strip()
    assert f"(v{version})" in (UPLOT / "uPlot.iife.min.js").read_text()[:200]
    assert "MIT License" in (UPLOT / "LICENSE").read_text()


def test_a_page_of_another_server_may_not_read_the_stream(ask: Ask) -> None:
    for site in ("cross-site", "same-site"):
        assert ask("/events", sec_fetch_site=site).status == 403
    for site in ("same-origin", "none"):
        assert ask("/events", "HEAD", sec_fetch_site=site).status == 200


def test_the_table_of_endings_has_the_meaning_of_each() -> None:
    text = (ASSETS / "table.js").read_text(encoding="utf-8")
    (meanings,) = re.findall(r"const MEANINGS = \{\n(.*?)^\};", text, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r'^  "?([\w-]+)"?: "\w', meanings, re.MULTILINE)) == {"completed", "refused", *ABORT_REASONS}
