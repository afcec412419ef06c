"""Chromium over HTTPS: the listing is shown, and a file downloads whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from certificates import Pair
from freight.sample import write_sample
from serving import Served

pytestmark = pytest.mark.needs("chromium")


def test_a_listing_is_shown_and_a_file_of_it_downloads_whole(
    browser: Browser, serve: Callable[..., Served], tmp_path: Path, pair: Pair
) -> None:
    write_sample(tmp_path / "large.csv", 20_000_000)
    server = serve(tmp_path, *pair.flags)
    page = browser.new_page(ignore_https_errors=True)  # a certificate that nobody has signed
    page.goto(f"https://localhost:{server.port}/")
    spoken = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
    assert page.evaluate(f"isSecureContext && {spoken}") == "h2"
    with page.expect_download() as download:
        page.get_by_text("large.csv").click()
    got = Path(download.value.path()).read_bytes()
    assert hashlib.sha256(got).digest() == hashlib.sha256((tmp_path / "large.csv").read_bytes()).digest()
    page.close()
