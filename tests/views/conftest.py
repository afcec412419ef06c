"""Fixtures of the page tests: Chromium, pages that record every error, and screenshots for a person to check."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from support.servers import TIMEOUT_SECONDS, find_program, wait_until

SIZES = {"wide": (1280, 900), "middle": (800, 900), "phone": (390, 844), "narrow": (360, 780)}

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium, without its sandbox, which root does not have. It loads only our own pages.

    Not for longer than a module: while playwright runs its event loop, no other test can run one.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page, and its errors. ``breaks``: its server ends on purpose, so network errors are expected."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._errors: list[str] = []
        self._expected: tuple[str, ...] = ()
        self.breaks = False
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (each) => console.error('CSP', each.violatedDirective))"
        )

    @property
    def wrong(self) -> list[str]:
        """Return the errors that are not expected."""
        return [error for error in self._errors if not any(words in error for words in self._expected)]

    def wait_for_errors(self, *expected: str) -> None:
        """Wait for an error with each of these words. The console may report them later than a script sees them."""
        self._expected += expected

        def have_come() -> bool:
            self.page.evaluate("0")  # playwright handles events while it waits
            return all(any(words in error for error in self._errors) for words in expected)

        wait_until(have_come, f"the page reports {expected}")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not (self.breaks and "ERR_" in message.text):
            self._errors.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost", None):
            self._errors.append(f"requested {request.url}")


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Return a function that opens a page, ``dark`` or not, in a size of SIZES. Fail if the page had an error.

    ``context``: further options of playwright's browser context.
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
        made.set_default_timeout(TIMEOUT_SECONDS * 1000)
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
    """Return a function that shows a page in light and dark, in each size, and yields a name for each view."""

    def turn(page: Page) -> Iterator[str]:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                yield f"{scheme}-{size}"

    return turn


@pytest.fixture
def picture() -> Callable[..., None]:
    """Return a function that saves a screenshot into $PICTURES, or none if that is unset: each takes seconds."""
    folder = os.environ.get("PICTURES")

    def write(page: Page, name: str, *, whole: bool = True) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder, f"{name}.png"), full_page=whole)

    return write
