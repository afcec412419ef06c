"""A page beside the data that it shows, in Chromium: index.html, its script and style, and ranges of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support.servers import Serve

Look = Callable[..., Any]

pytestmark = pytest.mark.needs("chromium")

PAGE = """<!DOCTYPE html>
<html lang="en"><title>viewer</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="viewer.css"><script type="module" src="viewer.js"></script>
<p id="shown">nothing yet</p><img src="picture.svg" alt="a picture"></html>
"""
SCRIPT = """
const response = await fetch("data/table.csv", { headers: { Range: "bytes=4-8" } });
document.getElementById("shown").textContent = `${response.status} ${await response.text()}`;
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>'


@pytest.fixture
def viewer(tmp_path: Path) -> Path:
    folder = tmp_path / "there" / "viewer"
    (folder / "data").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "viewer.js").write_text(SCRIPT)
    (folder / "viewer.css").write_text("#shown { color: rgb(1, 2, 3) }")
    (folder / "picture.svg").write_text(SVG)
    (folder / "data" / "table.csv").write_text("a,b\n12345\n")
    return folder.parent


def test_a_page_shows_the_data_beside_it(serve: Serve, viewer: Path, look: Look) -> None:
    server = serve(viewer, "--index", "index.html")
    shown = look(f"http://127.0.0.1:{server.port}/viewer")
    paragraph = shown.page.locator("#shown")
    expect(paragraph).to_have_text("206 12345")
    expect(paragraph).to_have_css("color", "rgb(1, 2, 3)")
    assert shown.page.evaluate("document.images[0].naturalWidth") == 10
    assert shown.page.url.endswith("/viewer/")


def test_a_page_with_a_strict_policy_of_a_rule_runs_no_script(
    serve: Serve, viewer: Path, look: Look, tmp_path: Path
) -> None:
    config = tmp_path / "freight.toml"
    config.write_text(
        '[[rule]]\nmatch = "/**/*.html"\nheaders = { Content-Security-Policy = "script-src \'none\'" }\n'
        '[[rule]]\nmatch = "/**"\nindex = "index.html"\n'
    )
    server = serve(viewer, "--config", config)
    shown = look(f"http://127.0.0.1:{server.port}/viewer/")
    expect(shown.page.locator("#shown")).to_have_text("nothing yet")
    shown.wait_for_errors("CSP script-src", "Content Security Policy")
