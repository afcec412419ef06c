"""Preconditions: RFC 9110 sections 13.1 and 13.2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import dates
from freight.http.conditions import Precondition, evaluate, if_range, last_modified
from freight.model import Request

ETAG = '"a"'
MODIFIED = 1_000_000_000
NOW = MODIFIED + 100.5
BEFORE, SAME, AFTER = (dates.format(MODIFIED + shift) for shift in (-1, 0, 1))
PROCEED, NOT_MODIFIED, FAILED = Precondition.PROCEED, Precondition.NOT_MODIFIED, Precondition.PRECONDITION_FAILED


def outcome(method: str, *fields: tuple[str, str], etag: str | None = ETAG) -> Precondition:
    return evaluate(Request(method, "/", fields), etag, MODIFIED, NOW)


@pytest.mark.parametrize(
    ("field", "value", "get", "put"),
    [
        # 13.1.1: strong comparison
        ("if-match", '"a"', PROCEED, PROCEED),
        ("if-match", '"b", "a"', PROCEED, PROCEED),
        ("if-match", "*", PROCEED, PROCEED),
        ("if-match", '"b"', FAILED, FAILED),
        ("if-match", 'W/"a"', FAILED, FAILED),
        ("if-match", "a", FAILED, FAILED),
        # 13.1.2: weak comparison
        ("if-none-match", '"a"', NOT_MODIFIED, FAILED),
        ("if-none-match", 'W/"a"', NOT_MODIFIED, FAILED),
        ("if-none-match", '"b", W/"a"', NOT_MODIFIED, FAILED),
        ("if-none-match", "*", NOT_MODIFIED, FAILED),
        ("if-none-match", '"b"', PROCEED, PROCEED),
        ("if-none-match", '"a,b"', PROCEED, PROCEED),
        ("if-none-match", "a", PROCEED, PROCEED),
        # 13.1.3: for GET and HEAD only, ignored when it is not a date
        ("if-modified-since", BEFORE, PROCEED, PROCEED),
        ("if-modified-since", SAME, NOT_MODIFIED, PROCEED),
        ("if-modified-since", AFTER, NOT_MODIFIED, PROCEED),
        ("if-modified-since", "yesterday", PROCEED, PROCEED),
        ("if-modified-since", f"{SAME}, {SAME}", PROCEED, PROCEED),
        # 13.1.4
        ("if-unmodified-since", BEFORE, FAILED, FAILED),
        ("if-unmodified-since", SAME, PROCEED, PROCEED),
        ("if-unmodified-since", AFTER, PROCEED, PROCEED),
        ("if-unmodified-since", "yesterday", PROCEED, PROCEED),
    ],
)
def test_one_condition(field: str, value: str, get: Precondition, put: Precondition) -> None:
    assert outcome("GET", (field, value)) is get
    assert outcome("HEAD", (field, value)) is get
    assert outcome("PUT", (field, value)) is put


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # If-Unmodified-Since counts only without If-Match
        ((("if-match", '"a"'), ("if-unmodified-since", BEFORE)), PROCEED),
        ((("if-match", '"b"'), ("if-unmodified-since", AFTER)), FAILED),
        # If-Modified-Since counts only without If-None-Match
        ((("if-none-match", '"b"'), ("if-modified-since", AFTER)), PROCEED),
        ((("if-none-match", '"a"'), ("if-modified-since", BEFORE)), NOT_MODIFIED),
        # 412 comes before 304
        ((("if-none-match", '"a"'), ("if-match", '"b"')), FAILED),
        ((("if-modified-since", AFTER), ("if-unmodified-since", BEFORE)), FAILED),
        ((("if-match", '"a"'), ("if-none-match", '"a"')), NOT_MODIFIED),
        # Lines of one list are one list
        ((("if-none-match", '"b"'), ("if-none-match", '"a"')), NOT_MODIFIED),
    ],
)
def test_conditions_are_evaluated_in_the_order_of_section_13_2_2(
    fields: tuple[tuple[str, str], ...], expected: Precondition
) -> None:
    assert outcome("GET", *fields) is expected


def test_a_star_matches_a_representation_without_a_tag() -> None:
    assert outcome("GET", ("if-match", "*"), etag=None) is PROCEED
    assert outcome("GET", ("if-none-match", "*"), etag=None) is NOT_MODIFIED


def test_without_a_modification_date_the_date_conditions_are_ignored() -> None:
    for field in ("if-modified-since", "if-unmodified-since"):
        for date in (BEFORE, AFTER):
            assert evaluate(Request("GET", "/", ((field, date),)), ETAG, None, NOW) is PROCEED


def flowchart(method: str, present: dict[str, str]) -> Precondition:
    """Section 13.2.2 step by step, for the values that hypothesis draws."""
    order = {"before": -1, "same": 0, "after": 1}
    step = 1
    while True:
        if step == 1:
            if "if-match" in present:
                if present["if-match"] not in ("same", "*"):
                    return FAILED
                step = 3
            else:
                step = 2
        elif step == 2:
            if order.get(present.get("if-unmodified-since", "invalid"), 0) < 0:
                return FAILED
            step = 3
        elif step == 3:
            if "if-none-match" in present:
                if present["if-none-match"] in ("same", "weak", "*"):
                    return NOT_MODIFIED if method in ("GET", "HEAD") else FAILED
                step = 5
            else:
                step = 4
        elif step == 4:
            since = present.get("if-modified-since", "invalid")
            if method in ("GET", "HEAD") and order.get(since, -1) >= 0:
                return NOT_MODIFIED
            step = 5
        else:
            return PROCEED


WRITTEN = {"same": ETAG, "weak": f"W/{ETAG}", "other": '"b"', "*": "*", "invalid": "?"}
DATED = {"before": BEFORE, "same": SAME, "after": AFTER, "invalid": "?"}


@given(
    st.sampled_from(["GET", "HEAD", "PUT"]),
    st.fixed_dictionaries(
        {},
        optional={
            "if-match": st.sampled_from(list(WRITTEN)),
            "if-none-match": st.sampled_from(list(WRITTEN)),
            "if-modified-since": st.sampled_from(list(DATED)),
            "if-unmodified-since": st.sampled_from(list(DATED)),
        },
    ),
)
def test_every_combination_follows_the_flowchart(method: str, present: dict[str, str]) -> None:
    written = tuple((name, (WRITTEN if name.endswith("match") else DATED)[value]) for name, value in present.items())
    assert outcome(method, *written) is flowchart(method, present)


@pytest.mark.parametrize(
    ("value", "etag", "modified", "now", "counts"),
    [
        ('"a"', ETAG, MODIFIED, NOW, True),
        ('"b"', ETAG, MODIFIED, NOW, False),
        ('W/"a"', ETAG, MODIFIED, NOW, False),
        ('W/"a"', 'W/"a"', MODIFIED, NOW, False),
        ('"a", "b"', ETAG, MODIFIED, NOW, False),
        ("*", ETAG, MODIFIED, NOW, False),
        ('"a"', None, MODIFIED, NOW, False),
        (SAME, ETAG, MODIFIED, NOW, True),
        (SAME, None, MODIFIED, NOW, True),
        (BEFORE, ETAG, MODIFIED, NOW, False),
        (AFTER, ETAG, MODIFIED, NOW, False),
        (SAME, ETAG, None, NOW, False),
        ("yesterday", ETAG, MODIFIED, NOW, False),
        ("", ETAG, MODIFIED, NOW, False),
        # 8.8.2.2: strong only when the second it names is over
        (SAME, ETAG, MODIFIED, MODIFIED + 1.0, True),
        (SAME, ETAG, MODIFIED, MODIFIED + 0.999, False),
        (SAME, ETAG, MODIFIED, float(MODIFIED), False),
    ],
)
def test_if_range_accepts_only_proof_of_the_same_bytes(
    value: str, etag: str | None, modified: int | None, now: float, counts: bool
) -> None:
    assert if_range(value, etag, modified, now) is counts


def test_last_modified_is_in_whole_seconds_and_never_in_the_future() -> None:
    assert last_modified(MODIFIED * 10**9 + 999_999_999, NOW) == MODIFIED
    assert last_modified((MODIFIED + 1000) * 10**9, NOW) == MODIFIED + 100
    assert last_modified(-1, NOW) == -1
