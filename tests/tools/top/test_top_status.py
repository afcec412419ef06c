"""A /status is parsed strictly. Other content is rejected, and no text of it controls the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statuses import parsed_status, running, status

from freight.observe.status import status as served
from freight.tools.top.status import parse_status, safe_text
from support.snapshots import SNAPSHOT

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["memory", "admission", "running", "total_bytes"]), inner)
    ),
)


def test_what_a_server_says_is_read() -> None:
    found = parse_status(served(SNAPSHOT))
    assert found.budget_bytes == SNAPSHOT.memory.budget_bytes
    assert found.slots == SNAPSHOT.admission.slots
    assert sum(count for _, count in found.aborted) == sum(SNAPSHOT.counts.aborted.values())
    pairs = zip(found.downloads, SNAPSHOT.transfers.running, strict=True)
    assert all((each.client, each.of_bytes) == (row.client, row.total_bytes) for each, row in pairs)
    assert [(each.client, each.place, each.reason) for each in found.waiters] == [
        ("127.0.0.9", 1, "memory"),
        ("2001:db8::2", 2, "max-per-client"),
    ]
    assert (found.pid, found.path, found.urls, found.workers) == (1503, "/srv/data", ("http://127.0.0.1:8080/",), 1)
    assert found.waiting_for == (("max-per-client", 2), ("memory", 5))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an object of JSON"),
        (b"hello", "not an object of JSON"),
        (b"[]", "not an object of JSON"),
        (b"[" * 100_000, "not an object of JSON"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "not an object of JSON"),
        (b"\xff\xfe", "not an object of JSON"),
        (b"{}", "'memory' is not an object"),
    ],
)
def test_content_that_is_no_status_is_rejected(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_status(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 3}, "no text 'version'"),
        ({"started_at": None}, "no sensible number 'started_at'"),
        ({"admission": {"slots": -1}}, "no sensible number 'slots'"),
        ({"admission": {"slots": True}}, "no sensible number 'slots'"),
        ({"admission": {"slots": "5"}}, "no sensible number 'slots'"),
        ({"admission": {"slots": float("inf")}}, "no sensible number 'slots'"),
        ({"admission": {"slots": float("nan")}}, "no sensible number 'slots'"),
        ({"admission": {"slots": 10**19}}, "no sensible number 'slots'"),
        ({"transfers": {"running": {}}}, "no list 'running'"),
        ({"transfers": {"running": [3]}}, "'running' is not an object"),
        ({"waiting": 3}, "no list 'waiting'"),
        ({"waiting": [3]}, "'waiting' is not an object"),
        ({"server": {"urls": [3]}}, "no text 'urls'"),
        ({"transfers": {"aborted_total": {"x": []}}}, "no sensible number 'x'"),
    ],
)
def test_a_field_without_sense_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parsed_status(**change)


@given(values)
@settings(deadline=None)
def test_any_json_is_a_look_or_a_value_error(value: object) -> None:
    for content in (value, status(running()) | {"admission": value}, status() | {"transfers": {"running": [value]}}):
        with pytest.raises(ValueError, match=r"JSON|object|no "):
            parse_status(json.dumps(content).encode())


@given(st.text())
@settings(deadline=None)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert safe_text(text).isprintable()


def test_a_target_cannot_draw() -> None:
    (download,) = parsed_status(running(target="/\x1b[2J\x9b\r\n\u202egnp.exe")).downloads
    assert download.target == "/\\x1b[2J\\x9b\\x0d\\x0a\\u202egnp.exe"


def test_a_budget_of_nothing_does_not_divide_by_it() -> None:
    assert parsed_status(memory={"budget_bytes": 0}).budget_bytes == 1
