"""A /status is read strictly: whatever else answers is told apart, and no text of it moves a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statuses import look, running, status

from freight.model import Running, Snapshot
from freight.observe.status import status as served
from freight.top.look import parse_look, printable

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["memory", "gate", "running", "of"]), inner),
)


def test_what_a_server_says_is_read(snapshot: Snapshot) -> None:
    found = parse_look(served(snapshot))
    assert found.budget_bytes == snapshot.memory.budget_bytes
    assert found.slots == snapshot.gate.slots
    assert sum(count for _, count in found.aborted) == sum(snapshot.transfers.aborted_total.values())
    pairs = zip(found.downloads, snapshot.transfers.running, strict=True)
    assert all((each.client, each.of_bytes) == (row.client, row.of_bytes) for each, row in pairs)
    assert [(each.client, each.place, each.reason) for each in found.waiters] == [("::1", 3, "per-client")]
    assert (found.pid, found.path, found.urls, found.workers) == (7, "/srv", ("http://[::]:80/",), 2)
    assert found.waiting_for == (("per-client", 1),)


@pytest.fixture
def snapshot() -> Snapshot:
    from freight.model import ConnectionsUse, GateUse, Identity, MemoryUse, TimeUse, TransfersUse, Waiting, WaitReason

    rows = (
        Running("127.0.0.1", "/huge.csv", 1000, 10**12, 2.5e6, 32_768, 30_000, 60.1, "client"),
        Running("2001:db8::1", "/a", 0, None, 0.0, None, 0, 0.0, "disk"),
    )
    return Snapshot(
        version="1",
        started_at=1.5,
        draining=True,
        memory=MemoryUse(4, 3, 2, 1),
        connections=ConnectionsUse(2),
        gate=GateUse(10, 2, 0, 1, 0.5, 3, 0, {"per-client": 1, "slots": 0}),
        transfers=TransfersUse(1, {"stalled": 1, "changed": 0}, 9, 9, rows),
        time=TimeUse(1.0, 2.0, 3.0),
        identity=Identity(7, "/srv", ("http://[::]:80/",), 2),
        waiting=(Waiting("::1", "/w", 2.5, 3, WaitReason.PER_CLIENT),),
    )


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
def test_what_is_no_status_is_said_to_be_none(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_look(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 3}, "no text 'version'"),
        ({"started_at": None}, "no sensible number 'started_at'"),
        ({"gate": {"slots": -1}}, "no sensible number 'slots'"),
        ({"gate": {"slots": True}}, "no sensible number 'slots'"),
        ({"gate": {"slots": "5"}}, "no sensible number 'slots'"),
        ({"gate": {"slots": float("inf")}}, "no sensible number 'slots'"),
        ({"gate": {"slots": float("nan")}}, "no sensible number 'slots'"),
        ({"gate": {"slots": 10**19}}, "no sensible number 'slots'"),
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
        look(**change)


@given(values)
@settings(deadline=None)
def test_any_json_is_a_look_or_a_value_error(value: object) -> None:
    for content in (value, status(running()) | {"gate": value}, status() | {"transfers": {"running": [value]}}):
        with pytest.raises(ValueError, match=r"JSON|object|no "):
            parse_look(json.dumps(content).encode())


@given(st.text())
@settings(deadline=None)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert printable(text).isprintable()


def test_a_target_cannot_draw() -> None:
    (download,) = look(running(target="/\x1b[2J\x9b\r\n\u202egnp.exe")).downloads
    assert download.target == "/\\x1b[2J\\x9b\\x0d\\x0a\\u202egnp.exe"


def test_a_budget_of_nothing_does_not_divide_by_it() -> None:
    assert look(memory={"budget_bytes": 0}).budget_bytes == 1
