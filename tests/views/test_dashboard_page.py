"""The dashboard in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from crowds import Crowd, Group
from freight.sample import write_sample
from netns import HERE
from serving import Client, Served, until

Serve = Callable[..., Served]
Look = Callable[..., Any]

pytestmark = pytest.mark.needs("chromium")

NAME = "measurements-2026-11.csv"
SIZE = 200_000_000
RUNNING = 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    write_sample(folder / NAME, SIZE)
    return folder


@pytest.fixture
def busy(root: Path, serve: Serve) -> Iterator[tuple[Served, Crowd]]:
    """A server with twenty downloads, of which five stand still, one that waits, and one that was refused."""
    options = ("--memory", "20MB", "--per-client", str(RUNNING), "--queue", "1", "--max-wait", "1h")
    server = serve(root, *options, admin=True)
    with Crowd(HERE, server.host, server.port, root) as crowd:
        crowd.join(Group(name="paced", count=RUNNING - 5, targets=(f"/{NAME}",), pace=1_500_000))
        crowd.join(Group(name="still", count=5, targets=(f"/{NAME}",), stall=1000))
        crowd.wait_count("still", "stalled", 5)
        until(lambda: server.gate()["running"] == RUNNING, "all run")
        crowd.join(Group(name="more", count=2, targets=(f"/{NAME}",)))
        crowd.wait_count("more", "503", 1)
        until(lambda: server.gate()["waiting"] == 1, "one waits")
        yield server, crowd


def url(server: Served) -> str:
    return f"http://127.0.0.1:{server.admin_port}/"


def progress(page: Page) -> list[float]:
    """How far each download in the table has come, in bytes."""
    return page.eval_on_selector_all("#downloads progress", "bars => bars.map(each => each.value)")  # type: ignore[no-any-return]


def fits(page: Page) -> bool:
    """Whether neither the page nor the table of downloads need be scrolled sideways."""
    table = page.locator("#downloads").evaluate("each => each.scrollWidth <= each.parentElement.clientWidth")
    return bool(table and page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_running_downloads_appear_and_move_and_a_refused_one_is_counted(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#running")).to_have_text(str(RUNNING))
    expect(page.locator("#waiting")).to_have_text("1")
    expect(page.locator("#ended tr[data-name=refused] td").first).to_have_text("1")
    expect(page.locator("#downloads .target").first).to_have_text(f"/{NAME}")
    before = progress(page)
    until(lambda: sum(progress(page)) > sum(before), "progress moves")
    expect(page.locator("#downloads .mark[data-state=still]")).to_have_count(5)
    expect(page.locator("#downloads .mark[data-state=sending]")).to_have_count(RUNNING - 5)
    assert page.title().startswith("20 running")


def test_it_can_be_looked_at_in_light_and_dark_wide_and_narrow(
    busy: tuple[Served, Crowd], look: Look, picture: Callable[[Page, str], None]
) -> None:
    server, _ = busy
    for dark in (False, True):
        for size in ("wide", "middle", "narrow"):
            page = look(url(server), dark=dark, size=size).page
            expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
            expect(page.locator("#rate-chart canvas")).to_be_visible()
            until(lambda page=page: "B/s now" in page.inner_text("#rate-text"), "there is a rate")
            assert fits(page)
            light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 248, 250)"
            assert light is not dark
            picture(page, f"dashboard-busy-{'dark' if dark else 'light'}-{size}")


def test_an_idle_server_is_shown_as_one(
    root: Path, serve: Serve, look: Look, picture: Callable[[Page, str], None]
) -> None:
    server = serve(root, admin=True)
    for size in ("wide", "narrow"):
        page = look(url(server), size=size).page
        expect(page.locator("#nobody")).to_be_visible()
        expect(page.locator("#running")).to_have_text("0")
        expect(page.locator("#state")).to_have_text("Live")
        assert fits(page)
        picture(page, f"dashboard-idle-light-{size}")


def test_the_page_survives_a_restart_and_its_charts_go_on(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    at = server.admin_port
    watched = look(url(server))
    page, text = watched.page, watched.page.locator("#rate-text")
    expect(text).to_have_text("0 B/s now, 0 B/s at most.")
    server.get(f"/{NAME}")
    expect(text).not_to_have_text("0 B/s now, 0 B/s at most.")
    most = text.inner_text().partition(", ")[2]
    page.evaluate("window.same = true")
    watched.breaks = True
    server.signal()
    assert server.wait() == 0
    expect(page.locator("#state")).to_have_text("No answer, trying again")
    serve(root, "--admin", f"127.0.0.1:{at}")
    expect(page.locator("#state")).to_have_text("Live")
    expect(text).to_have_text(f"0 B/s now, {most}")  # what the new server has not seen, the page still knows
    assert page.evaluate("window.same") is True  # and it was not loaded anew


def test_a_page_that_nobody_sees_holds_no_stream_and_catches_up(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    hidden = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); "
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(hidden % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate(hidden % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: page.evaluate("1") == 1 and len(asked) == 1, "it asks again")
    assert "/events?after=" in asked[0]
    expect(page.locator("#state")).to_have_text("Live")


def test_who_is_refused_is_told_so_and_watches_when_there_is_room(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    with ExitStack() as stack:
        others = [stack.enter_context(Client("127.0.0.1", server.admin_port, named="localhost")) for _ in range(64)]
        for other in others:
            other.get("/events")
            assert other.head()[0] == 200
        watched = look(url(server))
        expect(watched.page.locator("#state")).to_have_text("Refused, trying again")
        assert [each for each in watched.wrong if "503" not in each] == []  # the console tells of that, and rightly
        watched.wrong.clear()
        others[0].socket.close()
        expect(watched.page.locator("#state")).to_have_text("Live")
        watched.wrong = [each for each in watched.wrong if "503" not in each]


def test_it_can_be_used_by_keyboard(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
    page.keyboard.press("Tab")
    expect(page.locator("#pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#state")).to_have_text("Paused")
    paused = progress(page)
    page.keyboard.press("Tab")
    expect(page.locator("#closer")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#closer")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#as-table tbody tr").first).to_be_visible()
    assert progress(page) == paused  # a second or two have gone by: nothing moved
    page.locator("#pause").press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    until(lambda: progress(page) != paused, "it goes on")


def test_a_screen_reader_has_landmarks_names_and_text_for_what_is_drawn(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    for size in ("wide", "narrow"):
        page = look(url(server), size=size).page
        for role in ("banner", "main", "contentinfo", "status"):
            expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
        table = page.get_by_role("table", name="Running downloads")
        expect(table.get_by_role("row")).to_have_count(RUNNING + 1)
        expect(table.get_by_role("columnheader")).to_have_count(7)
        expect(table.get_by_role("progressbar", name=f"/{NAME} for 127.0.0.1")).to_have_count(RUNNING)
        for name in ("Memory against the budget", "Throughput", "Running and waiting", "Oldest wait"):
            chart = page.get_by_role("img", name=name)
            described = chart.get_attribute("aria-describedby")
            expect(page.locator(f"#{described}")).to_contain_text("at most")


def test_what_clients_ask_for_is_text_and_nothing_else(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    target = f"/{NAME}?<img/src=x/onerror=alert(1)>"
    with server.connect(receive_bytes=4096) as client:
        client.get(target)
        client.head()
        expect(page.locator("#downloads .target").first).to_have_text(target)
    assert page.locator("#downloads img").count() == 0


def test_the_live_region_speaks_only_when_the_state_changes(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    page.evaluate(
        "window.said = 0; new MutationObserver(() => { window.said += 1; })"
        ".observe(document.querySelector('[role=status]'), {childList: true, characterData: true, subtree: true})"
    )
    before = progress(page)
    until(lambda: progress(page) != before, "frames have come")
    assert page.evaluate("window.said") == 0
    assert page.locator("[aria-live]").count() == 0
