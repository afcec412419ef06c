"""The file server's own pages in a browser: the listing, and the page that waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from freight.sample import verify, write_sample
from serving import Served, until

Serve = Callable[..., Served]
Look = Callable[..., Any]
Picture = Callable[[Page, str], None]

pytestmark = pytest.mark.needs("chromium")

SIZE = 64_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    (folder / "models").mkdir(parents=True)
    for name in ("readme.txt", "a much longer name, with spaces & signs <2026>.bin", "übung.csv"):
        (folder / name).write_bytes(b"x" * 2_345_678)
    return folder


def test_a_listing_has_no_fault_in_light_and_dark_wide_and_narrow(
    root: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(root)
    colours = set()
    for dark in (False, True):
        for size in ("wide", "narrow"):
            page = look(f"http://127.0.0.1:{server.port}/", dark=dark, size=size).page
            expect(page.get_by_role("row")).to_have_count(5)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            colours.add((dark, page.evaluate("getComputedStyle(document.body).backgroundColor")))
            picture(page, f"listing-{'dark' if dark else 'light'}-{size}")
    assert len(colours) == 2


def test_a_listing_can_be_used_by_keyboard(root: Path, serve: Serve, look: Look) -> None:
    page = look(f"http://127.0.0.1:{serve(root).port}/").page
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Size")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="models").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Parent directory")).to_be_visible()


def test_who_is_turned_away_waits_on_a_page_and_then_has_the_file(
    tmp_path: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    write_sample(tmp_path / "huge.csv", SIZE)
    server = serve(tmp_path / "huge.csv", "--per-client", "1", "--queue", "0", admin=True)
    with server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.head()
        until(lambda: server.gate()["running"] == 1, "the only slot is taken")
        watched = look(f"http://127.0.0.1:{server.port}/huge.csv", dark=True, size="narrow", downloads=True)
        watched.wrong.clear()  # the console tells of the 503
        page = watched.page
        expect(page.get_by_role("heading")).to_have_text("503 Service Unavailable")
        picture(page, "waiting-dark-narrow")
        with page.expect_download(timeout=60_000) as started:
            client.reset()  # room: the page is to find it by itself
        copy = tmp_path / "copy.csv"
        started.value.save_as(copy)
    assert copy.stat().st_size == SIZE
    assert verify(copy.read_bytes(), 0)
