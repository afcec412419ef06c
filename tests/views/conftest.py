"""What the tests of pages share: Chromium, pages that tell of all that is wrong, pictures for a person to look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from serving import PATIENCE_SECONDS, find_program

SIZES = {"wide": (1280, 900), "middle": (800, 900), "phone": (390, 844), "narrow": (360, 780)}

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without its sandbox, as it has none for root; it sees nothing but our own pages.

    Not longer than for a module: while playwright is there its event loop runs, and no other test could run one.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page, and all that went wrong in it. ``breaks``: its server goes away on purpose, which the console tells."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.breaks = False
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (each) => console.error('CSP', each.violatedDirective))"
        )

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not (self.breaks and "ERR_" in message.text):
            self.wrong.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost", None):
            self.wrong.append(f"it asked {request.url}")


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a page, ``dark`` or not, of a size of SIZES. Nothing may have gone wrong in it at the end.

    ``context`` is what else playwright makes a browser of.
    """
    opened: list[Watched] = []

    def open_page(
        url: str, *, dark: bool = False, size: str = "wide", downloads: bool = False, **context: Any
    ) -> Watched:
        width, height = SIZES[size]
        made = browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
            accept_downloads=downloads,
            **context,
        )
        made.set_default_timeout(PATIENCE_SECONDS * 1000)
        watched = Watched(made.new_page())
        opened.append(watched)
        watched.page.goto(url)
        return watched

    yield open_page
    wrong = [each.wrong for each in opened if each.wrong]
    for each in opened:
        each.page.context.close()
    assert wrong == []


@pytest.fixture
def sights() -> Callable[[Page], Iterator[str]]:
    """Turns one page into all that it may be looked at as: light and dark, of each size; gives each a name."""

    def turn(page: Page) -> Iterator[str]:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                yield f"{scheme}-{size}"

    return turn


@pytest.fixture
def picture() -> Callable[..., None]:
    """Writes a picture of a page, or of what is seen of it, into $PICTURES; without it none, as each takes seconds."""
    folder = os.environ.get("PICTURES")

    def write(page: Page, name: str, *, whole: bool = True) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder, f"{name}.png"), full_page=whole)

    return write
