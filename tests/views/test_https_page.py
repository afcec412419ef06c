"""Chromium over HTTPS: the listing is shown, and a file downloads completely."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from freight.tools.sample import write_sample
from support.certificates import KeyPair
from support.servers import Serve

pytestmark = pytest.mark.needs("chromium")


def test_a_listing_is_shown_and_a_file_downloads_completely(
    browser: Browser, serve: Serve, tmp_path: Path, pair: KeyPair
) -> None:
    write_sample(tmp_path / "large.csv", 20_000_000)
    server = serve(tmp_path, *pair.flags)
    page = browser.new_page(ignore_https_errors=True)  # a self-signed certificate
    page.goto(f"https://localhost:{server.port}/")
    protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
    assert page.evaluate(f"isSecureContext && {protocol}") == "h2"
    with page.expect_download() as download:
        page.get_by_text("large.csv").click()
    got = Path(download.value.path()).read_bytes()
    assert hashlib.sha256(got).digest() == hashlib.sha256((tmp_path / "large.csv").read_bytes()).digest()
    page.close()
