"""What errors say: RFC 9457 section 3, RFC 9110 section 12.5.1."""

import json

import pytest

from freight.core.pages import body

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
        (FIREFOX, "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("application/json, text/plain;q=0.9", "application/problem+json"),
        ("application/json;q=0.5, text/html", "text/html; charset=utf-8"),
    ],
)
def test_the_form_is_the_one_that_accept_prefers(accept: str | None, media_type: str) -> None:
    assert body(404, "Nothing.", accept)[0] == media_type


def test_a_text_is_one_line() -> None:
    assert body(404, "There is nothing here.", None)[1] == b"404 Not Found: There is nothing here.\n"


def test_a_page_escapes_what_it_says() -> None:
    page = body(400, "<script>&\"'", "text/html")[1]
    assert b"<script>" not in page and b"&lt;script&gt;&amp;&quot;" in page and len(page) < 1000


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    problem = json.loads(body(416, 'A "range".', "application/json")[1])
    assert problem == {
        "type": "about:blank",
        "title": "Range Not Satisfiable",
        "status": 416,
        "detail": 'A "range".',
    }


@pytest.mark.parametrize("accept", [None, "text/html", "application/json"])
def test_an_unknown_status_and_an_odd_detail_still_give_a_body(accept: str | None) -> None:
    assert b"599" in body(599, "\udcff", accept)[1]
