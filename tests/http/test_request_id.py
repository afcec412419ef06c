"""X-Request-Id: which values are taken, and the field in a response."""

from __future__ import annotations

import pytest

from freight.http.request_id import is_well_formed, with_request_id
from freight.model import Plan


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a" * 128,
        "2fbf83c3bcc341436d6546e939117c37",
        "6b1f3c1e-6a3f-4b5e-9d0a-0a2f6c1f9a77",
        "Root=1-67891233-abcdef012345678912345678",
        "x7Gk+w/9==",
        "urn:uuid:1~2.3_4@host",
    ],
)
def test_a_usual_id_is_taken(text: str) -> None:
    assert is_well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 129,
        "a b",
        "a, b",
        'a"',
        "a\\",
        "a\n",
        "\na",
        "a\r\nSet-Cookie: b",
        "$(id)",
        "`id`",
        "<b>",
        "a;b",
        "\xe9",
        "\u0661",
        "a\0",
    ],
)
def test_any_other_text_is_not(text: str) -> None:
    assert not is_well_formed(text)


def test_a_response_has_the_id_after_its_other_fields() -> None:
    plan = Plan(404, (("A", "b"),))
    assert with_request_id(plan, "7").fields == (("A", "b"), ("X-Request-Id", "7"))
    assert with_request_id(plan, "") is plan
