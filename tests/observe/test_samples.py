"""What who watches is told: samples, frames, and what was missed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from freight.model import Identity, Running, Snapshot, Waiting, WaitReason
from freight.observe.samples import FRAME_BYTES, KEPT, ROWS, Ring, frame, sample


def read(event: bytes) -> tuple[dict[str, str], Any]:
    """An event's fields, and its data as what it says; it is one whole event."""
    assert event.endswith(b"\n\n") and event.count(b"\n\n") == 1
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields, json.loads(fields["data"])


def take_all(ring: Ring, known: int) -> tuple[list[int], list[str], int]:
    """All that a viewer is given that knows all until ``known``: the samples' times, the kinds, what it then knows."""
    times, kinds = [], []
    while (found := ring.after(known)) is not None:
        known, event = found
        assert len(event) <= FRAME_BYTES
        fields, told = read(event)
        assert int(fields["id"]) == known
        kinds.append(fields["event"])
        times += [each[0] for each in (told if fields["event"] == "history" else [told["sample"]])]
    return times, kinds, known


def test_a_sample_is_the_numbers_in_the_order_of_the_reference(snapshot: Snapshot) -> None:
    assert sample(1_767_323_046_000, snapshot) == [
        *(1_767_323_046_000, 2 << 20, 98_304, 64 << 20, 3, 7, 1.5, 10**15 + 1),
    ]


def test_a_process_that_has_become_smaller_has_grown_by_nothing(snapshot: Snapshot) -> None:
    assert sample(1, replace(snapshot, memory=replace(snapshot.memory, process_bytes=1)))[1] == 0


def test_a_frame_is_an_event_with_the_sample_the_totals_and_the_downloads(snapshot: Snapshot) -> None:
    fields, told = read(frame(1_767_323_046_000, snapshot))
    assert (fields["id"], fields["event"]) == ("1767323046000", "now")
    assert told["sample"] == sample(1_767_323_046_000, snapshot)
    assert (told["completed"], told["refused"], told["aborted"]) == (
        120,
        11,
        {"changed": 0, "peer-gone": 4, "error": 1},
    )
    assert told["rows"] == [
        [100_500_000, "127.0.0.1", "/huge.csv", 1000, 10**12, 2_500_000, 32_768, 30_000, 60, "client"],
        [160_500_000, "2001:db8::1", '/a"b\\c\\x1b\xe9', 0, None, 0, None, 0, 0, "disk"],
    ]
    assert (told["omitted"], told["log_lost"]) == (2, 9)
    assert told["waiting"] == [
        ["127.0.0.9", "/huge.csv", 1.5, 1, "memory"],
        ["2001:db8::2", '/a"b\\c\\x1b\xe9', 0.1, 2, "per-client"],
    ]
    assert told["waiting_omitted"] == 5
    assert (told["waiting_for"], told["refused_for"]) == (
        {"per-client": 2, "memory": 5},
        {"per-client": 8, "draining": 3},
    )


def test_a_frame_says_which_server_it_is(snapshot: Snapshot) -> None:
    _, told = read(frame(1, snapshot))
    said = {name: told[name] for name in ("version", "pid", "path", "urls", "memory", "workers")}
    assert said == {
        "version": "1.2.3",
        "pid": 1503,
        "path": "/srv/data",
        "urls": ["http://127.0.0.1:8080/"],
        "memory": "64MiB",
        "workers": 1,
    }
    long = replace(snapshot, identity=replace(snapshot.identity, path="/x\x1b" + "y" * 5000 + "/data"))
    path = read(frame(1, long))[1]["path"]
    assert (len(path), path[0], path[-5:]) == (120, "\u2026", "/data")


def test_a_frame_has_the_clients_with_the_most_requests(snapshot: Snapshot) -> None:
    one, other = snapshot.transfers.running
    transfers = replace(snapshot.transfers, running=(one, other, replace(other, rate_bytes_per_second=7.0)))
    _, told = read(frame(1, replace(snapshot, transfers=transfers)))
    assert told["clients"] == [
        ["2001:db8::1", 2, 0, 7],
        ["127.0.0.1", 1, 0, 2_500_000],
        ["127.0.0.9", 0, 1, 0],
        ["2001:db8::2", 0, 1, 0],
    ]
    assert told["clients_omitted"] == 0


def crowd(count: int, target: str) -> tuple[Running, ...]:
    return tuple(
        Running(
            "2001:db8:1111:2222:3333:4444:5555:6666",
            target,
            1 << 60,
            1 << 60,
            1e12,
            1 << 40,
            1 << 40,
            1e9,
            "client",
            at,
        )
        for at in range(count, 0, -1)
    )


def test_a_frame_has_those_that_have_run_longest_and_says_how_many_it_leaves_out(snapshot: Snapshot) -> None:
    transfers = replace(snapshot.transfers, running=crowd(ROWS + 5, "/"), running_omitted=3)
    _, told = read(frame(1, replace(snapshot, transfers=transfers)))
    assert [row[0] for row in told["rows"]] == [at * 1_000_000 for at in range(1, ROWS + 1)]
    assert told["omitted"] == 8


def test_a_frame_is_bounded_whatever_clients_ask_for(snapshot: Snapshot) -> None:
    for character in ("x", '"', "\\", "\xff", "\x1b"):
        transfers = replace(snapshot.transfers, running=crowd(1000, "/" + character * 8000))
        waiting = tuple(
            Waiting(
                f"2001:db8:1111:2222:3333:4444:5555:{at:x}", "/" + character * 8000, 1e9, 10**6, WaitReason.PER_CLIENT
            )
            for at in range(1000, 2000)
        )
        identity = Identity(4_194_304, "/" + character * 5000, (f"https://[{'2001:' * 8}]:65535/",), 1024)
        event = frame(1_767_323_046_000, replace(snapshot, transfers=transfers, waiting=waiting, identity=identity))
        assert len(event) <= FRAME_BYTES
        assert read(event)[1]["rows"][0][2].endswith("\u2026")


def test_a_newcomer_gets_all_that_is_kept_in_pieces_and_then_the_frame(snapshot: Snapshot) -> None:
    for count in (1, 2, 59, 60, 61, 62, 121, KEPT):
        ring = Ring()
        for at in range(1000, 1000 + count):
            ring.add(at, snapshot)
        times, kinds, known = take_all(ring, -1)
        assert times == list(range(1000, 1000 + count))
        assert kinds[-1] == "now" and set(kinds[:-1]) <= {"history"}
        assert known == 999 + count


def test_who_comes_back_gets_what_it_has_missed_and_nothing_twice(snapshot: Snapshot) -> None:
    ring = Ring()
    for at in range(1000, 1100):
        ring.add(at, snapshot)
    assert take_all(ring, 1089)[0] == list(range(1090, 1100))
    assert take_all(ring, 1098)[:2] == ([1099], ["now"])
    assert ring.after(1099) is None


def test_more_than_is_kept_is_forgotten_the_oldest_first(snapshot: Snapshot) -> None:
    ring = Ring()
    for at in range(KEPT + 10):
        ring.add(at, snapshot)
    assert len(ring) == KEPT
    assert take_all(ring, -1)[0] == list(range(10, KEPT + 10))


def test_who_knows_a_time_that_is_yet_to_come_knows_nothing(snapshot: Snapshot) -> None:
    ring = Ring()
    ring.add(1000, snapshot)
    ring.add(1001, snapshot)
    assert take_all(ring, 5000)[0] == [1000, 1001]


def test_an_empty_ring_has_nothing(snapshot: Snapshot) -> None:
    ring = Ring()
    assert ring.after(-1) is None and ring.after(5) is None
    ring.add(1000, snapshot)
    ring.clear()
    assert ring.after(-1) is None
