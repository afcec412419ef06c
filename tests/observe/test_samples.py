"""The events that a viewer gets: samples, frames, and the history that it missed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from freight.model import DownloadStatus, Identity, Snapshot, WaitingStatus, WaitReason
from freight.observe.samples import FRAME_BYTES, ROWS, SAMPLES_KEPT, SampleBuffer, frame, sample


def read(event: bytes) -> tuple[dict[str, str], Any]:
    """Return the fields of one whole event, and its parsed data."""
    assert event.endswith(b"\n\n") and event.count(b"\n\n") == 1
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields, json.loads(fields["data"])


def take_all(buffer: SampleBuffer, known: int) -> tuple[list[int], list[str], int]:
    """Return what a viewer gets whose last event was at ``known``: times of samples, kinds of events, last event."""
    times, kinds = [], []
    while (found := buffer.after(known)) is not None:
        known, event = found
        assert len(event) <= FRAME_BYTES
        fields, data = read(event)
        assert int(fields["id"]) == known
        kinds.append(fields["event"])
        times += [each[0] for each in (data if fields["event"] == "history" else [data["sample"]])]
    return times, kinds, known


def test_a_sample_has_the_numbers_in_the_order_of_the_reference(snapshot: Snapshot) -> None:
    assert sample(1_767_323_046_000, snapshot) == [
        *(1_767_323_046_000, 2 << 20, 98_304, 64 << 20, 3, 7, 1.5, 10**15 + 1),
    ]


def test_a_process_smaller_than_its_baseline_has_grown_by_0(snapshot: Snapshot) -> None:
    assert sample(1, replace(snapshot, memory=replace(snapshot.memory, process_bytes=1)))[1] == 0


def test_a_frame_is_an_event_with_the_sample_the_totals_and_the_downloads(snapshot: Snapshot) -> None:
    fields, data = read(frame(1_767_323_046_000, snapshot))
    assert (fields["id"], fields["event"]) == ("1767323046000", "now")
    assert data["sample"] == sample(1_767_323_046_000, snapshot)
    assert (data["completed"], data["refused"], data["aborted"]) == (
        120,
        11,
        {"changed": 0, "peer-gone": 4, "error": 1},
    )
    assert data["rows"] == [
        [7, "127.0.0.1", "/huge.csv", 1000, 10**12, 2_500_000, 32_768, 30_000, 60, "client", None],
        [9, "2001:db8::1", '/a"b\\c\\x1b\xe9', 0, None, 0, None, 0, 0, "disk", None],
    ]
    assert (data["omitted"], data["log_lost"]) == (2, 9)
    assert data["waiting"] == [
        ["127.0.0.9", "/huge.csv", 1.5, 1, "memory"],
        ["2001:db8::2", '/a"b\\c\\x1b\xe9', 0.1, 2, "max-per-client"],
    ]
    assert data["waiting_omitted"] == 5
    assert (data["waiting_for"], data["refused_for"]) == (
        {"max-per-client": 2, "memory": 5},
        {"max-per-client": 8, "draining": 3},
    )


def test_a_frame_identifies_the_server(snapshot: Snapshot) -> None:
    _, data = read(frame(1, snapshot))
    shown = {name: data[name] for name in ("version", "pid", "path", "urls", "memory", "workers")}
    assert shown == {
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
    _, data = read(frame(1, replace(snapshot, transfers=transfers)))
    assert data["clients"] == [
        ["2001:db8::1", 2, 0, 7],
        ["127.0.0.1", 1, 0, 2_500_000],
        ["127.0.0.9", 0, 1, 0],
        ["2001:db8::2", 0, 1, 0],
    ]
    assert data["clients_omitted"] == 0


def downloads(count: int, target: str) -> tuple[DownloadStatus, ...]:
    return tuple(
        DownloadStatus(
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
            worker=(1 << 22) - 1,  # the largest pid of Linux
            id=at,
        )
        for at in range(count, 0, -1)
    )


def test_a_frame_has_the_longest_running_downloads_and_counts_the_others(snapshot: Snapshot) -> None:
    transfers = replace(snapshot.transfers, running=downloads(ROWS + 5, "/"), running_omitted=3)
    _, data = read(frame(1, replace(snapshot, transfers=transfers)))
    assert [row[0] for row in data["rows"]] == list(range(1, ROWS + 1))
    assert data["omitted"] == 8


def test_the_length_of_a_frame_is_limited_whatever_the_targets(snapshot: Snapshot) -> None:
    for character in ("x", '"', "\\", "\xff", "\x1b"):
        transfers = replace(snapshot.transfers, running=downloads(1000, "/" + character * 8000))
        waiting = tuple(
            WaitingStatus(
                f"2001:db8:1111:2222:3333:4444:5555:{at:x}", "/" + character * 8000, 1e9, 10**6, WaitReason.PER_CLIENT
            )
            for at in range(1000, 2000)
        )
        identity = Identity(4_194_304, "/" + character * 5000, (f"https://[{'2001:' * 8}]:65535/",), 1024)
        event = frame(1_767_323_046_000, replace(snapshot, transfers=transfers, waiting=waiting, identity=identity))
        assert len(event) <= FRAME_BYTES
        assert read(event)[1]["rows"][0][2].endswith("\u2026")


def test_a_new_viewer_gets_the_history_in_pieces_and_then_the_frame(snapshot: Snapshot) -> None:
    for count in (1, 2, 59, 60, 61, 62, 121, SAMPLES_KEPT):
        buffer = SampleBuffer()
        for at in range(1000, 1000 + count):
            buffer.add(at, snapshot)
        times, kinds, known = take_all(buffer, 0)
        assert times == list(range(1000, 1000 + count))
        assert kinds[-1] == "now" and set(kinds[:-1]) <= {"history"}
        assert known == 999 + count


def test_a_viewer_that_reconnects_gets_what_it_missed_and_nothing_twice(snapshot: Snapshot) -> None:
    buffer = SampleBuffer()
    for at in range(1000, 1100):
        buffer.add(at, snapshot)
    assert take_all(buffer, 1089)[0] == list(range(1090, 1100))
    assert take_all(buffer, 1098)[:2] == ([1099], ["now"])
    assert buffer.after(1099) is None


def test_the_oldest_samples_are_discarded_first(snapshot: Snapshot) -> None:
    buffer = SampleBuffer()
    for at in range(1, SAMPLES_KEPT + 11):
        buffer.add(at, snapshot)
    assert len(buffer) == SAMPLES_KEPT
    assert take_all(buffer, 0)[0] == list(range(11, SAMPLES_KEPT + 11))


def test_a_viewer_with_a_time_in_the_future_gets_the_whole_history(snapshot: Snapshot) -> None:
    buffer = SampleBuffer()
    buffer.add(1000, snapshot)
    buffer.add(1001, snapshot)
    assert take_all(buffer, 5000)[0] == [1000, 1001]


def test_an_empty_buffer_has_no_event(snapshot: Snapshot) -> None:
    buffer = SampleBuffer()
    assert buffer.after(0) is None and buffer.after(5) is None
    buffer.add(1000, snapshot)
    buffer.clear()
    assert buffer.after(0) is None
