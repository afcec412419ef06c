"""Negotiation by Accept: RFC 9110 sections 12.4.2 and 12.5.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http.accept import choose, is_browser

OFFERED = ("text/html", "application/json", "text/plain")
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        (FIREFOX, "text/html"),
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/html"),
        ("text/*;q=0.5, application/json;q=0.4", "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html ; q=0.1 ,\t*/*;q=0.2", "application/json"),
        ("text/html;q=0, */*;q=0.1", "application/json"),
        ("text/*;q=0, */*", "application/json"),
        ("*/*, text/*;q=0.3, text/plain;q=0.2, application/*;q=0.25", "text/html"),
        ("text/plain;format=flowed, application/json;q=0.1", "application/json"),
        ('text/html;level="1,2;q=0", application/json', "application/json"),
        ('text/html;level="1, application/json', None),
        ("text/html;charset=utf-8", "text/html"),
        ("text/plain;q=1.000;ext=1, */*;q=0.999", "text/plain"),
        (",, application/json ,", "application/json"),
        ("image/png", None),
        ("*/*;q=0", None),
        ("text/html;q=0.000", None),
    ],
)
def test_the_most_specific_range_gives_the_weight_and_the_heaviest_type_wins(value: str, chosen: str | None) -> None:
    assert choose(value, OFFERED) == chosen


@pytest.mark.parametrize("value", ["*", "text", "/", "text/", "*/html", "a b/c", "text/html;q=2", "text/html;q=0.1234"])
def test_a_malformed_value_prefers_nothing(value: str) -> None:
    assert choose(value, OFFERED) == "text/html"


def test_a_malformed_element_is_ignored() -> None:
    assert choose("application/json, *; q=.2, */*; q=.2", OFFERED) == "application/json"


@pytest.mark.parametrize("value", ["application/json" + " " * 3000, ",".join(["application/json"] * 40)])
def test_an_oversized_value_prefers_nothing(value: str) -> None:
    assert choose(value, OFFERED) == "text/html"


@given(st.one_of(st.text(), st.text('atex*/;q=01., "\\').map("text/html, {}".format)))
def test_no_value_raises_or_invents_a_type(value: str) -> None:
    assert choose(value, OFFERED) in (*OFFERED, None)


@pytest.mark.parametrize(
    ("value", "browser"),
    [
        (FIREFOX, True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", True),  # Chromium
        ("text/html, text/plain, application/xhtml+xml, */*;q=0.01", True),  # lynx
        (None, False),  # Go, rclone
        ("*/*", False),  # curl, wget, lftp, aiohttp, requests
        ("text/html", False),
        ("*/*,application/metalink4+xml,application/metalink+xml", False),  # aria2
        ("application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", False),
    ],
)
def test_a_browser_is_recognized_by_the_type_that_only_browsers_name(value: str | None, browser: bool) -> None:
    assert is_browser(value) is browser
