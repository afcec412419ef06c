"""The content of errors: RFC 9457 section 3, RFC 9110 section 12.5.1."""

import base64
import hashlib
import json
import re

import pytest

from freight.http import error_pages
from freight.http.error_pages import Link, body

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
    assert body(404, "There is no such file.", None)[1] == b"404 Not Found: There is no such file.\n"


def test_a_page_escapes_its_text() -> None:
    page = body(400, "<script>&\"'\u202e", "text/html", link=Link('./"><script>', "<script>\u202e"))[1].decode()
    assert "<script>" not in page and "\u202e" not in page
    assert "&lt;script&gt;&amp;&quot;" in page and 'href="./&quot;&gt;&lt;script&gt;"' in page


@pytest.mark.parametrize(("retry_seconds", "policy"), [(None, error_pages.POLICY), (9, error_pages.RETRY_POLICY)])
def test_a_page_may_only_use_its_own_style_and_script(retry_seconds: int | None, policy: tuple[str, str]) -> None:
    """CSP level 3, section 2.3.1: a hash is of the whole text of the element."""
    page = body(503, "Busy.", FIREFOX, retry_seconds, Link("./", "All files"))[1].decode()
    allowed = dict(each.split(" ", 1) for each in policy[1].split("; "))
    for kind in ("style", "script"):
        texts = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert allowed.get(f"{kind}-src", "") == " ".join(f"'sha256-{each}'" for each in hashes)
    assert allowed["default-src"] == allowed["form-action"] == "'none'"
    assert len(page) < 3000


def test_only_a_page_has_the_link() -> None:
    link = Link("../", "All files")
    assert '<a href="../">All files</a>' in body(404, "Nothing.", FIREFOX, link=link)[1].decode()
    for accept in (None, "application/json"):
        assert body(404, "Nothing.", accept, link=link) == body(404, "Nothing.", accept)


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


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (1, "1 second"),
        (2, "2 seconds"),
        (119, "119 seconds"),
        (120, "about 2 minutes"),
        (445, "about 7 minutes"),
        (600, "about 10 minutes"),
    ],
)
def test_every_form_says_in_a_sentence_when_to_retry(seconds: int, spoken: str) -> None:
    for accept in (None, "application/json"):
        assert f"Busy. Try again in {spoken}.".encode() in body(503, "Busy.", accept, seconds)[1]
    page = body(503, "Busy.", FIREFOX, seconds)[1].decode()
    assert f'This page retries automatically in <b data-seconds="{seconds}">{spoken}</b>.' in page


def test_a_text_with_a_retry_time_is_one_line() -> None:
    assert body(503, "Busy.", None, 9)[1] == b"503 Service Unavailable: Busy. Try again in 9 seconds.\n"


def test_a_problem_has_the_exact_time_as_a_number() -> None:
    """RFC 9457 section 3.2: an extension member; section 4.2.1: about:blank means the status alone."""
    problem = json.loads(body(503, "Busy.", "application/json", 450)[1])
    assert (problem["type"], problem["title"]) == ("about:blank", "Service Unavailable")
    assert problem["retry_after_seconds"] == 450


def test_a_page_retries_automatically_and_every_form_says_when() -> None:
    page = body(503, "Busy & full.", FIREFOX, 450)[1].decode()
    assert page.count('<meta http-equiv="refresh" content="450">') == 1
    assert '<html lang="en">' in page and "<h1>503 Service Unavailable</h1>" in page
    assert "<p>Busy &amp; full.</p>" in page and "retries automatically" in page and "color-scheme:light dark" in page


def test_a_page_without_a_retry_time_does_not_retry() -> None:
    page = body(404, "Nothing.", FIREFOX)[1]
    assert b"refresh" not in page and b"by itself" not in page and b"Try again" not in page
