"""The lab's report in a browser, wide and narrow, light and dark, made from recorded results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from freight.tools.lab.runner import write

pytestmark = pytest.mark.needs("chromium")

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "figures" / "lab" / "results.json"
BUSY = "This machine was busy (load 6.9 on 2 processors): do not trust these numbers."


@pytest.fixture
def report(tmp_path: Path) -> str:
    """Return the URL of a report about a busy machine."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    disturbed = {"load": 6.9, "others_share": 0.61, "steal_share": 0.0}
    results |= {"busy": BUSY, "load": {"before": disturbed, "during": disturbed}}
    for record in results["scenarios"].values():
        record["load"] = disturbed
    return write(results, tmp_path).as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_the_report_fits_the_screen_and_warns_before_its_first_number(
    look: Callable[..., Any], picture: Callable[[Page, str], None], report: str, size: str, dark: bool
) -> None:
    page = look(report, size=size, dark=dark).page
    banner = page.get_by_role("alert")
    expect(banner).to_have_text(BUSY)
    first = page.locator("ol.findings li").first
    above, below = banner.bounding_box(), first.bounding_box()
    assert above and below and above["y"] + above["height"] <= below["y"]
    for each in page.locator("details").all():
        each.locator("summary").click()
    # Wide tables and figures scroll by themselves, so that the page does not.
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pictures = page.locator("figure img")
    assert pictures.count() == 11
    assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    picture(page, f"lab-{size}-{'dark' if dark else 'light'}")


def test_each_section_has_a_verdict_and_a_table_that_fits_a_phone(look: Callable[..., Any], report: str) -> None:
    page = look(report, size="narrow").page
    sections = page.locator("main section")
    assert sections.count() == 8
    for section in sections.all():
        expect(section.locator("p > strong").first).to_be_visible()
        table = section.locator(".key table")
        assert 2 <= table.locator("thead th").count() <= 4
        assert table.evaluate("(table) => table.scrollWidth <= table.parentElement.clientWidth")
        expect(section.locator("p.bad").first).to_contain_text("other programs took 61% of the processors")
